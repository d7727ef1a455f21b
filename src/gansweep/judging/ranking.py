"""The order of every leaderboard, and the Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


def lower_is_better(value: float, direction: str | None) -> float:
    """The value, negated where it is to be maximised."""
    return -value if direction == "maximize" else value


def ranked(items: Iterable[Item], place: Callable[[Item], Any]) -> list[tuple[int, Item]]:
    """(rank, item) from the best to the worst, ranks from 1; equal places share a rank: 1, 1, 3.

    place: lower is better.   Items of one place keep their order.
    """
    found: list[tuple[int, Item]] = []
    for number, item in enumerate(sorted(items, key=place), 1):
        tied = found and place(found[-1][1]) == place(item)
        found.append((found[-1][0] if tied else number, item))
    return found


def by_mean(mean: float, direction: str | None, flawed: bool) -> tuple[bool, float]:
    """The place of a configuration over its seeds: with a flaw it comes after all without one.

    flawed: it lost a seed, as a mean over the survivors would reward a configuration that often
        fails; or it breaks a constraint.
    """
    return flawed, lower_is_better(mean, direction)


def pareto_front(
    points: Sequence[Sequence[float]], directions: Sequence[str], flawed: Sequence[bool] = ()
) -> list[int]:
    """The indices of the points that no other one dominates, in their order.

    A point dominates another one if it is nowhere worse and somewhere better. Equal points are all
    kept or all left out.   flawed: of each point; with a flaw it dominates none without one.
    """
    costs = [[lower_is_better(*pair) for pair in zip(p, directions, strict=True)] for p in points]
    for cost, flaw in zip(costs, flawed, strict=False):
        cost.append(float(flaw))

    def dominated(cost: list[float]) -> bool:
        return any(
            one != cost and all(x <= y for x, y in zip(one, cost, strict=True)) for one in costs
        )

    return [place for place, cost in enumerate(costs) if not dominated(cost)]
