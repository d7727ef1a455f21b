"""What the rules say of a run: a finding with its evidence, and what to try next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["warning", "failure"]


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing worth trying.

    text: what it does, in a few words.   overrides: options of `gansweep train`, in Hydra's words.
    command: the whole line for a shell, the run's own command with the overrides in it.
    """

    text: str
    overrides: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One known failure, seen in one run.

    rule: its word, as in mode_collapse.   title: the same for a headline.
    text: one or two sentences with the numbers and the clock.
    columns: the curves to plot, the most telling first.
    kimg: first and last clock of the part of the run that was judged.
    numbers: what was compared, under short names.
    """

    rule: str
    title: str
    severity: Severity
    text: str
    columns: tuple[str, ...]
    kimg: tuple[float, float]
    numbers: Mapping[str, float] = field(default_factory=dict)
    remedies: tuple[Remedy, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """What the run's numbers cannot show.   rule: its word, or several in words.

    mend: how to measure what is missing.
    """

    rule: str
    text: str
    mend: str
