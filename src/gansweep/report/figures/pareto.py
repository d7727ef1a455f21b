"""Figures of trials over two objectives, with their Pareto front."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from gansweep.judging.leaderboard import Board
from gansweep.judging.pareto import Candidate, Front, fronts
from gansweep.judging.ranking import pareto_front
from gansweep.records.notation import number, plural
from gansweep.report.figures.figures import Figure, plain, value_axis
from gansweep.report.figures.palette import NEUTRAL, Line, lines_of_models

PAIRS = 3  # figures of a sweep, at most
PALE = 0.3


def pareto_figures(board: Board) -> list[Figure]:
    """A figure for each pair of objectives, for each sweep with several objectives."""
    lines = lines_of_models(board)
    found = fronts(board)
    figures = []
    for sweep, trials, confirmed in found:
        if trials is None:
            continue
        name = f"{sweep.name}: " if len(found) > 1 else ""
        pairs = list(itertools.combinations(range(len(trials.objectives)), 2))[:PAIRS]
        for x, y in pairs:
            figures.append(_figure(name, trials, confirmed, (x, y), lines))
            figures[-1].wide = len(pairs) == 1
    return figures


def _figure(
    name: str, trials: Front, confirmed: Front | None, pair: tuple[int, int], lines: dict[str, Line]
) -> Figure:
    x, y = pair
    title = f"{name}{trials.columns[y]} against {trials.columns[x]}"
    data = [_joined(trials, pair)]
    several = len({one.row.model for one in trials.candidates}) > 1
    for model in dict.fromkeys(one.row.model for one in trials.candidates):
        members = [one for one in trials.candidates if one.row.model == model]
        data.append(_dots(members, trials, pair, lines[model], several))
    shown = [one.point for one in trials.candidates]
    # confirmations fit these axes only if they were measured in the same way
    if confirmed and [confirmed.columns[i] for i in pair] == [trials.columns[i] for i in pair]:
        data += [
            _confirmed(one, confirmed, pair, lines[one.row.model]) for one in confirmed.candidates
        ]
        shown += [one.point for one in confirmed.candidates]
    axes = [_axis(trials, i, [point[i] for point in shown]) for i in pair]
    layout = {
        "xaxis": axes[0],
        "yaxis": axes[1],
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }
    points = [f"{o.row.name} {number(o.point[x])} and {number(o.point[y])}" for o in trials.members]
    count = plural(len(trials.candidates), "trial")
    alt = (
        f"{count} by {trials.columns[x]} and {trials.columns[y]}. "
        f"On the front: {'; '.join(points)}."
    )
    return Figure(title, alt, data, layout, height=400)


def _axis(front: Front, place: int, values: Sequence[float]) -> dict[str, Any]:
    """An axis around the values with a margin. Wide intervals of two seeds may leave it."""
    axis = value_axis(values)
    scaled = [math.log10(v) for v in values] if axis["type"] == "log" else list(values)
    margin = 0.08 * (max(scaled) - min(scaled)) or 0.5
    better = "higher" if front.objectives[place].direction == "maximize" else "lower"
    words = f"{front.columns[place]}, {better} is better"
    words += ", log scale" if axis["type"] == "log" else ""
    span = [min(scaled) - margin, max(scaled) + margin]
    return {**axis, "title": {"text": plain(words)}, "range": span}


def _joined(front: Front, pair: tuple[int, int]) -> dict[str, Any]:
    """The staircase through the front of two objectives."""
    x, y = pair
    points = [(one.point[x], one.point[y]) for one in front.candidates]
    directions = [front.objectives[x].direction, front.objectives[y].direction]
    best = sorted(points[i] for i in pareto_front(points, directions))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [a for a, _ in best],
        "y": [b for _, b in best],
        # between two points the value of the point that is better in x holds
        "line": {
            "shape": "vh" if directions[0] == "maximize" else "hv",
            "color": NEUTRAL,
            "width": 1.5,
        },
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _dots(
    members: Sequence[Candidate], front: Front, pair: tuple[int, int], line: Line, named: bool
) -> dict[str, Any]:
    """The trials of one model; dominated trials are pale."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [one.point[pair[0]] for one in members],
        "y": [one.point[pair[1]] for one in members],
        "name": plain(members[0].row.model),
        "text": [_hover(one, front) for one in members],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": named,
        "marker": {
            "color": line.colour,
            "size": [11 if one.on_front else 7 for one in members],
            "opacity": [1.0 if one.on_front else PALE for one in members],
        },
    }


def _hover(one: Candidate, front: Front) -> str:
    parts = [f"{c} {number(v)}" for c, v in zip(front.columns, one.point, strict=True)]
    return "<br>".join(plain(text) for text in [f"{one.run}: {one.row.label}", *parts])


def _confirmed(one: Candidate, front: Front, pair: tuple[int, int], line: Line) -> dict[str, Any]:
    """A diamond at the mean over fresh seeds, with the 95 % intervals of both means."""
    reach = [
        (summary.interval[1] - summary.mean) if summary.interval else 0.0 for summary in one.values
    ]
    bar = {"color": line.colour, "thickness": 1, "width": 3}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [one.point[pair[0]]],
        "y": [one.point[pair[1]]],
        "error_x": {**bar, "array": [reach[pair[0]]]},
        "error_y": {**bar, "array": [reach[pair[1]]]},
        "text": [f"confirmed: {_hover(one, front)}"],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
        "marker": {
            "symbol": "diamond-open",
            "size": 12,
            "color": line.colour,
            "line": {"width": 2},
            "opacity": 1.0 if one.on_front else PALE,
        },
    }
