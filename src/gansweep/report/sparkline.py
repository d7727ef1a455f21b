"""Sparklines: a curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-=+*%#"  # for terminals without Unicode


@dataclass(frozen=True)
class Line:
    """drawn: one character for each time interval, a space if it has no measurement.

    low, high: the values of the lowest and the highest character.
    """

    drawn: str
    low: float
    high: float


def sparkline(points: Sequence[tuple[float, float]], width: int, levels: str = BLOCKS) -> Line:
    """A line of at most `width` characters, each the mean over an equal interval of kimg.

    points: (kimg, value), oldest first; values that are not finite are ignored.
    """
    known = [(kimg, value) for kimg, value in points if math.isfinite(value)]
    if not known:
        return Line("", math.nan, math.nan)
    first, last = known[0][0], known[-1][0]
    cells: list[list[float]] = [[] for _ in range(min(width, len(known)))]
    for kimg, value in known:
        share = (kimg - first) / (last - first) if last > first else 0.0
        cells[min(len(cells) - 1, int(share * len(cells)))].append(value)
    means = [math.fsum(cell) / len(cell) if cell else math.nan for cell in cells]
    low = min(m for m in means if math.isfinite(m))
    high = max(m for m in means if math.isfinite(m))
    drawn = "".join(_level(mean, low, high, levels) for mean in means)
    return Line(drawn, low, high)


def _level(value: float, low: float, high: float, levels: str) -> str:
    if not math.isfinite(value):
        return " "
    share = (value - low) / (high - low) if high > low else 0.0
    return levels[min(len(levels) - 1, int(share * len(levels)))]
