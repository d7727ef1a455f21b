"""Figures of runs over images seen, as Plotly's JSON: {"data": [...], "layout": {...}}.

Colours of text and grid are left to the page, which follows the reader's light or dark scheme.
Every trace carries its variant's index as `meta`, so that the page can hide a variant everywhere.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gansweep.report.bands import band
from gansweep.report.notation import number, plural
from gansweep.report.palette import NEUTRAL, Variant
from gansweep.report.read import Run
from gansweep.report.statistics import summarize


@dataclass
class Figure:
    """A figure of the page. `alt` says in words what it shows; `variant` where it is of one."""

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


def plain(text: str) -> str:
    """Text for Plotly, which reads some HTML tags."""
    return html.escape(text, quote=False)


def name_of(variant: Variant) -> str:
    return plain(variant.row.label)


def _axes(y_title: str, log: bool = False) -> dict[str, Any]:
    y: dict[str, Any] = {"title": {"text": plain(y_title)}, "type": "log" if log else "linear"}
    if log:
        y |= {"dtick": "D2", "minor": {"showgrid": False}}
    return {
        "xaxis": {"title": {"text": "images seen (thousands)"}, "rangemode": "tozero"},
        "yaxis": y,
        "hovermode": "x unified",
    }


def _line(x: list[float], y: list[float], variant: Variant, **extra: Any) -> dict[str, Any]:
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


def _banded(variant: Variant, column: str, **line: Any) -> list[dict[str, Any]]:
    """Mean line and the band from the lowest to the highest seed; [] without the column."""
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
    traces.append(_line(found.kimg, found.mean, variant, **line))
    return traces


def _wants_log(traces: Sequence[dict[str, Any]]) -> bool:
    """A positive quantity that spans more than a factor of 15 is read better by its ratios."""
    values = [value for trace in traces for value in trace["y"]]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 15


def curve(
    variants: Sequence[Variant], column: str, title: str = "", wide: bool = False, unit: str = ""
) -> Figure | None:
    """One column of the history over kimg, a line with a band for each variant."""
    traces = [trace for variant in variants for trace in _banded(variant, column)]
    if not traces:
        return None
    log = _wants_log(traces)
    ends = [
        f"{t['name']} ends at {number(t['y'][-1])}" for t in traces if t["line"]["width"] and t["y"]
    ]
    return Figure(
        title=title or column,
        alt=f"{title or column} over images seen. {'; '.join(ends)}.",
        data=traces,
        layout=_axes(", ".join(filter(None, [unit, "log scale" if log else ""])), log),
        height=380 if wide else 280,
        wide=wide,
    )


def columns(variants: Sequence[Variant], prefix: str) -> list[str]:
    """The history's columns that start with `prefix`, over all variants."""
    runs = [run for variant in variants for run in variant.row.shown]
    return sorted({name for run in runs for name in run.curves if name.startswith(prefix)})


def losses(variants: Sequence[Variant]) -> list[Figure]:
    found = [curve(variants, c, f"{c[5:]} loss") for c in columns(variants, "loss/")]
    found += [curve(variants, c, f"penalty {c[8:]}") for c in columns(variants, "penalty/")]
    return [figure for figure in found if figure]


def balance(variants: Sequence[Variant]) -> list[Figure]:
    """D(x) and D(G(z)) of each variant whose discriminator gives probabilities."""
    figures = []
    for variant in variants:
        real = _banded(variant, "balance/real_mean", name="real: D(x)")
        fake = _banded(variant, "balance/fake_mean", name="generated: D(G(z))")
        if not (real and fake):
            continue
        real[-1]["line"] = {**real[-1]["line"], "dash": "solid"}
        fake[-1]["line"] = {**fake[-1]["line"], "dash": "dot"}
        layout = _axes("probability of being real")
        layout["yaxis"]["range"] = [0, 1]
        layout["shapes"] = [_level(0.5)]
        layout["annotations"] = [
            _label_at(real[-1], "real"),
            _label_at(fake[-1], "generated"),
        ]
        figures.append(
            Figure(
                title=variant.row.label,
                alt=f"{variant.row.label}: mean D(x) ends at {number(real[-1]['y'][-1])} and mean "
                f"D(G(z)) at {number(fake[-1]['y'][-1])}; a line marks 0.5.",
                data=[*real, *fake],
                layout=layout,
                height=240,
                variant=variant.index,
            )
        )
    return figures


def _level(y: float) -> dict[str, Any]:
    line = {"color": NEUTRAL, "width": 1, "dash": "dash"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}


def _label_at(trace: dict[str, Any], text: str) -> dict[str, Any]:
    """A word at the middle of a line, in place of a legend."""
    middle = len(trace["x"]) // 2
    place = {"x": trace["x"][middle], "y": trace["y"][middle], "yshift": 10}
    return {**place, "text": text, "showarrow": False, "font": {"size": 11}}


def critic_gap(variants: Sequence[Variant]) -> Figure | None:
    return curve(variants, "critic/gap", "Critic gap", unit="real mean − generated mean")


def mode_counts(variants: Sequence[Variant]) -> list[Figure]:
    """The share of samples in each mode at the end, with the modes that got none named."""
    figures = []
    for column in columns(variants, "mode_counts_"):
        for variant in variants:
            seeds = [counts for run in variant.row.shown if (counts := _end_counts(run, column))]
            seeds = [counts for counts in seeds if len(counts) == len(seeds[0])]
            if seeds:
                figures.append(_mode_figure(variant, seeds))
    return figures


def _end_counts(run: Run, column: str) -> list[float]:
    found = run.curves.get(column)
    lists = [value for value in found.values if isinstance(value, list)] if found else []
    return [float(count or 0) for count in lists[-1]] if lists else []


def _mode_figure(variant: Variant, seeds: list[list[float]]) -> Figure:
    names = [str(index) for index in range(len(seeds[0]))]
    # a generator of which no sample counts as any mode has a share of 0 everywhere
    shares = [[count / (sum(counts) or 1) for count in counts] for counts in seeds]
    mean = [sum(column) / len(seeds) for column in zip(*shares, strict=True)]
    empty = [sum(counts[i] == 0 for counts in seeds) for i in range(len(names))]
    absent = [
        name if misses == len(seeds) else f"{name} (in {misses} of {plural(len(seeds), 'seed')})"
        for name, misses in zip(names, empty, strict=True)
        if misses
    ]
    note = f"Missing: {', '.join(absent)}." if absent else f"All {len(names)} modes have samples."
    if not any(mean):
        note = "No sample belongs to any mode."
    bars = {
        "type": "bar",
        "x": names,
        "y": mean,
        "name": name_of(variant),
        "meta": variant.index,
        "marker": {"color": variant.colour},
        "hovertemplate": "mode %{x}: %{y:.1%}<extra></extra>",
        "showlegend": False,
    }
    layout = {
        "xaxis": {"title": {"text": "mode"}, "type": "category"},
        "yaxis": {"title": {"text": "share of samples"}, "tickformat": ".0%"},
        "shapes": [_level(1 / len(names))],
        "bargap": 0.25,
    }
    alt = f"{variant.row.label}: share of samples in each of {len(names)} modes. {note}"
    return Figure(
        variant.row.label, alt, [bars], layout, height=220, variant=variant.index, note=note
    )


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
    words = []
    for variant in variants:
        values = [value for run in variant.row.shown if (value := read(run))]
        summary = summarize(values)
        if summary is None:
            continue
        words.append(f"{variant.row.label} {number(summary.mean)}")
        common = {"meta": variant.index, "name": name_of(variant), "showlegend": False}
        y = f"{variant.index + 1}. {variant.row.model}"
        data.append(
            {
                **common,
                "type": "bar",
                "orientation": "h",
                "x": [summary.mean],
                "y": [plain(y)],
                "marker": {"color": variant.fill(0.75)},
                "hovertemplate": "%{x:.4g} " + unit,
            }
        )
        if summary.n > 1:
            dots = {"color": variant.colour, "size": 6, "line": {"width": 1, "color": "#fff"}}
            seeds = {"x": values, "y": [plain(y)] * summary.n, "mode": "markers", "marker": dots}
            data.append({**common, **seeds, "type": "scatter", "hovertemplate": "%{x:.4g} " + unit})
    if not data:
        return None
    layout = {
        "xaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "barmode": "overlay",
        "bargap": 0.35,
    }
    height = 110 + 30 * len(words)
    return Figure(title, f"{title}: {'; '.join(words)}.", data, layout, height=height)
