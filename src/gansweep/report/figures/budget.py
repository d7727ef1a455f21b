"""Figures of the expected best score of a search, over the budget that it spends."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from gansweep.judging.expected_best import Curve, Family, expected_best, families
from gansweep.judging.leaderboard import Board
from gansweep.judging.trials import sweeps_of
from gansweep.records.notation import number, plural
from gansweep.report.figures.figures import Figure, plain, value_axis
from gansweep.report.figures.palette import Line, lines_of_models

UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))


def expected_best_figures(board: Board) -> tuple[list[Figure], list[str]]:
    """Returns: the figures of every sweep, and notes about what they leave out.

    One figure over images seen. If several models are compared, also one over training time,
    because the cost of an image differs between models. A population gets no figure: its members
    copy each other's weights, so they are not independent trials.
    """
    metric = board.trial_metric
    sweeps = [sweep for sweep in sweeps_of(board.runs) if sweep.trials and not sweep.scheduled]
    if metric is None:
        return [], []
    figures, notes = [], []
    lines = lines_of_models(board)
    for sweep in sweeps:
        found, missing = families(sweep.trials, metric, board.direction, board.at)
        found.sort(key=lambda family: list(lines).index(family.model))
        name = f"{sweep.name}: " if len(sweeps) > 1 else ""
        notes += [f"{name}{model} has no curve: {why}." for model, why in missing.items()]
        if not found:
            continue
        notes.append(f"{name}{_counts(found)}")
        curves = [expected_best(family.values, board.direction) for family in found]
        title = f"{name}expected best {metric}" if name else f"Expected best {metric}"
        # with several models these lines would hide the curves
        walk = [_as_it_went(found[0], board.direction, lines)] if len(found) == 1 else []
        notes += [AS_IT_WENT] if walk and AS_IT_WENT not in notes else []
        figures.append(_figure(title, found, curves, lines, [f.kimg for f in found], KIMG, walk))
        seconds = [f.seconds for f in found if f.seconds]
        if len(found) > 1 and len(seconds) == len(found):
            unit, size = _unit(max(f.n * s for f, s in zip(found, seconds, strict=True)))
            costs = [value / size for value in seconds]
            axis = (f"budget: training time of all trials ({unit})", unit)
            figures.append(_figure(f"{title} over time", found, curves, lines, costs, axis))
    return figures, notes


AS_IT_WENT = (
    "The dotted line is the best score so far in the order of the trials. If the sampler learns "
    "from trials, only this line shows the gain; the curve does not."
)
KIMG = ("budget: images of all trials (kimg)", "kimg")


def _unit(seconds: float) -> tuple[str, float]:
    """(symbol, seconds) of the unit that suits a time."""
    return next((unit for unit in UNITS if seconds >= 2 * unit[1]), UNITS[-1])


def _counts(found: Sequence[Family]) -> str:
    """ "Drawn from 12 trials of dcgan (2 of them counted as worst) and 9 trials of gan." """
    parts = [
        f"{plural(f.n, 'trial')} of {f.model}"
        + (f" ({f.lost} of them counted as worst)" if f.lost else "")
        for f in found
    ]
    return f"Drawn from {', '.join(parts)}."


def _figure(
    title: str,
    found: Sequence[Family],
    curves: Sequence[Curve],
    lines: dict[str, Line],
    costs: Sequence[float],
    axis: tuple[str, str],
    walk: Sequence[dict[str, Any]] = (),
) -> Figure:
    """costs: of one trial of each family, in the unit of the axis, which is (title, unit).

    walk: lines to draw beside the curves.
    """
    data = list(walk)
    ends = []
    for family, curve, cost in zip(found, curves, costs, strict=True):
        data += _traces(family, curve, lines[family.model], cost, axis[1])
        ends.append(
            f"{family.model} {number(curve.mean[0])} after one trial, {number(curve.mean[-1])} "
            f"after {family.n} ({number(cost * family.n)} {axis[1]})"
        )
    shown = [value for trace in data for value in trace["y"]]
    layout = {
        "xaxis": {"title": {"text": axis[0]}, "rangemode": "tozero"},
        "yaxis": value_axis(shown),
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    }
    wide = axis is KIMG
    height = 400 if wide else 340
    return Figure(title, f"{title}: {'; '.join(ends)}.", data, layout, height=height, wide=wide)


def _as_it_went(family: Family, direction: str | None, lines: dict[str, Line]) -> dict[str, Any]:
    """The best score so far of one search, over the real cost of its trials."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(itertools.accumulate(family.spent)),
        "y": family.so_far(direction),
        "name": "best so far, in the order tried",
        "line": {"shape": "hv", "dash": "dot", "width": 1.5, "color": lines[family.model].colour},
        "hovertemplate": "best so far: %{y:.4g} at %{x:.4g} kimg<extra></extra>",
        "showlegend": True,
    }


def _traces(
    family: Family, curve: Curve, line: Line, cost: float, unit: str
) -> list[dict[str, Any]]:
    """The mean and the band from the 5th to the 95th percentile, one point per trial."""
    spent = [cost * k for k in range(1, family.n + 1)]
    edge = {
        "type": "scatter",
        "mode": "lines",
        "x": spent,
        "line": {"width": 0, "color": line.colour},
        "legendgroup": family.model,
        "hoverinfo": "skip",
        "showlegend": False,
    }
    fill = {"fill": "tonexty", "fillcolor": line.fill(0.13)}
    name = plain(family.model)
    mean = {
        **edge,
        "mode": "lines+markers" if family.n < 30 else "lines",
        "marker": {"size": 5, "color": line.colour},
        "y": curve.mean,
        "name": f"{name} ({plural(family.n, 'trial')})",
        "line": {"color": line.colour, "dash": line.dash, "width": 2},
        "hoverinfo": "all",
        "text": [plural(k, "trial") for k in range(1, family.n + 1)],
        "hovertemplate": f"{name}: %{{y:.4g}} after %{{text}}, %{{x:.4g}} {unit}<extra></extra>",
        "showlegend": True,
    }
    return [{**edge, "y": curve.low}, {**edge, "y": curve.high, **fill}, mean]
