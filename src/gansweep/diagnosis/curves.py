"""Properties of a curve: its recent level, its trend, its swings.

A curve is a sequence of (kimg, value), oldest first. Values that are not finite are left out.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Callable, Sequence

Points = Sequence[tuple[float, float]]

LATE = 2 / 3  # of the clock: earlier problems may be over
HALF = 0.5
LEAST = 3  # points that a level needs, so that one outlier does not decide
MANY = 100  # points are enough for a trend; more only cost time
CERTAIN = 1.645  # z of a one-sided test at 5 %


def finite(points: Points) -> list[tuple[float, float]]:
    return [(kimg, value) for kimg, value in points if math.isfinite(value)]


def late(points: Points, share: float = LATE, least: int = LEAST) -> list[tuple[float, float]]:
    """The points after `share` of the clock; if too few, those of the second half.

    Empty if the second half has fewer than `least` points.
    """
    for border in (share, min(share, HALF)):
        if points:
            start = bisect_right(points, (border * points[-1][0], math.inf))
            inside = finite(points[start:])
            if len(inside) >= least:
                return inside
    return []


def level(points: Points) -> float:
    """The median value; nan without points."""
    return statistics.median(value for _, value in points) if points else math.nan


def peak(points: Points, best: Callable[..., float] = max) -> tuple[float, float]:
    """Clock and value of the best median of three in a row: one lucky value does not count."""
    known = finite(points)
    threes = zip(known, known[1:], known[2:], strict=False)
    middles = [(b[0], sorted((a[1], b[1], c[1]))[1]) for a, b, c in threes]
    value = best(value for _, value in middles)
    return next(point for point in middles if point[1] == value)


def trend(points: Points) -> int:
    """1 if the values rise, -1 if they fall, 0 if neither is certain (Mann-Kendall test).

    One-sided at 5 %: four points must all be in order, of five all but one pair.
    Source: Mann 1945, Econometrica 13(3); without the correction for ties.
    """
    known = finite(points)
    values = [value for _, value in known[:: math.ceil(len(known) / MANY) or 1]]
    n = len(values)
    if n < 4:
        return 0
    pairs = [(b > a) - (b < a) for k, a in enumerate(values) for b in values[k + 1 :]]
    # continuity correction by 1, since the sum changes in steps of 2
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    z = max(0, abs(sum(pairs)) - 1) / deviation
    return int(math.copysign(z > CERTAIN, sum(pairs)))


def swings(values: Sequence[float], size: float) -> int:
    """How often the curve changes direction and moves by at least `size`.

    The first rise or fall counts: up, down and up again are three.
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
