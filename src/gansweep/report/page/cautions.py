"""Where a table is to be read with care: too few samples for the differences that it shows, and
winners that broke a constraint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.judging.leaderboard import Board, Row
from gansweep.judging.protocols import measured_with
from gansweep.records.notation import listing, number
from gansweep.records.read import Run

# FID compares covariances: below this many samples for each dimension its bias is a large part of
# any good FID. (Published tables have 50,000 samples in 2,048 dimensions, 24 for each.)
SAMPLES_PER_DIMENSION = 10


@dataclass(frozen=True)
class Measured:
    """One configuration's FID, the mean over its seeds.

    endless: FID-infinity, what endless samples would give, and residual: how far the fit behind
    it misses the measured values; None where it was not measured.
    error: half the width of the 95 % interval of the mean FID at this number of samples, from noise
    of the measurement alone.   endless_error: of that of FID-infinity. None where not measured.
    """

    row: Row
    fid: float
    endless: float | None
    residual: float | None
    error: float | None
    endless_error: float | None = None

    @property
    def bias(self) -> float | None:
        return None if self.endless is None else self.fid - self.endless


def measured(board: Board, score: str) -> list[Measured]:
    """Every configuration that has this FID, the best first."""
    found = []
    for row in board.rows:
        if score in row.scores(board.at):
            runs = [run for run in row.complete if run.value(score, board.at) is not None]
            fid = row.scores(board.at)[score].mean
            words = ("fid_infinity", "fid_infinity_residual")
            endless, residual = (_beside(runs, score, word, board.at) for word in words)
            columns = [measured_with(run, score, "fid_infinity") for run in runs]
            errors = _error(runs, [score] * len(runs)), _error(runs, columns)
            found.append(Measured(row, fid, endless, residual, *errors))
    return sorted(found, key=lambda one: one.fid)


def _beside(runs: Sequence[Run], score: str, word: str, at: str) -> float | None:
    """The mean of what was measured with a score, if every run has it."""
    columns = [measured_with(run, score, word) for run in runs]
    # what has no direction has no best
    at = "last" if word == "fid_infinity_residual" else at
    values = [run.value(c, at) if c else None for run, c in zip(runs, columns, strict=True)]
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def _error(runs: Sequence[Run], columns: Sequence[str | None]) -> float | None:
    """Of the mean over the runs, each with a column of its own."""
    pairs = zip(runs, columns, strict=True)
    intervals = [value.interval for run, name in pairs if name and (value := run.last(name))]
    halves = [(high - low) / 2 for low, high in filter(None, intervals)]
    if not halves or len(halves) < len(runs):
        return None
    return math.sqrt(math.fsum(half**2 for half in halves)) / len(halves)


def cautions(board: Board) -> list[str]:
    """Sentences with the numbers, for each FID of the table and each winner that broke a
    constraint; empty where nothing is to be said."""
    told = [
        f"{row.name} breaks {listing(row.breaks, 'and')} over its fresh seeds, and so ranks behind "
        "those that do not."
        for row in board.ranked
        if row.breaks
    ]
    for score in board.scores:
        protocol = next((p for run in board.runs if (p := run.protocols.get(score))), {})
        if protocol.get("score") == "fid":
            found = measured(board, score)
            told += [_few_samples(score, protocol), _biased(score, found), _uncertain(score, found)]
    return [sentence for sentence in told if sentence]


def _few_samples(score: str, protocol: dict[str, Any]) -> str:
    n, width = protocol.get("n_fake"), protocol.get("feature_width")
    if not n or not width or n >= SAMPLES_PER_DIMENSION * width:
        return ""
    return (
        f"{score} is measured on {n:,} samples in {width:,} dimensions. With fewer than "
        f"{SAMPLES_PER_DIMENSION} samples for each dimension FID is far too high, by an amount "
        "that differs from one generator to the next: read no small difference, and measure with "
        f"metrics.n_fake={SAMPLES_PER_DIMENSION * width} or more (`gansweep evaluate`)."
    )


def _biased(score: str, found: Sequence[Measured]) -> str:
    """The leader against those that its bias may have put behind it."""
    known = [(one, one.bias) for one in found if one.bias is not None]
    if len(known) < 2:
        return ""
    biases = [bias for _, bias in known]
    (first, bias), *others = known
    close = [(one, b) for one, b in others if one.fid - first.fid < abs(b - bias)]
    if not close:
        return ""
    second, other = close[0]
    assert first.endless is not None and second.endless is not None
    turned = ", which turns the order round" if second.endless < first.endless else ""
    return (
        f"{score} is {_span(biases)} above what endless samples would give. {first.row.name} and "
        f"{second.row.name} differ by {number(second.fid - first.fid)}, their biases by "
        f"{number(abs(other - bias))}{turned}: FID-infinity is {number(first.endless)} and "
        f"{number(second.endless)}. Compare by FID-infinity, or on more samples."
    )


def _uncertain(score: str, found: Sequence[Measured]) -> str:
    """The leader against those that lie within the errors of the measurement."""
    known = [(one, one.error) for one in found if one.error is not None]
    if len(known) < 2:
        return ""
    (first, error), *others = known
    close = [(one, math.hypot(error, e)) for one, e in others]
    close = [(one, noise) for one, noise in close if one.fid - first.fid < noise]
    if not close:
        return ""
    gap, noise = close[-1][0].fid - first.fid, max(noise for _, noise in close)
    behind = listing([one.row.name for one, _ in close], "and")
    up_to = "differences of up to" if len(close) > 1 else "a difference of"
    return (
        f"{score} does not tell {first.row.name} from {behind}: {up_to} {number(gap)} against "
        f"an error of measuring it of ± {number(noise)} (95 %)."
    )


def _span(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"
