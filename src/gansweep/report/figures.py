"""Figures of runs over images seen, as Plotly's JSON: {"data": [...], "layout": {...}}.

Colours of text and grid are left to the page, which follows the reader's light or dark scheme.
Every trace carries its variant's index as `meta`, so that the page can hide a variant everywhere.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gansweep.report.bands import band
from gansweep.report.notation import listing, number
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


def _log_ticks(traces: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """1, 2, 5 of each decade, written out; only the powers of ten where there are many."""
    values = [value for trace in traces for value in trace["y"]]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    ticks = [step * 10.0**decade for decade in range(low, high + 1) for step in steps]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


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
    layout = _axes(", ".join(filter(None, [unit, "log scale" if log else ""])), log)
    if log:
        layout["yaxis"] |= _log_ticks(traces)
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
        above = 7 if real[-1]["y"][-1] >= fake[-1]["y"][-1] else -7
        layout["annotations"] = [
            _label_end(real[-1], "real", above),
            _label_end(fake[-1], "generated", -above),
        ]
        # the words stand beyond the last clock, in the margin
        layout["xaxis"]["range"] = [0, max(real[-1]["x"][-1], fake[-1]["x"][-1])]
        layout["margin"] = {"l": 52, "r": 78, "t": 10, "b": 42}
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


def _label_end(trace: dict[str, Any], text: str, shift: int) -> dict[str, Any]:
    """A word beside the end of a line, in place of a legend."""
    place = {"x": trace["x"][-1], "y": trace["y"][-1], "xanchor": "left", "xshift": 6}
    return {
        **place,
        "yshift": shift,
        "text": text,
        "showarrow": False,
        "font": {"size": 11},
    }


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
                protocol = variant.row.shown[0].protocols.get(column, {})
                figures.append(_mode_figure(variant, seeds, protocol))
    # one scale, so that the heights of two figures compare
    top = max((share for figure in figures for share in figure.data[0]["y"]), default=0.0)
    for figure in figures:
        figure.layout["yaxis"]["range"] = [0, 1.08 * (top or 1.0)]
    return figures


def _end_counts(run: Run, column: str) -> list[float]:
    found = run.curves.get(column)
    lists = [value for value in found.values if isinstance(value, list)] if found else []
    return [float(count or 0) for count in lists[-1]] if lists else []


def _mode_figure(variant: Variant, seeds: list[list[float]], protocol: dict[str, Any]) -> Figure:
    count = len(seeds[0])
    names = protocol.get("mode_names")
    known = isinstance(names, list) and len(names) == count
    ticks = [str(tick) for tick in (names if known and names else range(count))]
    # a generator of which no sample counts as any mode has a share of 0 everywhere
    shares = [[n / (sum(counts) or 1) for n in counts] for counts in seeds]
    mean = [sum(column) / len(seeds) for column in zip(*shares, strict=True)]
    misses = [sum(counts[i] == 0 for counts in seeds) for i in range(count)]
    missed = dict(zip(ticks, misses, strict=True))
    no = "No" if known else "No mode"
    note = _missing(missed, no, len(seeds), protocol.get("n_fake"))
    bars = {
        "type": "bar",
        "x": [plain(tick) for tick in ticks],
        "y": mean,
        "name": name_of(variant),
        "meta": variant.index,
        "marker": {"color": variant.colour},
        "hovertemplate": "%{x}: %{y:.1%}<extra></extra>",
        "showlegend": False,
    }
    layout = {
        "xaxis": {"title": {"text": "class" if known else "mode"}, "type": "category"},
        "yaxis": {"title": {"text": "share of samples"}, "tickformat": ".0%"},
        "shapes": [_level(1 / count)],
        "bargap": 0.25,
    }
    alt = f"{variant.row.label}: share of samples in each of {count} modes. {note}"
    return Figure(
        variant.row.label, alt, [bars], layout, height=220, variant=variant.index, note=note
    )


def _missing(misses: dict[str, int], no: str, seeds: int, samples: int | None) -> str:
    """ "No 8 among 1,000 samples.".   misses: mode -> how many seeds have no sample of it."""
    among = f"among {samples:,} samples" if samples else "among the samples"
    if all(count == seeds for count in misses.values()):
        return f"No sample of any mode {among}."
    always = [mode for mode, count in misses.items() if count == seeds]
    told = []
    if always:
        told.append(f"{no} {listing(always, 'or')} {among}{' of any seed' if seeds > 1 else ''}.")
    for count in range(seeds - 1, 0, -1):
        found = [mode for mode, missed in misses.items() if missed == count]
        if found:
            told.append(f"{no} {listing(found, 'or')} {among} in {count} of {seeds} seeds.")
    return " ".join(told) or f"All {len(misses)} modes are there {among}."


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
        names.append(_two_lines(variant))
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
        words.append(f"{variant.row.label} {number(summary.mean)}")
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


def _two_lines(variant: Variant) -> str:
    """The model, and below it what tells the configuration apart, as far as there is room."""
    detail = variant.row.detail
    cut = detail if len(detail) <= 24 else detail[:23] + "…"
    return plain(variant.row.model) + (f"<br>{plain(cut)}" if cut else "")
