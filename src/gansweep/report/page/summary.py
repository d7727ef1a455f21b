"""The summary of a board in sentences."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gansweep.judging.leaderboard import Board
from gansweep.judging.verdict import verdict
from gansweep.records.notation import duration, plural
from gansweep.report.page.cautions import cautions


def summary(board: Board) -> dict[str, Any]:
    """verdict: which row leads, and whether by more than chance.   overview: what was run.

    refused: scores with several protocols, a sentence each.   cautions: why small differences mean
        little, a sentence each.
    """
    return {
        "verdict": verdict(board),
        "overview": overview(board),
        "refused": [refusal.reason for refusal in board.refused],
        "cautions": cautions(board),
    }


def overview(board: Board) -> str:
    """ "14 runs of 6 configurations on digits: 11 finished, 1 diverged, 2 pruned."."""
    data = ", ".join(dict.fromkeys(run.data for run in board.runs))
    counts = Counter(run.status for run in board.runs)
    states = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    rows = plural(len(board.rows) + len(board.open_rows), "configuration")
    seconds = sum(run.number("seconds") or 0.0 for run in board.runs)
    return (
        f"{plural(len(board.runs), 'run')} of {rows} on {data}: {states}. "
        f"{duration(seconds)} of training in all."
    )
