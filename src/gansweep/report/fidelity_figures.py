"""Figures of quality beyond one number: fidelity against diversity, FID with its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gansweep.report.cautions import Measured, measured
from gansweep.report.figures import Figure, name_of, plain, two_lines
from gansweep.report.notation import number
from gansweep.report.palette import Variant
from gansweep.report.protocols import measured_with
from gansweep.report.statistics import Board, summarize

PAIRS = (("precision", "recall"), ("density", "coverage"))
# Configurations of one model share its colour; their lines differ by dash, their dots by this.
SYMBOLS = {
    "solid": "circle",
    "dash": "diamond",
    "dot": "square",
    "dashdot": "triangle-up",
    "longdash": "cross",
}


def fidelity_against_diversity(board: Board, variants: Sequence[Variant]) -> list[Figure]:
    """A scatter for each pair of scores of one protocol: a dot a run, a label at their mean."""
    figures = []
    for fidelity, diversity in PAIRS:
        for score in board.scores:
            runs = [run for run in board.runs if score in run.called(fidelity)]
            partners = {measured_with(run, score, diversity) for run in runs} & {*board.scores}
            for partner in sorted(filter(None, partners)):
                figures.append(_scatter(board, variants, score, partner, (fidelity, diversity)))
    return [figure for figure in figures if figure]


def _scatter(
    board: Board, variants: Sequence[Variant], y: str, x: str, words: tuple[str, str]
) -> Figure | None:
    traces: list[dict[str, Any]] = []
    told: list[str] = []
    for variant in variants:
        found = [(run.value(x, board.at), run.value(y, board.at)) for run in variant.row.shown]
        points = [(a, b) for a, b in found if a is not None and b is not None]
        if points:
            traces += _dots(variant, points, words)
            mean = " and ".join(
                number(sum(axis) / len(points)) for axis in zip(*points, strict=True)
            )
            told.append(f"{variant.row.label} {mean}")
    if not traces:
        return None
    highest = max(value for trace in traces for value in trace["y"])
    layout = {
        "xaxis": {"title": {"text": plain(x)}, "range": [-0.03, 1.05]},
        "yaxis": {"title": {"text": plain(y)}, "range": [-0.03, max(1.05, 1.1 * highest)]},
        "hovermode": "closest",
        "annotations": [
            _corner("mode collapse", 0.01, 0.99, "left", "top"),
            _corner("over-generalisation", 0.99, 0.01, "right", "bottom"),
        ],
    }
    alt = f"{words[1]} and {words[0]}: {'; '.join(told)}."
    title = f"{words[0].capitalize()} against {words[1]}"
    return Figure(title, alt, traces, layout, height=360)


def _dots(
    variant: Variant, points: list[tuple[float, float]], words: tuple[str, str]
) -> list[dict[str, Any]]:
    """A small dot for each run where there are several, a larger one with a label at the mean."""
    common = {
        "type": "scatter",
        "name": name_of(variant),
        "meta": variant.index,
        "showlegend": False,
        "hovertemplate": f"{words[1]} %{{x:.3f}}, {words[0]} %{{y:.3f}}",
    }
    marker = {"color": variant.colour, "symbol": SYMBOLS[variant.dash]}
    xs, ys = [a for a, _ in points], [b for _, b in points]
    mean = [summary.mean for values in (xs, ys) if (summary := summarize(values))]
    right = mean[0] > 0.6
    label = {
        **common,
        "mode": "markers+text",
        "x": [mean[0]],
        "y": [mean[1]],
        "text": [plain(variant.row.model)],
        "textposition": "middle left" if right else "middle right",
        "textfont": {"size": 11},
        "marker": {**marker, "size": 11},
    }
    if len(points) == 1:
        return [label]
    runs = {**common, "mode": "markers", "x": xs, "y": ys, "marker": {**marker, "size": 5}}
    return [{**runs, "opacity": 0.6}, label]


def _corner(text: str, x: float, y: float, xanchor: str, yanchor: str) -> dict[str, Any]:
    place = {"x": x, "y": y, "xref": "paper", "yref": "paper"}
    anchors = {"xanchor": xanchor, "yanchor": yanchor, "showarrow": False}
    return {**place, **anchors, "text": f"<i>{text}</i>", "font": {"size": 11}, "opacity": 0.7}


def fid_and_its_errors(board: Board, variants: Sequence[Variant]) -> list[Figure]:
    """FID with its 95 % interval and FID-infinity, for each FID of which either was measured."""
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
    told: list[str] = []
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
        said = f"{variant.row.label} {number(one.fid)}"
        if one.endless is not None:
            open_dot = {**dot, "symbol": "circle-open", "line": {"width": 2}}
            hover = {"name": "FID-infinity", "hovertemplate": "%{x:.4g}"}
            traces.append({**common, **hover, "x": [one.endless], "marker": open_dot})
            said += f", FID-infinity {number(one.endless)}"
        told.append(said)
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
    return Figure(score, f"{'; '.join(told)}.", traces, layout, height=90 + 42 * len(names))
