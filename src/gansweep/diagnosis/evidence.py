"""All that is known of one run when it is judged, from its record or while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gansweep.metrics.protocol import scores_called

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Evidence:
    """One run's numbers and settings.

    curves: column of the history -> (kimg, value), oldest first; a value may be nan.
    protocols: full name of each score -> its protocol.
    objective: the full name of the score that chooses the best checkpoint, or None.
    counts: clock -> samples in each mode, of one score mode_counts, oldest first.
    mode_names: of the modes, in the order of the counts; empty where they have none.
    config: the resolved configuration, as in config.yaml.
    status, reason: of result.json; "running" while it trains.
    command: what trains the run again; directory: of its record. Both for the remedies.
    """

    curves: Mapping[str, Points]
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objective: str | None = None
    counts: Sequence[tuple[float, Sequence[float]]] = ()
    mode_names: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    status: str = "running"
    reason: str = ""
    command: str = "gansweep train"
    directory: str = ""

    @property
    def budget_kimg(self) -> float:
        return float(self.config.get("budget_kimg") or self.kimg)

    @property
    def kimg(self) -> float:
        """The clock of the newest number."""
        return max((points[-1][0] for points in self.curves.values() if points), default=0.0)

    def score(self, word: str) -> str | None:
        """The full name of the most often measured score called `word`; the objective goes first.

        Scores of one word under other protocols are other numbers, and are not mixed with it.
        """
        names = [name for name in scores_called(self.protocols, word) if self.curves.get(name)]
        if self.objective in names:
            return self.objective
        return max(names, key=lambda name: len(self.curves[name]), default=None)
