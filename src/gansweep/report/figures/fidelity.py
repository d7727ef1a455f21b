"""Figures of fidelity against diversity, and of FID with its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gansweep.judging.leaderboard import Board
from gansweep.judging.protocols import measured_with
from gansweep.records.notation import number
from gansweep.report.figures.figures import Figure, name_of, plain, two_lines
from gansweep.report.figures.palette import Variant
from gansweep.report.page.cautions import Measured, measured

Point = tuple[float, float]  # diversity, fidelity

PAIRS = (("precision", "recall"), ("density", "coverage"))
# Configurations of one model have the same colour. Lines differ by dash, and dots by symbol.
SYMBOLS = {
    "solid": "circle",
    "dash": "diamond",
    "dot": "square",
    "dashdot": "triangle-up",
    "longdash": "cross",
}


def fidelity_against_diversity(board: Board, variants: Sequence[Variant]) -> list[Figure]:
    """A scatter plot for each pair of scores: a dot for each run, a label at the mean.

    If a pair was measured with several protocols on the same data, the one with the most runs is
    shown; evaluations after training come first among equals.
    """
    figures = []
    for words in PAIRS:
        chosen: dict[Any, tuple[tuple[int, bool], Figure]] = {}
        for y in board.scores:
            runs = [run for run in board.runs if y in run.called(words[0])]
            partners = {measured_with(run, y, words[1]) for run in runs} & {*board.scores}
            for x in filter(None, partners):
                figure = _scatter(board, variants, y, x, words)
                protocol = runs[0].protocols[y]
                rank = (len(runs), "checkpoint" in protocol)
                data = protocol.get("data")
                if figure and (data not in chosen or rank > chosen[data][0]):
                    chosen[data] = rank, figure
        figures += [figure for _, figure in chosen.values()]
    return figures


def _scatter(
    board: Board, variants: Sequence[Variant], y: str, x: str, words: tuple[str, str]
) -> Figure | None:
    found = [(variant, _points(variant, x, y, board.at)) for variant in variants]
    found = [(variant, points) for variant, points in found if points]
    if not found:
        return None
    means = [_mean(points) for _, points in found]
    sides = _label_sides(means)
    traces = [
        trace
        for (variant, points), mean, side in zip(found, means, sides, strict=True)
        for trace in _dots(variant, points, mean, side, words)
    ]
    layout = {
        "xaxis": {"title": {"text": plain(x)}, "range": _range(found, 0)},
        "yaxis": {"title": {"text": plain(y)}, "range": _range(found, 1)},
        "hovermode": "closest",
        "annotations": [
            _corner("towards mode collapse", 0.01, 0.99, "left", "top"),
            _corner("towards over-generalisation", 0.99, 0.01, "right", "bottom"),
        ],
    }
    parts = [
        f"{variant.row.name} {number(mean[0])} and {number(mean[1])}"
        for (variant, _), mean in zip(found, means, strict=True)
    ]
    alt = f"{words[1]} and {words[0]}: {'; '.join(parts)}."
    title = f"{words[0].capitalize()} against {words[1]}"
    return Figure(title, alt, traces, layout, height=360)


def _points(variant: Variant, x: str, y: str, at: str) -> list[Point]:
    values = [(run.value(x, at), run.value(y, at)) for run in variant.row.shown]
    return [(a, b) for a, b in values if a is not None and b is not None]


def _mean(points: Sequence[Point]) -> Point:
    return sum(a for a, _ in points) / len(points), sum(b for _, b in points) / len(points)


def _range(found: Sequence[tuple[Variant, list[Point]]], axis: int) -> list[float]:
    """From a tenth below the lowest value up to 1, or to the highest value if it is above 1."""
    values = [point[axis] for _, points in found for point in points]
    low, high = max(0.0, math.floor(10 * min(values) - 1) / 10), max(1.0, *values)
    return [low - 0.03 * (high - low), high + 0.06 * (high - low)]


def _label_sides(means: Sequence[Point]) -> list[str]:
    """Positions of labels: left of dots on the right side, and away from a close dot."""
    xs, ys = [x for x, _ in means], [y for _, y in means]
    close = 0.1 * (max(1.0, *ys) - min(ys) + 0.1)
    sides = []
    for x, y in means:
        above = any(0 < other - y < close for other in ys)
        below = any(0 < y - other < close for other in ys)
        height = "middle" if above == below else "bottom" if above else "top"
        sides.append(f"{height} {'left' if x > (min(*xs, 0.5) + 1) / 2 else 'right'}")
    return sides


def _dots(
    variant: Variant, points: list[Point], mean: Point, side: str, words: tuple[str, str]
) -> list[dict[str, Any]]:
    """A large labelled dot at the mean, and a small dot for each run if there are several."""
    common = {
        "type": "scatter",
        "name": name_of(variant),
        "meta": variant.index,
        "showlegend": False,
        "hovertemplate": f"{words[1]} %{{x:.3f}}, {words[0]} %{{y:.3f}}",
    }
    marker = {"color": variant.colour, "symbol": SYMBOLS[variant.dash]}
    label = {
        **common,
        "mode": "markers+text",
        "x": [mean[0]],
        "y": [mean[1]],
        "text": [plain(variant.row.model)],
        "textposition": side,
        "textfont": {"size": 11},
        "marker": {**marker, "size": 11},
    }
    if len(points) == 1:
        return [label]
    xs, ys = [a for a, _ in points], [b for _, b in points]
    runs = {**common, "mode": "markers", "x": xs, "y": ys, "marker": {**marker, "size": 5}}
    return [{**runs, "opacity": 0.6}, label]


def _corner(text: str, x: float, y: float, xanchor: str, yanchor: str) -> dict[str, Any]:
    place = {"x": x, "y": y, "xref": "paper", "yref": "paper"}
    anchors = {"xanchor": xanchor, "yanchor": yanchor, "showarrow": False}
    return {**place, **anchors, "text": f"<i>{text}</i>", "font": {"size": 11}, "opacity": 0.7}


def fid_and_its_errors(board: Board, variants: Sequence[Variant]) -> list[Figure]:
    """FID and FID-infinity with their 95 % intervals, for each FID that has one of these."""
    figures = []
    for score in board.scores:
        if not any(score in run.called("fid") for run in board.runs):
            continue
        of_row = {one.row.key: one for one in measured(board, score)}
        found = [(v, of_row[v.row.key]) for v in variants if v.row.key in of_row]
        if any(one.endless is not None or one.error is not None for _, one in found):
            figures.append(_errors(score, found))
    return figures


def _errors(score: str, found: Sequence[tuple[Variant, Measured]]) -> Figure:
    traces: list[dict[str, Any]] = []
    parts: list[str] = []
    for place, (variant, one) in enumerate(found):
        common = {
            "type": "scatter",
            "mode": "markers",
            "y": [place],
            "meta": variant.index,
            "showlegend": False,
        }
        dot = {"color": variant.colour, "size": 11}
        trace = {**common, "x": [one.fid], "marker": dot, "name": "FID"}
        if one.error is not None:
            trace["error_x"] = {"array": [one.error], "color": variant.colour, "thickness": 1.5}
        traces.append({**trace, "hovertemplate": "%{x:.4g}"})
        part = f"{variant.row.name} {number(one.fid)}"
        if one.endless is not None:
            open_dot = {**dot, "symbol": "circle-open", "line": {"width": 2}}
            hover = {"name": "FID-infinity", "hovertemplate": "%{x:.4g}"}
            ring = {**common, **hover, "x": [one.endless], "marker": open_dot}
            if one.endless_error is not None:
                ring["error_x"] = {"array": [one.endless_error], "color": variant.colour}
            traces.append(ring)
            part += f", FID-infinity {number(one.endless)}"
        parts.append(part)
    names = [two_lines(variant) for variant, _ in found]
    layout = {
        "xaxis": {"title": {"text": plain(score)}, "rangemode": "tozero"},
        "yaxis": {
            "range": [len(names) - 0.5, -0.5],
            "tickvals": list(range(len(names))),
            "ticktext": names,
        },
        "hovermode": "closest",
    }
    return Figure(score, f"{'; '.join(parts)}.", traces, layout, height=90 + 42 * len(names))
