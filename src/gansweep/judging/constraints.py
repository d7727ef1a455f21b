"""Constraints of a sweep: bounds on a run's scores and costs that a winner must meet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from gansweep.errors import UserError
from gansweep.judging.objective import Objective
from gansweep.records.read import Run

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_WRITTEN = re.compile(rf"\s*([A-Za-z_][\w.-]*)\s*(<=|>=)\s*({_NUMBER})\s*")
_MEASURED = "constraints"  # user attribute of an Optuna trial: (constraint, value, excess) of each


@dataclass(frozen=True)
class Constraint:
    """A bound on one metric, the bound itself included."""

    metric: str
    at_most: bool
    bound: float

    @classmethod
    def parse(cls, text: object) -> Constraint:
        """Raises: UserError for anything but METRIC <= NUMBER and METRIC >= NUMBER."""
        found = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise UserError(
                f"sweep.constraints: {text!r} cannot be read. Write METRIC <= NUMBER or METRIC >= "
                "NUMBER, as in sweep.constraints=['seconds <= 60','coverage >= 0.5']."
            )
        return cls(found[1], found[2] == "<=", float(found[3]))

    @classmethod
    def of_record(cls, content: Mapping[str, Any]) -> Constraint:
        return cls(
            str(content.get("metric")), bool(content.get("at_most")), float(content["bound"])
        )

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.at_most else '>='} {self.bound:g}"

    def values(self, results: Sequence[Mapping[str, Any]]) -> list[float]:
        """The metric at the end of each run that measured it.   results: of the runs."""
        objective = Objective(self.metric, "minimize", "last")
        return [found[1] for result in results if (found := objective.read(result))]

    def measured(self, results: Sequence[Mapping[str, Any]]) -> float:
        """The mean of the metric over the results of a trial's runs.

        Raises: ValueError where a run has no such number.
        """
        values = self.values(results)
        if len(values) < len(results):
            raise ValueError(f"no value of '{self.metric}', which sweep.constraints names")
        return fmean(values)

    def excess(self, value: float) -> float:
        """By how much `value` breaks the bound; 0 or less where it does not."""
        return value - self.bound if self.at_most else self.bound - value


def optuna_stores_constraints() -> bool:
    """Whether the installed Optuna stores constraints with a trial, rather than asking for them."""
    from optuna.trial import Trial

    return hasattr(Trial, "set_constraint")


def store_measured(
    study: Study,
    trial: FrozenTrial,
    constraints: Sequence[Constraint],
    results: Sequence[Mapping[str, Any]],
    for_sampler: bool,
) -> str:
    """Store with an unfinished trial its value of each constraint, and by how much it breaks it.

    results: of the trial's runs.   for_sampler: whether to store them for Optuna's sampler too.
    Returns: why a constraint cannot be read; "" where all can.
    """
    try:
        values = [constraint.measured(results) for constraint in constraints]
    except ValueError as error:
        return str(error)
    excess = [c.excess(value) for c, value in zip(constraints, values, strict=True)]
    names = [str(c) for c in constraints]
    if names:
        kept = [list(one) for one in zip(names, values, excess, strict=True)]
        study._storage.set_trial_user_attr(trial._trial_id, _MEASURED, kept)
    if for_sampler and optuna_stores_constraints():
        from optuna.trial import Trial

        stored = Trial(study, trial._trial_id)
        for name, over in zip(names, excess, strict=True):
            if name not in stored.constraints:  # already there if a worker died after this line
                stored.set_constraint(name, over)
    elif for_sampler:
        study._storage.set_trial_system_attr(trial._trial_id, "constraints", excess)
    return ""


def excesses(trial: FrozenTrial) -> list[float]:
    """By how much a trial breaks each constraint, as Optuna 4 asks for them."""
    return [over for _, _, over in trial.user_attrs.get(_MEASURED, ())]


def broken(trial: FrozenTrial) -> str:
    """ "breaks seconds <= 60 (81.2)"; "" for a trial that meets every constraint."""
    found = trial.user_attrs.get(_MEASURED, ())
    beyond = [f"{text} ({value:.4g})" for text, value, over in found if over > 0]
    return f"breaks {', '.join(beyond)}" if beyond else ""


def broken_by(constraints: Sequence[Constraint], results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The constraints that the mean over runs with these results breaks, each with the mean:
    ["seconds <= 60 (81.2)"]. A run that did not measure one is left out of its mean."""
    means = [(one, fmean(found)) for one in constraints if (found := one.values(results))]
    return [f"{one} ({mean:.4g})" for one, mean in means if one.excess(mean) > 0]


def broken_by_runs(runs: Sequence[Run]) -> list[str]:
    """As `broken_by`, for the constraints of the sweep that these runs belong to."""
    part = runs[0].sweep if runs else None
    constraints = map(Constraint.of_record, part.constraints if part else ())
    return broken_by(list(constraints), [run.result for run in runs])


def met_by(constraints: Sequence[Constraint], results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a trial whose runs have these results may win."""
    try:
        return all(c.excess(c.measured(results)) <= 0 for c in constraints)
    except ValueError:
        return False
