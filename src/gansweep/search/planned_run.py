"""One training run of a trial, as it is planned."""

from __future__ import annotations

from dataclasses import dataclass

from gansweep.records.record import Source


@dataclass(frozen=True)
class PlannedRun:
    """One training run of an attempt, with a record of its own."""

    name: str  # of its directory below the sweep's
    overrides: list[str]
    seed: int | None = None  # None: that of the sweep, or of the search space
    until_kimg: float | None = None  # where it pauses; None: its whole budget
    source: Source | None = None  # whose weights it begins with, where not its own
