"""Figures of mode coverage: what share of the samples falls into each mode, and which have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gansweep.metrics.scores.missing import missing_words
from gansweep.records.notation import number
from gansweep.records.read import Run
from gansweep.report.figures.figures import Figure, level, name_of, plain
from gansweep.report.figures.palette import NEUTRAL, Variant

MANY = 60  # more bars than this cannot be told apart
POINTS = 200  # of a line
TOP = 5.0  # even shares at the upper end of an axis; a collapsed generator goes far beyond


def mode_counts(variants: Sequence[Variant]) -> list[Figure]:
    """How the samples of each variant spread over the modes at the end.

    A few modes are bars, a figure a variant; many are one figure of all variants. The modes that
    got no sample are named below. Of several counts those over the most samples are shown.
    """
    few: list[Figure] = []
    many: dict[str, list[tuple[Variant, list[list[float]], dict[str, Any]]]] = {}
    for variant in variants:
        score = _largest(variant.row.shown)
        seeds = [counts for run in variant.row.shown if (counts := _counts(run, score))]
        seeds = [counts for counts in seeds if len(counts) == len(seeds[0])]
        if not seeds:
            continue
        protocol = next(p for run in variant.row.shown if (p := run.protocols.get(score)))
        if len(seeds[0]) > MANY:
            many.setdefault(score, []).append((variant, seeds, protocol))
        else:
            few.append(_bars(variant, seeds, protocol))
    # one scale, so that the heights of two figures compare
    top = max((share for figure in few for share in figure.data[0]["y"]), default=0.0)
    for figure in few:
        figure.layout["yaxis"]["range"] = [0, 1.08 * (top or 1.0)]
    return [*(_ranks(score, found) for score, found in many.items()), *few]


def _largest(runs: Sequence[Run]) -> str:
    """The mode counts over the most samples; "" where there are none."""
    found = [(run, score) for run in runs for score in run.called("mode_counts")]
    found = [(run, score) for run, score in found if _counts(run, score)]
    sizes = {score: float(run.protocols[score].get("n_fake") or 0) for run, score in found}
    return max(sizes, key=lambda score: sizes[score], default="")


def _counts(run: Run, score: str) -> list[float]:
    return [count or 0.0 for count in run.numbers(score)]


def _bars(variant: Variant, seeds: list[list[float]], protocol: dict[str, Any]) -> Figure:
    count, names = len(seeds[0]), _names(protocol, len(seeds[0]))
    # a generator of which no sample counts as any mode has a share of 0 everywhere
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
    """FID within each class, a bar a class and variant; none where a class had too few samples."""
    runs = [run for variant in variants for run in variant.row.shown]
    figures = []
    for score in dict.fromkeys(s for run in runs for s in run.called("intra_fid_per_class")):
        traces, told = [], []
        for variant in variants:
            lists = [found for run in variant.row.shown if (found := run.numbers(score))]
            means = [_mean(column) for column in zip(*lists, strict=True)]
            if not means:
                continue
            told.append(f"{variant.row.name} {number(max((m for m in means if m), default=None))}")
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
        alt = f"FID within each class. Of the worst class: {'; '.join(told)}."
        figures.append(Figure(score, alt, traces, layout, height=260, wide=True))
    return figures


def _mean(values: Sequence[float | None]) -> float | None:
    """Over the seeds that have it; None where none does."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _ranks(
    score: str, found: Sequence[tuple[Variant, list[list[float]], dict[str, Any]]]
) -> Figure:
    """Modes from the most to the least frequent: a line falls to 0 where modes are missing."""
    count = len(found[0][1][0])
    ranks = sorted({round(i * (count - 1) / (POINTS - 1)) for i in range(POINTS)})
    traces, notes = [], []
    for variant, seeds, protocol in found:
        # in even shares: 1 is what every mode would have
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
        "yaxis": {"title": {"text": "samples in the mode, in even shares"}, "range": [0, TOP]},
        "hovermode": "x unified",
    }
    alt = f"How often each of {count:,} modes was drawn. {' '.join(notes)}"
    note = f"The dashed line is chance: {samples:,} samples spread evenly. {' '.join(notes)}"
    return Figure(score, alt, traces, layout, height=340, wide=True, note=note)


def _chance(ranks: Sequence[int], count: int, samples: int) -> dict[str, Any]:
    """What an even spread gives by chance: the quantiles of Poisson(samples / count)."""
    from scipy.stats import poisson

    mean = samples / count
    quantiles = poisson.ppf([1 - (rank + 0.5) / count for rank in ranks], mean) / (mean or 1.0)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [rank + 1 for rank in ranks],
        "y": quantiles.tolist(),
        "line": {"color": NEUTRAL, "dash": "dash", "width": 1},
        "name": "even spread by chance",
        "hovertemplate": "%{y:.2f}",
        "showlegend": False,
    }


def _names(protocol: dict[str, Any], count: int) -> list[str] | None:
    names = protocol.get("mode_names")
    return [str(name) for name in names] if names and len(names) == count else None


def _class_names(runs: Sequence[Run], count: int) -> list[str]:
    """As the protocol of a mode count has them, else numbers."""
    protocols = [run.protocols[score] for run in runs for score in run.called("mode_counts")]
    known = [names for protocol in protocols if (names := _names(protocol, count))]
    return known[0] if known else [str(k) for k in range(count)]


def _missing(seeds: list[list[float]], protocol: dict[str, Any]) -> str:
    """ "No 8 among 1,000 samples in 1 of 2 seeds.", or that none is missing."""
    names = _names(protocol, len(seeds[0]))
    samples = int(protocol.get("n_fake") or sum(seeds[0]))
    misses = [sum(counts[i] == 0 for counts in seeds) for i in range(len(seeds[0]))]
    told = []
    for missing_in in range(len(seeds), 0, -1):
        words = missing_words(names, [float(m != missing_in) for m in misses], samples)
        if words:
            told.append(f"{words[0].upper()}{words[1:]}{_in_seeds(missing_in, len(seeds))}.")
    return " ".join(told) or f"All {len(misses):,} modes are there among {samples:,} samples."


def _in_seeds(missing_in: int, seeds: int) -> str:
    if seeds == 1:
        return ""
    return " of any seed" if missing_in == seeds else f" in {missing_in} of {seeds} seeds"
