"""Which trials are stopped early: Optuna's pruners, and which trials they compare one with."""

from __future__ import annotations

import copy
import itertools
import math
import random
import warnings
from collections.abc import Callable
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
from gansweep.search.trials import Shown, StudyView

if TYPE_CHECKING:
    from gansweep.search.settings import Settings

PrunerName = Literal["none", "median", "asha", "hyperband", "wilcoxon"]
# with fewer seeds the signed-rank test cannot find p < 0.1 before a trial's last run
LEAST_SEEDS = 5

Kind = Callable[[FrozenTrial], object]


def make_pruner(settings: Settings) -> BasePruner:
    """The pruner that the settings name. Its steps: `Settings.step`; wilcoxon: seeds' positions."""
    options = settings.pruner
    name, factor = options["name"], int(options["reduction_factor"])
    budget = max(1, int(settings.budget_kimg * 1000))
    warmup = max(1, int(budget * float(options["warmup_fraction"])))
    # before the first score all rungs look alike: one score would pass several
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
    """A pruner that compares a trial only with those of its kind. If the best of each variant is
    wanted, a variant that learns slowly at first must not be compared with the quick ones."""

    def __init__(self, pruner: BasePruner, kind: Kind) -> None:
        self._pruner, self._kind = pruner, kind

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the pruner stops the trial, judged among trials of its own kind."""
        kind, number = self._kind(trial), trial.number

        def peers(trials: list[FrozenTrial]) -> list[FrozenTrial]:
            # A continued trial reports its whole curve again: its stored values do not count
            # beside it. A trial without values may not have its parameters yet.
            present = [trial if t.number == number else t for t in trials]
            known = [t for t in present if t.intermediate_values or t.state == TrialState.COMPLETE]
            return [t for t in known if self._kind(t) == kind]

        return self._pruner.prune(Peers(study, peers, trial).as_study(), trial)


class Hyperband(BasePruner):
    """Successive halving in several brackets, each with a later first rung than the one before.

    Trials come one at a time, so a bracket is drawn for each by its key, with the weights that the
    brackets' sizes have in the paper. Optuna's Hyperband draws by the number of the Optuna trial,
    and reads the whole study, not the view that it is given.
    Source: Li et al. 2018, JMLR 18(185), Algorithm 1.
    """

    def __init__(self, min_resource: int, max_resource: int, reduction_factor: int) -> None:
        counts = itertools.count(1)
        count = next(n for n in counts if min_resource * reduction_factor**n > max_resource)
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
        view = StudyView(study, lambda trials: [t for t in trials if self.bracket(t) == bracket])
        return self._brackets[bracket].prune(view.as_study(), trial)


class Peers(StudyView):
    """The trials that a judged trial is compared with."""

    def __init__(self, study: Study, peers: Shown, judged: FrozenTrial) -> None:
        super().__init__(study, peers)
        self._judged = judged

    @property
    def best_trial(self) -> FrozenTrial:
        """The best that ended, over the seeds that the judged one has run.

        The signed-rank pruner spares a trial with a better mean than the best one's. Means over
        different seeds would let the luck of the seeds decide.
        Raises: ValueError if none of them has ended within the constraints.
        """
        ended = self.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        sign = -1 if self.direction == StudyDirection.MAXIMIZE else 1
        best = min((t for t in ended if not broken(t)), key=lambda t: sign * t.values[0])
        shown = copy.copy(best)  # the original is the storage's
        values, reached = best.intermediate_values, self._judged.intermediate_values
        shown.intermediate_values = {step: v for step, v in values.items() if step in reached}
        return shown
