"""What a curve does: its level of late, its trend, its swings.

A curve is a sequence of (kimg, value), oldest first. Values that are not finite are left out.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Sequence

from gansweep.diagnosis.evidence import Points

LATE = 2 / 3  # of the clock: what came before it may have been overcome
HALF = 0.5
LEAST = 3  # points that a level needs, so that one outlier decides nothing
MANY = 100  # points that show any trend; more only cost time
CERTAIN = 1.645  # of a normal distribution, one-sided 5 %


def finite(points: Points) -> list[tuple[float, float]]:
    return [(kimg, value) for kimg, value in points if math.isfinite(value)]


def late(points: Points, share: float = LATE, least: int = LEAST) -> list[tuple[float, float]]:
    """The points after `share` of the clock, or else of its second half where they are too few.

    Empty where there are fewer than `least` in the second half.
    """
    for border in (share, min(share, HALF)):
        if points:
            start = bisect_right(points, (border * points[-1][0], math.inf))
            inside = finite(points[start:])
            if len(inside) >= least:
                return inside
    return []


def level(points: Points) -> float:
    """The median value; nan where there is none."""
    return statistics.median(value for _, value in points) if points else math.nan


def peak(points: Points, best: Callable[..., float] = max) -> tuple[float, float]:
    """Clock and value of the best median of three in a row: one lucky value binds nobody."""
    known = finite(points)
    middles = [(known[n][0], level(known[n - 1 : n + 2])) for n in range(1, len(known) - 1)]
    value = best(value for _, value in middles)
    return next(point for point in middles if point[1] == value)


def trend(points: Points) -> int:
    """1 where the values rise, -1 where they fall, 0 where neither is certain (Mann-Kendall).

    Four points must all be in order, of five all but one pair. One-sided at 5 %.
    Source: Mann 1945, Econometrica 13(3); without the correction for ties.
    """
    known = finite(points)
    values = [value for _, value in known[:: math.ceil(len(known) / MANY) or 1]]
    n = len(values)
    if n < 4:
        return 0
    pairs = [(b > a) - (b < a) for k, a in enumerate(values) for b in values[k + 1 :]]
    # the sum moves in steps of 2, hence the correction by 1
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    z = max(0, abs(sum(pairs)) - 1) / deviation
    return int(math.copysign(z > CERTAIN, sum(pairs)))


def swings(values: Sequence[float], size: float) -> int:
    """How often the curve turns round and goes back by at least `size`.

    A first rise or fall counts as one: up, down and up again are three.
    """
    low = high = extreme = values[0] if values else 0.0
    direction, turns = 0, 0
    for value in values:
        low, high = min(low, value), max(high, value)
        if direction == 0:
            if high - low >= size:
                direction, extreme, turns = (1 if value == high else -1), value, 1
        elif direction * (value - extreme) > 0:
            extreme = value
        elif direction * (extreme - value) >= size:
            direction, extreme, turns = -direction, value, turns + 1
    return turns


def clocks(points: Points) -> tuple[float, float]:
    """The first and the last clock."""
    return points[0][0], points[-1][0]
