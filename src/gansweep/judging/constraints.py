"""What a winner must meet: bounds on scores and on what a run costs, as in "seconds <= 60"."""

from __future__ import annotations

import contextlib
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from gansweep.errors import UserError
from gansweep.judging.objective import Objective

# whether the installed Optuna is told a trial's constraints, rather than asking for them
TELLS_OPTUNA = hasattr(Trial, "set_constraint")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_WRITTEN = re.compile(rf"\s*([A-Za-z_][\w.-]*)\s*(<=|>=)\s*({_NUMBER})\s*")
_MEASURED = "constraints"  # the attribute of a trial that keeps what it measured of each


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

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.at_most else '>='} {self.bound:g}"

    def measured(self, results: Sequence[Mapping[str, Any]]) -> float:
        """The mean of the metric over the results of a trial's runs, at their end.

        Raises: ValueError where a run has no such number.
        """
        metric = Objective(self.metric, "minimize", "last")
        found = [metric.read(result) for result in results]
        values = [value for _, value in filter(None, found)]
        if len(values) < len(results):
            raise ValueError(f"no value of '{self.metric}', which sweep.constraints names")
        return statistics.fmean(values)

    def excess(self, value: float) -> float:
        """By how much `value` breaks the bound; 0 or less where it does not."""
        return value - self.bound if self.at_most else self.bound - value


def note_measured(
    study: Study,
    trial: FrozenTrial,
    constraints: Sequence[Constraint],
    results: Sequence[Mapping[str, Any]],
    heeded: bool,
) -> str:
    """Keep with a trial that has not been told yet what it measured of each constraint.

    results: of the trial's runs.   heeded: whether the sampler is to know.
    Returns: why not every constraint can be read; "" where they can.
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
    if heeded and TELLS_OPTUNA:
        told = Trial(study, trial._trial_id)
        for name, over in zip(names, excess, strict=True):
            if name not in told.constraints:  # else somebody died after these lines
                told.set_constraint(name, over)
    elif heeded:
        study._storage.set_trial_system_attr(trial._trial_id, "constraints", excess)
    return ""


def breaking(constraints: Sequence[Constraint], results: Sequence[Mapping[str, Any]]) -> str:
    """ "breaks seconds <= 60 (81.2)" by the mean over runs with these results; "" where they meet
    every constraint that they measured."""
    words = []
    for constraint in constraints:
        with contextlib.suppress(ValueError):
            value = constraint.measured(results)
            words += [f"{constraint} ({value:.4g})"] if constraint.excess(value) > 0 else []
    return f"breaks {', '.join(words)}" if words else ""


def met_by(constraints: Sequence[Constraint], results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a trial whose runs have these results may win."""
    try:
        return all(c.excess(c.measured(results)) <= 0 for c in constraints)
    except ValueError:
        return False


def excesses(trial: FrozenTrial) -> list[float]:
    """By how much a trial breaks each constraint, as Optuna 4 asks for them."""
    return [over for _, _, over in trial.user_attrs.get(_MEASURED, ())]


def broken(trial: FrozenTrial) -> str:
    """ "breaks seconds <= 60 (81.2)"; "" for a trial that meets all of them."""
    found = trial.user_attrs.get(_MEASURED, ())
    words = [f"{text} ({value:.4g})" for text, value, over in found if over > 0]
    return f"breaks {', '.join(words)}" if words else ""
