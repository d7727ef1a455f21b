"""Figures of runs over images seen, as Plotly's JSON: {"data": [...], "layout": {...}}.

The page sets the colours of text and grid, for the reader's light or dark scheme. Every trace has
its variant's index as `meta`, so that the page can hide a variant in all figures.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gansweep.judging.statistics import summarize
from gansweep.records.notation import number
from gansweep.records.read import Run
from gansweep.report.figures.bands import band
from gansweep.report.figures.palette import NEUTRAL, Variant


@dataclass
class Figure:
    """A figure of the page.

    alt: a description in words.   height, min_width: pixels.
    variant: index of the variant, if the figure shows only one.
    """

    title: str
    alt: str
    data: list[dict[str, Any]]
    layout: dict[str, Any] = field(default_factory=dict)
    height: int = 300
    min_width: int = 0
    wide: bool = False
    variant: int | None = None
    note: str = ""

    @property
    def json(self) -> dict[str, Any]:
        return {"data": self.data, "layout": {**self.layout, "height": self.height}}


@dataclass(frozen=True)
class Seeds:
    """The newest list of numbers of one score for each run that has it, all of the same length."""

    score: str
    lists: list[list[float]]
    protocol: dict[str, Any]


def seeds_of(variant: Variant, word: str) -> Seeds | None:
    """The lists of a score such as "mode_counts"; None if no run has one. A gap counts as 0.

    If it was measured in several ways, the one with the most samples is used.
    """
    runs = variant.row.shown
    scores = {score: run for run in runs for score in run.called(word) if run.numbers(score)}
    sizes = {score: float(run.protocols[score].get("n_fake") or 0) for score, run in scores.items()}
    if not sizes:
        return None
    score = max(sizes, key=lambda score: sizes[score])
    lists = [[n or 0.0 for n in numbers] for run in runs if (numbers := run.numbers(score))]
    protocol = next(p for run in runs if (p := run.protocols.get(score)))
    return Seeds(score, [one for one in lists if len(one) == len(lists[0])], protocol)


def plain(text: str) -> str:
    """Text for Plotly, with HTML tags escaped."""
    return html.escape(text, quote=False)


def name_of(variant: Variant) -> str:
    return plain(variant.row.name)


def value_axis(values: Sequence[float], unit: str = "") -> dict[str, Any]:
    """An axis for these values, logarithmic if they span a large ratio."""
    log = _wants_log(values)
    title = ", ".join(filter(None, [unit, "log scale" if log else ""]))
    axis = {"title": {"text": plain(title)}, "type": "log" if log else "linear"}
    return axis | (log_ticks(values) if log else {})


def axes(y_title: str) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": "images seen (thousands)"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": plain(y_title)}, "type": "linear"},
        "hovermode": "x unified",
    }


def line(x: list[float], y: list[float], variant: Variant, **extra: Any) -> dict[str, Any]:
    """A Plotly trace of a curve in its variant's colour and dash. Short curves show their points.

    extra: more keys of the trace; they override the default ones.
    """
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(x) < 30 else "lines",
        "marker": {"size": 5},
        "x": x,
        "y": y,
        "name": name_of(variant),
        "meta": variant.index,
        "line": {"color": variant.colour, "dash": variant.dash, "width": 2},
        "hovertemplate": "%{y:.4g}",
        "showlegend": False,
        **extra,
    }


def banded(variant: Variant, column: str, **extra: Any) -> list[dict[str, Any]]:
    """The mean line, and the band from the lowest to the highest seed; [] without the column."""
    found = band(variant.row.shown, column)
    if found is None:
        return []
    traces = []
    if found.seeds > 1:
        edge = {
            "type": "scatter",
            "mode": "lines",
            "x": found.kimg,
            "line": {"width": 0},
            "hoverinfo": "skip",
            "showlegend": False,
            "meta": variant.index,
        }
        fill = {"fill": "tonexty", "fillcolor": variant.fill(0.18)}
        traces = [{**edge, "y": found.low}, {**edge, "y": found.high, **fill}]
    traces.append(line(found.kimg, found.mean, variant, **extra))
    return traces


def span(start: float, end: float) -> dict[str, Any]:
    """A shape that shades the figure from `start` to `end` kimg."""
    place = {"xref": "x", "x0": start, "x1": end, "yref": "paper", "y0": 0, "y1": 1}
    return {
        "type": "rect",
        **place,
        "fillcolor": "rgba(213,94,0,0.12)",
        "line": {"width": 0},
        "layer": "below",
    }


def label_end(trace: dict[str, Any], text: str, shift: int) -> dict[str, Any]:
    """A label at the end of a line, instead of a legend."""
    place = {"x": trace["x"][-1], "y": trace["y"][-1], "xanchor": "left", "xshift": 6}
    return {
        **place,
        "yshift": shift,
        "text": text,
        "showarrow": False,
        "font": {"size": 11},
    }


def log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 of each decade; only powers of ten if there are many decades."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    ticks = [step * 10.0**decade for decade in range(low, high + 1) for step in steps]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _wants_log(values: Sequence[float]) -> bool:
    """Whether the values are positive and span more than a factor of 15."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > 15


def curve(
    variants: Sequence[Variant],
    column: str,
    title: str = "",
    *,
    wide: bool = False,
    unit: str = "",
    mark: float | None = None,
    note: str = "",
) -> Figure | None:
    """One column of the history over kimg: a line with a band for each variant.

    mark: the value of a dashed line, which `note` explains.
    Returns: None if no variant has the column.
    """
    traces = [trace for variant in variants for trace in banded(variant, column)]
    if not traces:
        return None
    layout = axes("")
    layout["yaxis"] = value_axis([value for trace in traces for value in trace["y"]], unit)
    if mark is not None and (mark > 0 or layout["yaxis"]["type"] == "linear"):
        layout["shapes"] = [level(mark)]
    ends = [
        f"{t['name']} ends at {number(t['y'][-1])}" for t in traces if t["line"]["width"] and t["y"]
    ]
    return Figure(
        title=title or column,
        alt=f"{title or column} over images seen. {'; '.join(ends)}.",
        data=traces,
        layout=layout,
        height=380 if wide else 280,
        wide=wide,
        note=note,
    )


def columns(variants: Sequence[Variant], prefix: str) -> list[str]:
    """The columns of all variants' histories that start with `prefix`."""
    runs = [run for variant in variants for run in variant.row.shown]
    return sorted({name for run in runs for name in run.curves if name.startswith(prefix)})


def losses(variants: Sequence[Variant]) -> list[Figure]:
    found = [curve(variants, c, f"{c[5:]} loss") for c in columns(variants, "loss/")]
    found += [curve(variants, c, f"penalty {c[8:]}") for c in columns(variants, "penalty/")]
    return [figure for figure in found if figure]


def level(y: float) -> dict[str, Any]:
    line = {"color": NEUTRAL, "width": 1, "dash": "dash"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def throughput(variants: Sequence[Variant]) -> list[Figure]:
    """Bars of images per second and of peak memory, with a dot for each seed."""
    kinds: list[tuple[str, str, Callable[[Run], float | None]]] = [
        ("Images per second", "images/s", lambda run: run.number("images_per_second")),
        ("Peak memory", "MiB", lambda run: run.number("peak_memory_mib")),
    ]
    found = [_bars(variants, *kind) for kind in kinds]
    return [figure for figure in found if figure]


def _bars(
    variants: Sequence[Variant], title: str, unit: str, read: Callable[[Run], float | None]
) -> Figure | None:
    data: list[dict[str, Any]] = []
    words: list[str] = []
    names: list[str] = []
    for variant in variants:
        values = [value for run in variant.row.shown if (value := read(run))]
        summary = summarize(values)
        if summary is None:
            continue
        common = {"meta": variant.index, "name": name_of(variant), "showlegend": False}
        y = len(words)
        names.append(two_lines(variant))
        data.append(
            {
                **common,
                "type": "bar",
                "orientation": "h",
                "x": [summary.mean],
                "y": [y],
                "marker": {"color": variant.fill(0.75)},
                "hovertemplate": "%{x:.4g} " + unit,
            }
        )
        if summary.n > 1:
            dots = {"color": variant.colour, "size": 6, "line": {"width": 1, "color": "#fff"}}
            seeds = {"x": values, "y": [y] * summary.n, "mode": "markers", "marker": dots}
            data.append({**common, **seeds, "type": "scatter", "hovertemplate": "%{x:.4g} " + unit})
        words.append(f"{variant.row.name} {number(summary.mean)}")
    if not data:
        return None
    places = list(range(len(names)))
    layout = {
        "xaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "yaxis": {"range": [len(names) - 0.5, -0.5], "tickvals": places, "ticktext": names},
        "barmode": "overlay",
        "bargap": 0.35,
    }
    height = 90 + 42 * len(words)
    return Figure(title, f"{title}: {'; '.join(words)}.", data, layout, height=height)


def two_lines(variant: Variant) -> str:
    """The name of the model, and below it the differing settings, shortened."""
    detail = variant.row.detail
    cut = detail if len(detail) <= 24 else detail[:23] + "…"
    return plain(variant.row.model) + (f"<br>{plain(cut)}" if cut else "")
