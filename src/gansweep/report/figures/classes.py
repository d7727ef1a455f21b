"""Figures of conditional runs: the requested class against the class that a classifier sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gansweep.report.figures.figures import Figure, plain, seeds_of
from gansweep.report.figures.palette import Variant

WORDED = 12  # with more classes the cells have no room for a number
WORST = 3  # number of confusions in the note
CELL = 26  # pixels


def confusions(variants: Sequence[Variant]) -> list[Figure]:
    """A heat map of shares for each variant: rows are requested classes, columns seen classes."""
    figures = []
    for variant in variants:
        found = seeds_of(variant, "confusion")
        if found and (tables := [table for counts in found.lists if (table := _shares(counts))]):
            figures.append(_table(variant, _means(tables), found.protocol))
    return figures


def _shares(counts: Sequence[float]) -> list[list[float | None]]:
    """The rows of the table, each with sum 1; None in the row of a class without samples."""
    k = math.isqrt(len(counts))
    if k * k != len(counts):
        return []
    rows = [counts[start : start + k] for start in range(0, len(counts), k)]
    return [[n / sum(row) if sum(row) else None for n in row] for row in rows]


def _means(seeds: Sequence[list[list[float | None]]]) -> list[list[float | None]]:
    k = len(seeds[0])
    cells = [[[table[i][j] for table in seeds] for j in range(k)] for i in range(k)]
    known = [[[v for v in values if v is not None] for values in row] for row in cells]
    return [[sum(v) / len(v) if v else None for v in row] for row in known]


def _table(variant: Variant, shares: list[list[float | None]], protocol: dict[str, Any]) -> Figure:
    k = len(shares)
    given = protocol.get("class_names")
    names = [str(name) for name in given] if given and len(given) == k else list(map(str, range(k)))
    note = _worst(shares, names)
    labels = [plain(name) for name in names]
    cells = {
        "type": "heatmap",
        "x": labels,
        "y": labels,
        "z": shares,
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "meta": variant.index,
        "showscale": False,
        "colorscale": [[0, variant.fill(0.04)], [1, variant.colour]],
        "hovertemplate": "requested %{y}, seen %{x}: %{z:.1%}<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "seen"}, "type": "category", "showgrid": False},
        "yaxis": {
            "title": {"text": "requested"},
            "type": "category",
            "autorange": "reversed",
            "showgrid": False,
        },
        "hovermode": "closest",
        "annotations": _percents(shares) if k <= WORDED else [],
    }
    title = variant.row.name
    alt = f"{title}: for each requested class, the percentage of samples seen as each class."
    height = 110 + CELL * min(k, 24)
    return Figure(title, f"{alt} {note}", [cells], layout, height, variant=variant.index, note=note)


def _percents(shares: list[list[float | None]]) -> list[dict[str, Any]]:
    """The percentage in each cell of 1 % or more; white on dark cells."""
    return [
        {
            "x": column,
            "y": row,
            "text": f"{100 * share:.0f}",
            "showarrow": False,
            "bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 10, **({"color": "#fff"} if share > 0.5 else {})},
        }
        for row, line in enumerate(shares)
        for column, share in enumerate(line)
        if share is not None and share >= 0.01
    ]


def _worst(shares: list[list[float | None]], names: Sequence[str]) -> str:
    """ "Most often confused: 8 seen as 1 in 9 %; ...", or that no class is confused."""
    wrong = [
        (share, names[i], names[j])
        for i, row in enumerate(shares)
        for j, share in enumerate(row)
        if i != j and share is not None and share >= 0.01
    ]
    if not wrong:
        return "No class is confused with another one."
    worst = sorted(wrong, key=lambda found: -found[0])[:WORST]
    pairs = "; ".join(f"{wanted} seen as {seen} in {share:.0%}" for share, wanted, seen in worst)
    return f"Most often confused: {pairs}."
