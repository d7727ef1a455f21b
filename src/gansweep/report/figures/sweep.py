"""Figures of a sweep's trials: parallel coordinates and the importance of hyperparameters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.judging.labels import parameters
from gansweep.judging.leaderboard import Board
from gansweep.judging.statuses import BREAKS_CONSTRAINT, UNFINISHED
from gansweep.judging.trials import Trial, trials_of
from gansweep.records.notation import listing, number, plural, setting
from gansweep.report.figures.figures import Figure, plain
from gansweep.report.figures.palette import NEUTRAL
from gansweep.report.page.importance import Importance

BEST, MIDDLE, WORST = (0, 114, 178), (150, 150, 150), (230, 159, 0)
ABSENT = -0.14  # the height at which an axis shows "not set"
APART = 0.06  # smallest distance between the heights of two labels


@dataclass(frozen=True)
class Axis:
    """The axis of one parameter: a height in [0, 1] for each value, and labels at some heights."""

    title: str
    heights: dict[str, float]
    ticks: dict[float, str]
    categorical: bool

    def height(self, value: Any) -> float:
        return ABSENT if value is None else self.heights[json.dumps(value, default=str)]


def axis_of(title: str, values: Sequence[Any]) -> Axis:
    """An axis for these values: numbers linear (logarithmic from a factor of 5), others by name."""
    present = [value for value in values if value is not None]
    spelled = {json.dumps(value, default=str): value for value in present}
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in present)
    ticks = {ABSENT: "not set"} if len(present) < len(values) else {}
    if not numeric:
        names = sorted(spelled)
        step = 1 / max(len(names) - 1, 1)
        heights = {n: i * step if len(names) > 1 else 0.5 for i, n in enumerate(names)}
        ticks |= {heights[name]: setting(spelled[name]) for name in names}
        return Axis(title, heights, ticks, True)
    low, high = min(present, default=0), max(present, default=1)
    log = low > 0 and high / low >= 5

    def place(value: float) -> float:
        if high == low:
            return 0.5
        if log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)

    heights = {name: place(value) for name, value in spelled.items()}
    distinct = sorted(set(present))
    labelled = distinct if len(distinct) <= 5 else [low, high]
    for value in sorted(labelled, key=lambda value: value not in (low, high)):
        if all(abs(place(value) - height) >= APART for height in ticks):
            ticks[place(value)] = setting(value)
    return Axis(title + (" (log)" if log else ""), heights, ticks, False)


def parallel_coordinates(board: Board, metric: str) -> Figure | None:
    """A line for each trial through the values of its parameters to its outcome; blue is best.

    Trials without an outcome (diverged, pruned, failed, unfinished) are dotted and grey.
    Returns: None if fewer than two trials have an outcome or no parameter differs.
    """
    trials = [trial for trial in trials_of(board.runs) if trial.status != "running"]
    found = [(trial, trial.value(metric, board.at)) for trial in trials if trial.complete]
    scored = {trial: value for trial, value in found if value is not None}
    names = list(parameters([trial.params for trial in trials]))
    if len(scored) < 2 or not names:
        return None
    axes = [axis_of(board.names[n], [trial.params.get(n) for trial in trials]) for n in names]
    outcome = axis_of(metric, list(scored.values()))
    if board.direction == "minimize":
        outcome = _flipped(outcome)
    order = sorted(scored, key=lambda trial: scored[trial], reverse=board.direction == "maximize")
    ends = [scored[trial] for trial in order]
    # trials with equal outcomes have the same place and colour
    places = {trial: ends.index(value) for trial, value in scored.items()}
    data = []
    # the worst first, so that the best are drawn on top
    for trial in sorted(trials, key=lambda trial: -places.get(trial, len(order))):
        heights = [axis.height(trial.params.get(n)) for axis, n in zip(axes, names, strict=True)]
        jitter = 0.02 * ((trials.index(trial) % 5) - 2)
        heights = [
            h + jitter if axis.categorical or h == ABSENT else h
            for h, axis in zip(heights, axes, strict=True)
        ]
        end = [outcome.height(scored[trial])] if trial in scored else []
        share = places[trial] / max(len(order) - 1, 1) if end else None
        data.append(_trial_line(trial, [*heights, *end], share, board.names))
    layout = _parallel_layout([*axes, outcome])
    along = ", ".join(board.names[name] for name in names)
    alt = (
        f"{plural(len(trials), 'trial')} over {along}. The best, "
        f"{order[0].name}, reaches {metric} {number(scored[order[0]])}."
    )
    # a letter is about eight pixels wide; titles must not overlap
    width = max(110, *(8 * len(axis.title) for axis in axes)) * (len(axes) + 1)
    return Figure("Trials", alt, data, layout, height=400, min_width=width, wide=True)


def _flipped(axis: Axis) -> Axis:
    """The axis with small values on top, because the top of an outcome's axis is the best."""
    heights = {name: 1 - height for name, height in axis.heights.items()}
    ticks = {1 - height: text for height, text in axis.ticks.items()}
    return Axis(axis.title, heights, ticks, axis.categorical)


def _trial_line(
    trial: Trial, heights: list[float], share: float | None, names: dict[str, str]
) -> dict[str, Any]:
    params = [f"{names[name]} {setting(value)}" for name, value in trial.params.items()]
    state = trial.status if share is None else f"rank {share:.0%} from the top"
    hover = "<br>".join(plain(text) for text in [f"{trial.name}: {state}", *params])
    line: dict[str, Any] = {"color": NEUTRAL, "width": 1, "dash": "dot"}
    if share is not None:
        line |= {"color": _colour(share), "width": 2.5 - 1.3 * share, "dash": "solid"}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(range(len(heights))),
        "y": heights,
        "line": line,
        "opacity": 0.55 if share is None else 0.9,
        "text": [hover] * len(heights),
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }


def _colour(share: float) -> str:
    """From blue (share 0, best) over grey to orange (1, worst)."""
    low, high, t = (BEST, MIDDLE, share * 2) if share < 0.5 else (MIDDLE, WORST, share * 2 - 1)
    mixed = (round(a + (b - a) * t) for a, b in zip(low, high, strict=True))
    return f"rgb({','.join(map(str, mixed))})"


def _parallel_layout(axes: Sequence[Axis]) -> dict[str, Any]:
    shapes, annotations = [], []
    for x, axis in enumerate(axes):
        line = {"color": NEUTRAL, "width": 1}
        shapes.append({"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line})
        common = {"x": x, "showarrow": False}
        annotations += [
            {
                **common,
                "y": y,
                "text": plain(text),
                "xanchor": "left",
                "xshift": 5,
                "font": {"size": 11},
            }
            for y, text in axis.ticks.items()
        ]
        # the outcome's name is long and at the edge: put it on a separate line above the others
        last = x == len(axes) - 1
        place = {"xanchor": "right", "xshift": 45} if last else {"xanchor": "center"}
        title = {
            "y": 1.13 if last else 1.05,
            "yanchor": "bottom",
            "text": f"<b>{plain(axis.title)}</b>",
        }
        annotations.append({**common, **place, **title})
    hidden = {"visible": False, "fixedrange": True}
    return {
        "xaxis": {**hidden, "range": [-0.35, len(axes) - 0.35]},
        "yaxis": {**hidden, "range": [-0.22, 1.25]},
        "shapes": shapes,
        "annotations": annotations,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "hovermode": "closest",
    }


def importance_bars(importance: Importance, metric: str, short: Mapping[str, str]) -> Figure | None:
    """A bar for each parameter's share of importance, largest on top; None if there is none."""
    if not importance.shares:
        return None
    names = [short[name] for name in importance.shares]
    shares = list(importance.shares.values())
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": shares,
        "y": [plain(name) for name in names],
        "marker": {"color": "#0072B2"},
        "hovertemplate": "%{y}: %{x:.0%}<extra></extra>",
        "showlegend": False,
    }
    layout = {
        "xaxis": {"title": {"text": "share of importance"}, "tickformat": ".0%"},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "bargap": 0.4,
    }
    listed = ", ".join(f"{name} {share:.0%}" for name, share in zip(names, shares, strict=True))
    alt = f"Importance of hyperparameters for {metric}: {listed}."
    return Figure("Importance", alt, [bars], layout, height=110 + 30 * len(names), wide=True)


def remarks(board: Board, importance: Importance) -> str:
    """Notes: the trials that the importance ignores, and the parameters that the model decides."""
    unranked = ("pruned", "failed", BREAKS_CONSTRAINT, *UNFINISHED)
    out = [trial for trial in trials_of(board.runs) if trial.status in unranked]
    notes = []
    if out:
        count = plural(len(out), "trial")
        notes.append(f"{count} without an outcome (pruned, failed, unfinished) left out.")
    fixed = [board.names[name] for name in importance.with_model]
    if fixed:
        decided = "is decided" if len(fixed) == 1 else "are decided"
        notes.append(f"{listing(fixed, 'and')} {decided} by the model and counted as the model.")
    return " ".join(notes)
