"""The results of a diagnosis: findings, remedies, and gaps in the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "failure"]
TITLES = {
    "over_generalisation": "Over-generalisation",
    "vanishing_gradient": "Vanishing generator gradient",
}


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing worth trying.

    text: what it does, in a few words.   overrides: for `gansweep train`, in Hydra's syntax.
    command: a whole shell command: the run's own command with the overrides; "" for a training
        loop of its own.
    """

    text: str
    overrides: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One known failure, found in one run.

    rule: its name, such as mode_collapse.
    text: one or two sentences with the numbers and the clock.
    columns: the curves to plot, the most informative first.
    kimg: first and last clock of the part of the run that was judged.
    """

    rule: str
    severity: Severity
    text: str
    columns: tuple[str, ...]
    kimg: tuple[float, float]
    remedies: tuple[Remedy, ...] = ()

    @property
    def title(self) -> str:
        """The rule as a headline."""
        return TITLES.get(self.rule, self.rule.replace("_", " ").capitalize())


@dataclass(frozen=True, slots=True)
class Gap:
    """A failure that the run's numbers cannot show.

    rule: its name, or a description of several.   fix: how to measure what is missing.
    """

    rule: str
    text: str
    fix: str
