"""Optimizers whose settings, as beta2 or the momentum, may follow a schedule."""

from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer

from gansweep.terms.clock import Clock
from gansweep.terms.schedules import value_at


class Maker:
    """Makes a player's optimizer from its parameters, and moves the settings that have a schedule.

    make: a functools.partial, as of a configuration. Its keywords may hold schedules, alone or in
        a list; the optimizer begins with their first values.
    """

    def __init__(self, make: Callable[..., Optimizer]) -> None:
        self.make = make
        given: Mapping[str, Any] = getattr(make, "keywords", {})
        self.scheduled = {name: value for name, value in given.items() if _changes(value)}

    def __call__(self, parameters: Any) -> Optimizer:
        return self.make(parameters, **self._settings(Clock()))

    def set(self, optimizer: Optimizer, clock: Clock) -> None:
        """Give an optimizer of this maker the settings of that moment."""
        settings = self._settings(clock)
        for group in optimizer.param_groups:
            group.update(settings)

    def values(self, clock: Clock) -> dict[str, float]:
        """The scheduled numbers at that moment: beta1, beta2, momentum."""
        found: dict[str, float] = {}
        for name, value in self.scheduled.items():
            numbers = enumerate(value, 1) if isinstance(value, list) else [("", value)]
            word = name.removesuffix("s") if isinstance(value, list) else name
            found |= {f"{word}{k}": value_at(x, clock) for k, x in numbers if callable(x)}
        return found

    def _settings(self, clock: Clock) -> dict[str, Any]:
        return {name: _at(value, clock) for name, value in self.scheduled.items()}


def _changes(value: Any) -> bool:
    return any(map(callable, value)) if isinstance(value, list) else callable(value)


def _at(value: Any, clock: Clock) -> Any:
    if isinstance(value, list):
        return [value_at(number, clock) for number in value]
    return value_at(value, clock)
