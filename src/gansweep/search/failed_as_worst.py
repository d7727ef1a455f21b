"""Failed trials, shown to a sampler that learns as trials with the worst value of all.

Optuna's samplers leave failed trials out. They would not learn where settings diverge and would try
them again: a Gaussian process the very same point, for the rest of the budget.
"""

import copy
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gansweep.judging.statuses import FAILED, KILLED
from gansweep.search.trials import StudyView


class FailedAsWorst(BaseSampler):
    """A sampler to which trials that gave up (FAILED) are as bad as the worst.

    pruned: whether that goes for pruned trials too, for a sampler that leaves those out as well.
    """

    def __init__(self, sampler: BaseSampler, pruned: bool = False) -> None:
        self._sampler, self._pruned = sampler, pruned

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(self._seen(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(self._seen(study), trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, *parameter: Any) -> Any:
        return self._sampler.sample_independent(self._seen(study), trial, *parameter)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, *end: Any) -> None:
        self._sampler.after_trial(study, trial, *end)

    def _seen(self, study: Study) -> Study:
        def shown(trials: list[FrozenTrial]) -> list[FrozenTrial]:
            return with_worst(trials, study.directions, self._pruned)

        return StudyView(study, shown).as_study()


def with_worst(
    trials: list[FrozenTrial], directions: Sequence[StudyDirection], pruned: bool
) -> list[FrozenTrial]:
    """`trials`, with those that gave up shown as complete, at the worst value of each objective and
    of each constraint that any trial ended with. Unchanged if no trial has ended yet.

    pruned: whether pruned trials gave up too. If not, TPE takes each of them for worse than all
    complete trials. Then a trial that gave up is shown as pruned before its first score, so that it
    comes last.
    """
    ended = [t for t in trials if t.state == TrialState.COMPLETE]
    if not ended or not any(_gave_up(t, pruned) for t in trials):
        return trials
    columns = zip(*(t.values for t in ended), strict=True)
    signs = [-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in directions]
    worst: list[float] | None = list(map(_worst, columns, signs))
    if not pruned and any(t.state == TrialState.PRUNED for t in trials):
        worst = None
    constraints = _worst_constraints(ended)
    return [_as_worst(t, worst, constraints) if _gave_up(t, pruned) else t for t in trials]


def _worst(values: Sequence[float], sign: float) -> float:
    """The worst of the values; if all are equal, a worse one, so that a failure ties with none.

    sign: 1 if less is better, else -1.
    """
    worst = sign * max(sign * value for value in values)
    return worst if min(values) < max(values) else worst + sign * (abs(worst) or 1.0)


def _gave_up(trial: FrozenTrial, pruned: bool) -> bool:
    if trial.state == TrialState.PRUNED:
        return pruned
    # a kill from outside says nothing about the settings
    killed = trial.user_attrs.get("failure") == KILLED
    failed = trial.user_attrs.get("status") in FAILED
    return trial.state == TrialState.FAIL and failed and not killed


def _worst_constraints(ended: Sequence[FrozenTrial]) -> dict[str, Any]:
    """The system attributes by which Optuna knows constraints: one number each since Optuna 5,
    a list of them before."""
    found: dict[str, list[Any]] = {}
    for trial in ended:
        for key, over in trial.system_attrs.items():
            if key.partition(":")[0] == "constraints":
                found.setdefault(key, []).append(over)
    return {
        key: list(map(max, zip(*over, strict=True))) if isinstance(over[0], Sequence) else max(over)
        for key, over in found.items()
    }


def _as_worst(
    trial: FrozenTrial, values: Sequence[float] | None, constraints: dict[str, Any]
) -> FrozenTrial:
    """values: with which it ended; None: it was pruned before it had any."""
    shown = copy.copy(trial)  # it is the storage's
    shown.system_attrs = {**trial.system_attrs, **constraints}
    if values is None:
        shown.state, shown.intermediate_values = TrialState.PRUNED, {}
    else:
        shown.state, shown.values = TrialState.COMPLETE, list(values)
    return shown
