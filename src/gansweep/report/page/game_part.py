"""What the figures of quality and of the game need beyond a run's own numbers.

The lists themselves (samples in each mode, seen classes, FID of each class) are in the runs'
entries; here is which of them each configuration shows, with names, chance and missing modes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gansweep.judging.leaderboard import Board, Row
from gansweep.judging.protocols import measured_with
from gansweep.metrics.scores.missing import missing_words
from gansweep.records.notation import number
from gansweep.records.read import Run
from gansweep.report.page.cautions import Measured, measured

# Scores that only give the error of another score and are shown with that one.
COMMENTS = ("fid_error", "fid_infinity_residual")
MARKS = {
    "fifty_fifty": (
        0.5,
        "Accuracy of a new discriminator that separates held-out from generated images. At the "
        "dashed line, 0.5, it only guesses: it cannot separate them.",
    ),
    "memorisation": (
        0.5,
        "At the dashed line, 0.5, samples are as near to the training images as held-out images "
        "are. Near 1 they are copies. Near 0 they are far from all training images.",
    ),
}
# fidelity, diversity
PAIRS = (("precision", "recall"), ("density", "coverage"))
RANKS = 200  # places of a curve over many modes
MANY = 60  # more modes than this are drawn as a curve, not as bars


def game_part(board: Board, rows: Mapping[str, Row], runs: Mapping[str, Run]) -> dict[str, Any]:
    """rows, runs: by the ids that the page knows them by."""
    ids = {run.directory: key for key, run in runs.items()}
    modes = {key: _counts(row, "mode_counts", ids) for key, row in rows.items()}
    confusions = {key: _counts(row, "confusion", ids) for key, row in rows.items()}
    return {
        "comments": [s for s in board.scores if _word(board, s) in COMMENTS],
        "marks": {score: mark for score in board.scores if (mark := _mark(board, score))},
        "modes": {key: _modes(rows[key], one, runs) for key, one in modes.items() if one},
        "chance": _chance([one for one in modes.values() if one and one["even"]]),
        "confusions": {key: one for key, one in confusions.items() if one},
        "class_fids": _class_fids(board, ids),
        "certainty": _certainty(board, rows),
        "fidelity": _fidelity(board),
    }


def _word(board: Board, score: str) -> str:
    protocol = next((p for run in board.runs if (p := run.protocols.get(score))), {})
    return str(protocol.get("score"))


def _mark(board: Board, score: str) -> dict[str, Any] | None:
    """The value of a dashed line in the score's curve, and a text on it."""
    protocol = next((p for run in board.runs if (p := run.protocols.get(score))), {})
    floor = protocol.get("floor")
    if isinstance(floor, (int, float)):
        text = (
            f"The dashed line, {number(floor)}, is the value of perfect samples for this number of "
            "samples."
        )
        return {"value": float(floor), "note": text}
    word = protocol.get("score")
    return {"value": MARKS[word][0], "note": MARKS[word][1]} if word in MARKS else None


def _counts(row: Row, word: str, ids: Mapping[Any, str]) -> dict[str, Any] | None:
    """Which lists of a score such as "mode_counts" a configuration shows; None if it has none.

    If it was measured in several ways, the one with the most samples is used.
    """
    scores = {score: run for run in row.shown for score in run.called(word) if run.numbers(score)}
    if not scores:
        return None
    score = max(scores, key=lambda s: float(scores[s].protocols[s].get("n_fake") or 0))
    size = len(scores[score].numbers(score))
    protocol = scores[score].protocols[score]
    named = "mode_names" if word == "mode_counts" else "class_names"
    count = size if word == "mode_counts" else round(size**0.5)
    return {
        "score": score,
        "runs": [ids[run.directory] for run in row.shown if len(run.numbers(score)) == size],
        "names": _names(protocol.get(named), count),
        "count": count,
        "even": not protocol.get("mode_shares"),
        "samples": int(protocol.get("n_fake") or 0),
    }


def _names(given: Any, count: int) -> list[str] | None:
    return [str(name) for name in given] if given and len(given) == count else None


def _modes(row: Row, shown: dict[str, Any], runs: Mapping[str, Run]) -> dict[str, Any]:
    seeds = [[n or 0.0 for n in runs[run].numbers(shown["score"])] for run in shown["runs"]]
    samples = shown["samples"] or int(sum(seeds[0]))
    return {**shown, "samples": samples, "note": _missing(seeds, shown["names"], samples)}


def _missing(seeds: list[list[float]], names: list[str] | None, samples: int) -> str:
    """ "No 8 among 1,000 samples in 1 of 2 seeds.", or that no mode is missing."""
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


def _chance(shown: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The counts that evenly distributed samples have by chance, for each number of many modes.

    ranks: places of the modes, the most frequent first.   shares: in even shares (1: even), the
    quantiles of Poisson(samples / count).
    """
    found = {}
    for count, samples in {(one["count"], one["samples"]) for one in shown}:
        if count > MANY and samples:
            from scipy.stats import poisson

            ranks = sorted({round(i * (count - 1) / (RANKS - 1)) for i in range(RANKS)})
            mean = samples / count
            shares = poisson.ppf([1 - (rank + 0.5) / count for rank in ranks], mean) / mean
            found[count, samples] = {"ranks": ranks, "shares": shares.tolist()}
    return [{"count": c, "samples": n, **one} for (c, n), one in found.items()]


def _class_fids(board: Board, ids: Mapping[Any, str]) -> list[dict[str, Any]]:
    """The scores with a FID for each class, and the names of the classes."""
    scores = dict.fromkeys(s for run in board.runs for s in run.called("intra_fid_per_class"))
    protocols = [run.protocols[s] for run in board.runs for s in run.called("mode_counts")]
    found = []
    for score in scores:
        runs = [run for run in board.runs if run.numbers(score)]
        size = len(runs[0].numbers(score)) if runs else 0
        known = [n for p in protocols if (n := _names(p.get("mode_names"), size))]
        names = known[0] if known else [str(k) for k in range(size)]
        own = [ids[run.directory] for run in runs if len(run.numbers(score)) == size]
        found.append({"score": score, "names": names, "runs": own})
    return [one for one in found if one["runs"]]


def _certainty(board: Board, rows: Mapping[str, Row]) -> list[dict[str, Any]]:
    """FID and FID-infinity with their errors, for each FID that has one of these."""
    keys = {row.key: key for key, row in rows.items()}
    found = []
    for score in board.scores:
        if any(score in run.called("fid") for run in board.runs):
            points = measured(board, score)
            if any(one.endless is not None or one.error is not None for one in points):
                found.append(
                    {"score": score, "points": [_errors(keys[one.row.key], one) for one in points]}
                )
    return found


def _errors(row: str, one: Measured) -> dict[str, Any]:
    return {
        "row": row,
        "fid": one.fid,
        "error": one.error,
        "endless": one.endless,
        "endless_error": one.endless_error,
    }


def _fidelity(board: Board) -> list[dict[str, Any]]:
    """The pairs of scores of fidelity (y) and diversity (x) that were measured together.

    If a pair was measured with several protocols on the same data, the one with the most runs is
    shown; evaluations after training come first among equals.
    """
    found = []
    for words in PAIRS:
        chosen: dict[Any, tuple[tuple[int, bool], dict[str, Any]]] = {}
        for y in board.scores:
            runs = [run for run in board.runs if y in run.called(words[0])]
            partners = {measured_with(run, y, words[1]) for run in runs} & {*board.scores}
            for x in sorted(filter(None, partners)):
                protocol = runs[0].protocols[y]
                rank, data = (len(runs), "checkpoint" in protocol), protocol.get("data")
                if data not in chosen or rank > chosen[data][0]:
                    chosen[data] = rank, {"x": x, "y": y, "words": list(words)}
        found += [pair for _, pair in chosen.values()]
    return found
