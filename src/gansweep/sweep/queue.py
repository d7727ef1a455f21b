"""What a sweep runs next: its trials in their order, then the runs that confirm the winners."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from gansweep.sweep.domains import Scalar
from gansweep.sweep.settings import Settings
from gansweep.sweep.space import Space


class Queue:
    """The trials of a sweep in their order: points of a grid, or what the sampler proposes."""

    def __init__(self, settings: Settings, space: Space) -> None:
        self._points: list[dict[str, Scalar]] = []
        self.n_trials = settings.n_trials
        if settings.sampler["name"] == "grid":
            self._points = space.grid()
            # shuffled, so that a sweep stopped early has seen a bit of everything
            random.Random(int(settings.sampler["seed"])).shuffle(self._points)
            self.n_trials = min(self.n_trials, len(self._points))

    def next_trial(
        self, trials: Sequence[FrozenTrial]
    ) -> tuple[dict[str, Scalar], dict[str, Any]] | None:
        """(what is fixed of its parameters, its attributes) of the trial to queue after `trials`;
        None where the budget has none left."""
        number = len({t.user_attrs["key"] for t in trials})
        if number >= self.n_trials:
            return None
        point = self._points[number] if number < len(self._points) else {}
        return point, {"key": f"t{number:04d}", "attempt": 1, "kills": 0}
