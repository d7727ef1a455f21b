"""What a sweep runs next: its trials in their order, then the runs that confirm the winners."""

import random
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from gansweep.search.domains import Scalar
from gansweep.search.listed import Listed
from gansweep.search.population import Population
from gansweep.search.settings import Settings
from gansweep.search.space import Space

# what is fixed of a trial's parameters, and its attributes
Planned = tuple[dict[str, Scalar], dict[str, Any]]


def space_of(settings: Settings) -> Space:
    """The space of a sweep; an empty one where its runs are listed."""
    return Space([]) if settings.points else Space.parse(settings.space)


class Queue:
    """A sweep's trials in order: those of a list, or the enqueued ones, then a grid's points or the
    sampler's."""

    def __init__(self, settings: Settings, space: Space) -> None:
        self._points: list[dict[str, Scalar]] = []
        self._first: list[dict[str, Any]] = settings.enqueue
        self.n_trials = settings.n_trials
        self.population: Population | None = None
        self.listed = Listed(settings.points) if settings.points else None
        if settings.sampler["name"] == "population":
            self.population = Population(settings, space)
            self.n_trials *= self.population.generations
        if settings.sampler["name"] == "grid":
            self._points = space.grid()
            # shuffled, so that a sweep stopped early has seen a bit of everything
            random.Random(int(settings.sampler["seed"])).shuffle(self._points)
            self.n_trials = min(self.n_trials, len(self._points))

    def next_trial(self, trials: Sequence[FrozenTrial]) -> Planned | None:
        """The trial to queue after `trials`, each once; None if the budget is spent."""
        if self.listed is not None:
            attrs = self.listed.next_point(trials)
            return None if attrs is None else ({}, attrs)
        planned = self._next(trials)
        if planned is None or planned[1].get("generation", 0) > 0:
            return planned
        first = self._next_enqueued(trials)
        if first is None:
            return planned
        # a later attempt may have more parameters fixed than were enqueued, from its record
        taken = {"source": first["source"], "enqueued": first["params"]}
        return first["params"], {**planned[1], **taken}

    def _next(self, trials: Sequence[FrozenTrial]) -> Planned | None:
        if self.population is not None:
            return self.population.next_unit(trials)
        number = len(trials)
        fixed = self._points[number] if number < len(self._points) else {}
        planned = fixed, {"key": f"t{number:04d}", "attempt": 1, "kills": 0}
        return planned if number < self.n_trials else None

    def _next_enqueued(self, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        """The first of the enqueued configurations that is not among `trials`. They are compared by
        what they fix: the earlier sweep that they come from may have grown."""
        begun = [
            # older studies have no "enqueued"
            t.user_attrs.get("enqueued", t.system_attrs["fixed_params"])
            for t in trials
            if "source" in t.user_attrs
        ]
        return next((first for first in self._first if first["params"] not in begun), None)
