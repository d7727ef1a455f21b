"""Figures of mode coverage: the share of samples in each mode, and the missing modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gansweep.metrics.scores.missing import missing_words
from gansweep.records.notation import number
from gansweep.records.read import Run
from gansweep.report.figures.figures import Figure, level, name_of, plain, seeds_of
from gansweep.report.figures.palette import NEUTRAL, Variant

MANY = 60  # more modes than this are drawn as a line, not as bars
POINTS = 200  # of a line
TOP = 5.0  # upper end of the axis, in even shares; a collapsed generator goes far beyond


def mode_counts(variants: Sequence[Variant]) -> list[Figure]:
    """The distribution of each variant's last samples over the modes.

    A few modes are bars, one figure per variant. Many modes are lines in one figure of all
    variants. The note names the modes without samples. Of several counts the one with the most
    samples is shown.
    """
    few: list[Figure] = []
    many: dict[str, list[tuple[Variant, list[list[float]], dict[str, Any]]]] = {}
    for variant in variants:
        found = seeds_of(variant, "mode_counts")
        if found and len(found.lists[0]) > MANY:
            many.setdefault(found.score, []).append((variant, found.lists, found.protocol))
        elif found:
            few.append(_bars(variant, found.lists, found.protocol))
    # the same scale, so that figures can be compared
    top = max((share for figure in few for share in figure.data[0]["y"]), default=0.0)
    for figure in few:
        figure.layout["yaxis"]["range"] = [0, 1.08 * (top or 1.0)]
    return [*(_ranks(score, found) for score, found in many.items()), *few]


def _bars(variant: Variant, seeds: list[list[float]], protocol: dict[str, Any]) -> Figure:
    count, names = len(seeds[0]), _names(protocol, len(seeds[0]))
    # if no sample belongs to any mode, all shares are 0
    shares = [[n / (sum(counts) or 1) for n in counts] for counts in seeds]
    mean = [sum(column) / len(seeds) for column in zip(*shares, strict=True)]
    note = _missing(seeds, protocol)
    bars = {
        "type": "bar",
        "x": [plain(name) for name in names or map(str, range(count))],
        "y": mean,
        "name": name_of(variant),
        "meta": variant.index,
        "marker": {"color": variant.colour},
        "hovertemplate": "%{x}: %{y:.1%}<extra></extra>",
        "showlegend": False,
    }
    layout = {
        "xaxis": {"title": {"text": "class" if names else "mode"}, "type": "category"},
        "yaxis": {"title": {"text": "share of samples"}, "tickformat": ".0%"},
        "shapes": [level(1 / count)],
        "bargap": 0.25,
    }
    alt = f"{variant.row.name}: share of samples in each of {count} modes. {note}"
    return Figure(
        variant.row.name, alt, [bars], layout, height=220, variant=variant.index, note=note
    )


def fid_of_classes(variants: Sequence[Variant]) -> list[Figure]:
    """FID within each class: a bar per class and variant, if the class had enough samples."""
    runs = [run for variant in variants for run in variant.row.shown]
    figures = []
    for score in dict.fromkeys(s for run in runs for s in run.called("intra_fid_per_class")):
        traces, worst = [], []
        for variant in variants:
            lists = [found for run in variant.row.shown if (found := run.numbers(score))]
            means = [_mean(column) for column in zip(*lists, strict=True)]
            if not means:
                continue
            worst.append(f"{variant.row.name} {number(max((m for m in means if m), default=None))}")
            bars = {"x": [plain(n) for n in _class_names(runs, len(means))], "y": means}
            about = {"name": name_of(variant), "meta": variant.index, "showlegend": False}
            paint = {"marker": {"color": variant.colour}, "hovertemplate": "%{y:.4g}"}
            traces.append({"type": "bar", **bars, **about, **paint})
        layout = {
            "xaxis": {"title": {"text": "class"}, "type": "category"},
            "yaxis": {"title": {"text": "FID"}},
            "hovermode": "x unified",
            "barmode": "group",
        }
        alt = f"FID within each class. Worst class: {'; '.join(worst)}."
        figures.append(Figure(score, alt, traces, layout, height=260, wide=True))
    return figures


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _ranks(
    score: str, found: Sequence[tuple[Variant, list[list[float]], dict[str, Any]]]
) -> Figure:
    """The modes from the most to the least frequent. A line that falls to 0 misses modes."""
    count = len(found[0][1][0])
    ranks = sorted({round(i * (count - 1) / (POINTS - 1)) for i in range(POINTS)})
    traces, notes = [], []
    for variant, seeds, protocol in found:
        # in even shares: 1 means as many samples as in an even distribution
        rows = [[n * count / (sum(c) or 1) for n in sorted(c, reverse=True)] for c in seeds]
        line = {
            "x": [rank + 1 for rank in ranks],
            "y": [sum(row[rank] for row in rows) / len(rows) for rank in ranks],
            "name": name_of(variant),
            "meta": variant.index,
            "line": {"color": variant.colour, "dash": variant.dash, "width": 2},
            "hovertemplate": "%{y:.2f}",
        }
        traces.append({"type": "scatter", "mode": "lines", "showlegend": False, **line})
        notes.append(f"{variant.row.name}: {_missing(seeds, protocol)}")
    samples = int(found[0][2].get("n_fake") or sum(found[0][1][0]))
    traces.append(_chance(ranks, count, samples))
    layout = {
        "xaxis": {"title": {"text": "modes, the most frequent first"}, "range": [0, count]},
        "yaxis": {"title": {"text": "samples in the mode (1: even)"}, "range": [0, TOP]},
        "hovermode": "x unified",
    }
    alt = f"How often each of {count:,} modes was generated. {' '.join(notes)}"
    note = (
        f"The dashed line is what {samples:,} evenly distributed samples give by chance. "
        f"{' '.join(notes)}"
    )
    return Figure(score, alt, traces, layout, height=340, wide=True, note=note)


def _chance(ranks: Sequence[int], count: int, samples: int) -> dict[str, Any]:
    """The counts of an even distribution by chance: quantiles of Poisson(samples / count)."""
    from scipy.stats import poisson

    mean = samples / count
    quantiles = poisson.ppf([1 - (rank + 0.5) / count for rank in ranks], mean) / (mean or 1.0)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [rank + 1 for rank in ranks],
        "y": quantiles.tolist(),
        "line": {"color": NEUTRAL, "dash": "dash", "width": 1},
        "name": "even distribution by chance",
        "hovertemplate": "%{y:.2f}",
        "showlegend": False,
    }


def _names(protocol: dict[str, Any], count: int) -> list[str] | None:
    names = protocol.get("mode_names")
    return [str(name) for name in names] if names and len(names) == count else None


def _class_names(runs: Sequence[Run], count: int) -> list[str]:
    """The class names in the protocol of a mode count, else numbers."""
    protocols = [run.protocols[score] for run in runs for score in run.called("mode_counts")]
    known = [names for protocol in protocols if (names := _names(protocol, count))]
    return known[0] if known else [str(k) for k in range(count)]


def _missing(seeds: list[list[float]], protocol: dict[str, Any]) -> str:
    """ "No 8 among 1,000 samples in 1 of 2 seeds.", or that no mode is missing."""
    names = _names(protocol, len(seeds[0]))
    samples = int(protocol.get("n_fake") or sum(seeds[0]))
    misses = [sum(counts[i] == 0 for counts in seeds) for i in range(len(seeds[0]))]
    sentences = []
    for missing_in in range(len(seeds), 0, -1):
        words = missing_words(names, [float(m != missing_in) for m in misses], samples)
        if words:
            sentences.append(f"{words[0].upper()}{words[1:]}{_in_seeds(missing_in, len(seeds))}.")
    return " ".join(sentences) or f"All {len(misses):,} modes occur in {samples:,} samples."


def _in_seeds(missing_in: int, seeds: int) -> str:
    if seeds == 1:
        return ""
    return " of any seed" if missing_in == seeds else f" in {missing_in} of {seeds} seeds"
