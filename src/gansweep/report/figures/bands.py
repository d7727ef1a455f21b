"""The mean and the range of one curve over several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gansweep.records.read import Run

if TYPE_CHECKING:
    import numpy as np

POINTS = 200  # a screen cannot show more


@dataclass(frozen=True)
class Band:
    """Mean, lowest and highest value of `seeds` runs at each time in `kimg`."""

    kimg: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    seeds: int


def band(runs: Sequence[Run], column: str, points: int = POINTS) -> Band | None:
    """The band of a column, with linear interpolation between the measurements of each run.

    The band covers the times that all runs cover, so that every seed counts everywhere. A curve of
    more than `points` rows is averaged in windows.
    Returns: None if no run has the column, or if the runs have no time in common.
    """
    import numpy as np

    curves = []
    for run in runs:
        curve = run.curves.get(column)
        pairs = zip(curve.kimg, curve.values, strict=True) if curve else []
        kept = [(k, v) for k, v in pairs if isinstance(v, (int, float))]
        if kept:
            curves.append(np.array(kept, dtype=float))
    if not curves:
        return None
    start = max(curve[0, 0] for curve in curves)
    end = min(curve[-1, 0] for curve in curves)
    curves = [_thin(curve, points) for curve in curves]
    clocks = np.unique(np.concatenate([curve[:, 0] for curve in curves]))
    grid = clocks[(clocks >= start) & (clocks <= end)]
    if len(grid) == 0:
        return None
    if len(grid) > points:
        grid = grid[np.linspace(0, len(grid) - 1, points).round().astype(int)]
    values = np.stack([np.interp(grid, curve[:, 0], curve[:, 1]) for curve in curves])
    return Band(
        kimg=grid.tolist(),
        mean=values.mean(0).tolist(),
        low=values.min(0).tolist(),
        high=values.max(0).tolist(),
        seeds=len(curves),
    )


def _thin(curve: np.ndarray, points: int) -> np.ndarray:
    """(n, 2) times and values -> at most `points` rows, each the mean of a window."""
    import numpy as np

    if len(curve) <= points:
        return curve
    windows = np.array_split(curve, points)
    return np.stack([window.mean(0) for window in windows])
