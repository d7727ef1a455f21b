"""The curves of runs as blocks of bytes, which the page decodes when a figure needs them.

A block is the curves of all runs of a board: for each run its kimg, its seconds, then each of its
columns, all of the same length, as little-endian float32. A gap is NaN. The block is stored by
bytes: first the lowest byte of every number, then the second, and so on, which compresses better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gansweep.records.read import Run

# The bits of a float32 below its 16 highest bits of the mantissa: the page shows four digits.
LOW_BITS = 0x7F
SCALARS = {float, int, bool, type(None)}


@dataclass
class CurveBlock:
    """content: the bytes.   entry: what the payload says of them.

    entry: {"names": [column], "runs": {run id: {"start", "length", "columns": [index of names]}}};
        start: in numbers from the block's beginning.
    """

    content: bytes
    entry: dict[str, Any] = field(default_factory=dict)


def curve_block(runs: Mapping[str, Run]) -> CurveBlock:
    """The block of these runs.   runs: id -> run."""
    names: dict[str, int] = {}
    parts: list[NDArray[np.float32]] = []
    entries: dict[str, Any] = {}
    start = 0
    for key, run in runs.items():
        columns = {name: curve for name, curve in run.curves.items() if _is_scalar(curve.values)}
        clocks = sorted(set().union(*(curve.kimg for curve in columns.values())))
        places = {clock: place for place, clock in enumerate(clocks)}
        wanted = [name for name in columns if name != "seconds"]
        table = np.full((2 + len(wanted), len(clocks)), math.nan)
        table[0] = clocks
        for row, name in [(1, "seconds"), *enumerate(wanted, 2)]:
            if name in columns:
                curve = columns[name]
                own: Any = slice(None)  # most columns have a value in every row
                if len(curve.kimg) < len(clocks):
                    own = [places[clock] for clock in curve.kimg]
                table[row, own] = np.array(curve.values, dtype=float)  # None becomes NaN
        numbers = _narrow(table)
        numbers[2:] = _rounded(numbers[2:])
        parts.append(numbers.ravel())
        indices = [names.setdefault(name, len(names)) for name in wanted]
        entries[key] = {"start": start, "length": len(clocks), "columns": indices}
        start += numbers.size
    flat = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    planes = flat.astype("<f4").view(np.uint8).reshape(-1, 4).T
    return CurveBlock(np.ascontiguousarray(planes).tobytes(), {"names": [*names], "runs": entries})


def _is_scalar(values: list[Any]) -> bool:
    return set(map(type, values)) <= SCALARS


def _narrow(table: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # beyond float32 is infinite: a run that diverged
        return table.astype(np.float32)


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """To 16 bits of the mantissa: a relative error of at most 1e-5. NaN and infinities stay."""
    bits = values.view(np.uint32) + np.uint32(LOW_BITS // 2 + 1)
    rounded: NDArray[np.float32] = (bits & np.uint32(0xFFFFFFFF ^ LOW_BITS)).view(np.float32)
    return np.where(np.isfinite(values), rounded, values)
