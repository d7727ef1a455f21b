"""Which number of a run an objective of its sweep means, and which trials no other one beats."""

from __future__ import annotations

from collections.abc import Sequence

from gansweep.records.read import Run
from gansweep.records.sweep_part import Goal

UNNAMED = ("fid", "reverse_kl")  # what "auto" means where a run does not say what judges it


def column_of(run: Run, metric: str, alike: Sequence[Run]) -> str | None:
    """The full name of the score that `metric` means for this run, or the key of its result.

    metric: as the sweep's settings name it.   alike: runs of the same sweep. A full name stands
    for the same score of a run that was measured with another sample, as confirmations may be.
    """
    scores = run.scores()
    if metric == "auto":
        named = [run.result.get("objective"), *(c for word in UNNAMED for c in run.called(word))]
        return next((name for name in named if name in scores), None)
    if metric in scores:
        return metric
    protocols = [p for other in alike if (p := other.protocols.get(metric))]
    word = str(protocols[0].get("score")) if protocols else metric
    called = [name for name in run.called(word) if name in scores]
    if called:
        return called[0]
    return metric if run.number(metric) is not None else None


def value_of(run: Run, goal: Goal, column: str) -> float | None:
    """A run's value of an objective, read from this column."""
    return run.value(column, goal.at) if column in run.scores() else run.number(column)


def dominates(a: Sequence[float], b: Sequence[float], directions: Sequence[str]) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    gaps = [sign * (x - y) for sign, x, y in zip(signs, a, b, strict=True)]
    return all(gap <= 0 for gap in gaps) and any(gap < 0 for gap in gaps)


def pareto_front(points: Sequence[Sequence[float]], directions: Sequence[str]) -> list[int]:
    """The indices of the points that no other one dominates, in their order.

    Equal points are all kept or all left out.
    """
    return [
        place
        for place, point in enumerate(points)
        if not any(dominates(other, point, directions) for other in points)
    ]
