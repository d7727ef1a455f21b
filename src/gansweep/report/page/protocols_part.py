"""How each score of a board was measured."""

from __future__ import annotations

from typing import Any

from gansweep.judging.labels import varied
from gansweep.judging.leaderboard import Board
from gansweep.judging.objective import COSTS
from gansweep.judging.protocols import protocols_of
from gansweep.metrics.protocol import REPEATABLE


def protocols_part(board: Board) -> dict[str, Any]:
    """The common part of all protocols, and a line for each score with what differs.

    A score that was measured with several protocols has several lines.
    """
    scores = sorted({s for run in board.runs for s in run.scores()} - COSTS.keys())
    found = [(s, protocol, runs) for s in scores for protocol, runs in protocols_of(board.runs, s)]
    skipped = ("score", *REPEATABLE)
    kept = [{k: v for k, v in one.items() if k not in skipped} for _, one, _ in found]
    differing = varied(kept)
    first = kept[0] if kept else {}
    return {
        "common": {k: v for k, v in first.items() if k not in differing and v is not None},
        "keys": differing,
        "lines": [
            {"score": score, "runs": len(runs), "values": [protocol.get(k) for k in differing]}
            for score, protocol, runs in found
        ],
    }
