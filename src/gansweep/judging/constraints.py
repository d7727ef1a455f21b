"""Constraints of a sweep: bounds on a run's scores and costs that a winner must meet."""

from __future__ import annotations

import contextlib
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gansweep.errors import UserError
from gansweep.judging.objective import Objective
from gansweep.records.read import Run
from gansweep.records.sweep_part import SweepPart

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

    @property
    def objective(self) -> Objective:
        """Reads the metric at the end of a run."""
        return Objective(self.metric, "minimize", "last")

    def measured(self, results: Sequence[Mapping[str, Any]]) -> float:
        """The mean of the metric over the results of a trial's runs.

        Raises: ValueError where a run has no such number.
        """
        found = [self.objective.read(result) for result in results]
        values = [value for _, value in filter(None, found)]
        if len(values) < len(results):
            raise ValueError(f"no value of '{self.metric}', which sweep.constraints names")
        return statistics.fmean(values)

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
    return _breaks(f"{text} ({value:.4g})" for text, value, over in found if over > 0)


def broken_by_results(
    constraints: Sequence[Constraint], results: Sequence[Mapping[str, Any]]
) -> str:
    """As `broken`, by the mean over runs with these results. A constraint that a run did not
    measure counts as met."""
    values = []
    for constraint in constraints:
        with contextlib.suppress(ValueError):
            values.append((constraint, constraint.measured(results)))
    return _breaks(_beyond(values))


def broken_by_runs(runs: Sequence[Run]) -> list[str]:
    """The constraints of their sweep that the mean over these runs breaks, each with the mean:
    ["seconds <= 60 (81.2)"]. Runs that did not measure one are left out of its mean."""
    values = []
    for constraint in constraints_of(runs[0].sweep) if runs and runs[0].sweep else ():
        objective = constraint.objective
        columns = [(run, objective.column(run, runs)) for run in runs]
        found = [objective.value(run, column) for run, column in columns if column]
        known = [value for value in found if value is not None]
        if known:
            values.append((constraint, math.fsum(known) / len(known)))
    return _beyond(values)


def constraints_of(part: SweepPart) -> list[Constraint]:
    return [Constraint.of_record(one) for one in part.constraints]


def met_by(constraints: Sequence[Constraint], results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a trial whose runs have these results may win."""
    try:
        return all(c.excess(c.measured(results)) <= 0 for c in constraints)
    except ValueError:
        return False


def _beyond(values: Iterable[tuple[Constraint, float]]) -> list[str]:
    return [f"{one} ({value:.4g})" for one, value in values if one.excess(value) > 0]


def _breaks(words: Iterable[str]) -> str:
    listed = ", ".join(words)
    return f"breaks {listed}" if listed else ""
