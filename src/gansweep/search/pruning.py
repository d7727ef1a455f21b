"""Which trials are stopped early: Optuna's pruners, and whom they compare a trial with.

A trial's peers are those of its kind, each with its present attempt.
"""

from __future__ import annotations

import copy
import math
import random
import warnings
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Literal

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gansweep.judging.constraints import broken

if TYPE_CHECKING:
    from gansweep.search.settings import Settings

PrunerName = Literal["none", "median", "asha", "hyperband", "wilcoxon"]
# with fewer seeds the signed-rank test cannot find p < 0.1 before a trial's last run
LEAST_SEEDS = 5

Kind = Callable[[FrozenTrial], object]


def make_pruner(settings: Settings) -> BasePruner:
    """The pruner that the settings name; its steps are those of `Settings.step`, or for wilcoxon
    the positions of the seeds."""
    options = settings.pruner
    name, factor = options["name"], int(options["reduction_factor"])
    budget = max(1, int(settings.budget_kimg * 1000))
    warmup = max(1, int(budget * float(options["warmup_fraction"])))
    # before there is a score no rung can be told from the next: one score would pass several
    rung = max(warmup, settings.step(settings.evaluation_kimg or settings.budget_kimg / 100))
    if name == "median":
        return MedianPruner(n_startup_trials=int(options["startup_trials"]), n_warmup_steps=warmup)
    if name == "asha":
        return SuccessiveHalvingPruner(min_resource=rung, reduction_factor=factor)
    if name == "hyperband":
        return Hyperband(rung, max_resource=budget, reduction_factor=factor)
    if name == "wilcoxon":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return WilcoxonPruner(p_threshold=0.1)
    return NopPruner()


class PeerPruner(BasePruner):
    """A pruner that sees only the trials of one kind, and of each trial only the last attempt.

    Where the best of each variant is wanted, a variant that learns slowly at first must not be
    measured against the quick ones. And an attempt that was interrupted has reported its curve
    again in the next one: counted twice, a good trial would crowd others out of a rung.
    """

    def __init__(self, pruner: BasePruner, kind: Kind) -> None:
        self._pruner, self._kind = pruner, kind

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        kind = self._kind(trial)

        def peers(trials: list[FrozenTrial]) -> list[FrozenTrial]:
            # a trial without values may not know its parameters yet, and nobody compares with it
            return [t for t in last_attempts(trials) if _has_values(t) and self._kind(t) == kind]

        return self._pruner.prune(StudyOfPeers(study, peers, trial), trial)


class Hyperband(BasePruner):
    """Successive halving in several brackets, each with a later first rung than the one before.

    Trials come one at a time, so a bracket is drawn for each with the weights that the brackets'
    sizes have in the paper. The draw goes by the trial's key: a retry stays in its bracket, which
    Optuna's own Hyperband, going by the number, would not see to.
    Source: Li et al. 2018, JMLR 18(185), Algorithm 1.
    """

    def __init__(self, min_resource: int, max_resource: int, reduction_factor: int) -> None:
        count = 1
        while min_resource * reduction_factor**count <= max_resource:
            count += 1
        self._brackets = [
            SuccessiveHalvingPruner(min_resource, reduction_factor, min_early_stopping_rate=late)
            for late in range(count)
        ]
        self._sizes = [
            math.ceil(count * reduction_factor**s / (s + 1)) for s in reversed(range(count))
        ]

    def bracket(self, trial: FrozenTrial) -> int:
        draw = random.Random(str(trial.user_attrs["key"]))
        return draw.choices(range(len(self._brackets)), self._sizes)[0]

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        bracket = self.bracket(trial)

        def peers(trials: list[FrozenTrial]) -> list[FrozenTrial]:
            return [t for t in trials if self.bracket(t) == bracket]

        return self._brackets[bracket].prune(StudyOfPeers(study, peers), trial)


class StudyOfPeers(Study):
    """A study as a pruner shall see it: with some of its trials alone.

    judged: the trial that the pruner is asked about.
    """

    def __init__(
        self,
        study: Study,
        peers: Callable[[list[FrozenTrial]], list[FrozenTrial]],
        judged: FrozenTrial | None = None,
    ) -> None:
        self.__dict__.update(study.__dict__)  # the same study: its storage is not read again
        self._seen_in, self._peers, self._judged = study, peers, judged

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        # every attempt is needed to tell which is the last, so the states are chosen afterwards
        trials = self._peers(self._seen_in.get_trials(deepcopy=deepcopy))
        return [t for t in trials if states is None or t.state in states]

    @property
    def best_trial(self) -> FrozenTrial:
        """The best that ended, as far as the judged one has come.

        The signed-rank pruner spares a trial whose mean is better than the best one's. With that
        over all seeds, and the other over those so far, the luck of the seeds would decide.
        Raises: ValueError where none of these trials has ended with a value it may keep.
        """
        ended = self.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = -1 if self.direction == StudyDirection.MAXIMIZE else 1
        best = min((t for t in ended if not broken(t)), key=lambda t: sign * t.values[0])
        if self._judged is None:
            return best
        shown = copy.copy(best)  # it is the storage's
        values, reached = best.intermediate_values, self._judged.intermediate_values
        shown.intermediate_values = {step: v for step, v in values.items() if step in reached}
        return shown


def last_attempts(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The last attempt of every key, in the order of the keys' first attempts."""
    return list({trial.user_attrs["key"]: trial for trial in trials}.values())


def _has_values(trial: FrozenTrial) -> bool:
    return bool(trial.intermediate_values) or trial.state == TrialState.COMPLETE
