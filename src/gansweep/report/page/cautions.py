"""Warnings about a table: too few samples for its differences, winners that break a constraint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.judging.leaderboard import Board, Row
from gansweep.judging.protocols import measured_with
from gansweep.records.notation import listing, number
from gansweep.records.read import Run

# FID compares covariances. With fewer samples per dimension its bias is a large part of a good FID.
# (Published tables have 50,000 samples in 2,048 dimensions, 24 per dimension.)
SAMPLES_PER_DIMENSION = 10


@dataclass(frozen=True)
class Measured:
    """The FID of one configuration, the mean over its seeds. Other fields are None if unknown.

    endless: FID-infinity, the limit for infinitely many samples.
    residual: the error of the fit that gives FID-infinity.
    error: half the width of the 95 % interval of the mean FID at this number of samples, from
        measurement noise only.   endless_error: the same for FID-infinity.
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
    """Every configuration with this FID, best first."""
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
    """The mean of another score that was measured together with `score`, if every run has it."""
    columns = [measured_with(run, score, word) for run in runs]
    # a residual has no direction, so it has no best value
    at = "last" if word == "fid_infinity_residual" else at
    values = [run.value(c, at) if c else None for run, c in zip(runs, columns, strict=True)]
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def _error(runs: Sequence[Run], columns: Sequence[str | None]) -> float | None:
    """The error of the mean over the runs.   columns: the score's column in each run."""
    pairs = zip(runs, columns, strict=True)
    intervals = [value.interval for run, name in pairs if name and (value := run.last(name))]
    halves = [(high - low) / 2 for low, high in filter(None, intervals)]
    if not halves or len(halves) < len(runs):
        return None
    return math.sqrt(math.fsum(half**2 for half in halves)) / len(halves)


def cautions(board: Board) -> list[str]:
    """Warnings with numbers, for each FID of the table and each winner that breaks a constraint."""
    warnings = [
        f"{row.name} breaks {listing(row.breaks, 'and')} with its fresh seeds, so it ranks behind "
        "configurations that break no constraint."
        for row in board.ranked
        if row.breaks
    ]
    for score in board.scores:
        protocol = next((p for run in board.runs if (p := run.protocols.get(score))), {})
        if protocol.get("score") == "fid":
            found = measured(board, score)
            warnings += [_few_samples(score, protocol), _biased(score, found)]
            warnings += [_uncertain(score, found)]
    return [sentence for sentence in warnings if sentence]


def _few_samples(score: str, protocol: dict[str, Any]) -> str:
    n, width = protocol.get("n_fake"), protocol.get("feature_width")
    if not n or not width or n >= SAMPLES_PER_DIMENSION * width:
        return ""
    return (
        f"{score} is measured on {n:,} samples in {width:,} dimensions. With fewer than "
        f"{SAMPLES_PER_DIMENSION} samples per dimension FID is far too high, and the bias differs "
        "between generators. So small differences mean nothing. Measure again with "
        f"metrics.n_fake={SAMPLES_PER_DIMENSION * width} or more (`gansweep evaluate`)."
    )


def _biased(score: str, found: Sequence[Measured]) -> str:
    """A warning if the bias of FID may have decided the order of the leader and another one."""
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
    turned = ", which reverses the order" if second.endless < first.endless else ""
    return (
        f"{score} is {_span(biases)} above its value for infinitely many samples. "
        f"{first.row.name} and {second.row.name} differ by {number(second.fid - first.fid)}, their "
        f"biases by {number(abs(other - bias))}{turned}: FID-infinity is {number(first.endless)} "
        f"and {number(second.endless)}. Compare by FID-infinity, or with more samples."
    )


def _uncertain(score: str, found: Sequence[Measured]) -> str:
    """A warning if the leader's lead over others is smaller than the error of measurement."""
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
        f"{score} cannot separate {first.row.name} from {behind}: {up_to} {number(gap)}, but the "
        f"error of measurement is ± {number(noise)} (95 %)."
    )


def _span(values: Sequence[float]) -> str:
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"
