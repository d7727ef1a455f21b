"""The statuses of runs and of a sweep's trials, their groups, and the status a run is judged by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gansweep.judging.objective import objectives_of
from gansweep.metrics.protocol import HELD_OUT
from gansweep.records.plain_values import mapping
from gansweep.records.read import DAMAGED, NO_RESULT, Run, load
from gansweep.records.record import ENDED_WELL

# Beside those of the record (`records.record.STATUSES`):
NEVER_LEARNED = "never learned"  # a run that ended well, and whose samples resemble nothing
BREAKS_CONSTRAINT = "beyond a constraint"  # a trial that ended well, and cannot win

FAILED_TRAINING = ("diverged", "collapsed", NEVER_LEARNED)
FAILED = (*FAILED_TRAINING, "failed")  # no score of these counts
NO_WINNER = (*FAILED, "pruned", BREAKS_CONSTRAINT)  # trials that ended and cannot win
UNFINISHED = ("running", "paused", "interrupted", NO_RESULT, DAMAGED)  # may still end otherwise
FULL_BUDGET = (*ENDED_WELL, NEVER_LEARNED)  # trained for its whole budget, or needed no more of it

# Why a trial failed, and the words for it.
OUT_OF_MEMORY, BUG, MISTAKE, KILLED = "out_of_memory", "bug", "mistake", "killed"
FAILURES = {
    BUG: "by a bug",  # of gansweep or of the user's code
    OUT_OF_MEMORY: "out of memory",
    KILLED: "killed too often",
    MISTAKE: "by a mistake in its settings",  # its message says the fix
}

CHANCE = 0.001  # share of samples that may resemble the data by chance
ONE_CLASS = 1.1  # Inception score; 1 where all samples look alike to the network, as static does
# Share of samples that shows that a run had learned something: healthy runs reach 0.1 to 0.9.
LEARNED = 0.05
# Each of these shares alone can show that samples resemble the data.
RESEMBLING = ("high_quality", "precision")
EVIDENCE = (*RESEMBLING, "in_no_mode", "is")
# The least number of samples for which a share is evidence. For points it is the only evidence: of
# 2,500 in the plane, a generator far from the modes puts one or two into them by chance.
LEAST, LEAST_POINTS = 100, 1000


def judged_runs(paths: Iterable[str | Path]) -> list[Run]:
    """The runs at or below each path, each with the status and the reason that it is judged by.

    Raises: UserError if a path does not exist or holds no run.
    """
    runs = load(paths)
    judge(runs)
    return runs


def judge(runs: Iterable[Run]) -> None:
    """Give each run the status and the reason that it is judged by."""
    for run in runs:
        if run.complete:
            at = objectives_of(run.sweep)[0].at if run.sweep else "last"
            run.status, run.reason = judged_status(run.result, at)


def judged_status(result: Mapping[str, Any], at: str = "last") -> tuple[str, str]:
    """Status and reason of a run by its result.json, with its scores taken into account.

    A run that ended well and whose samples resemble nothing "never learned", or "diverged" if it
    had learned something before. A run that is judged by held-out samples is exempt: it may make
    no samples of its own.
    at: the moment whose scores count, "last" or "best".
    """
    status, reason = str(result.get("status")), str(result.get("reason") or "")
    protocols = mapping(result.get("protocols"))
    objective = mapping(protocols.get(str(result.get("objective"))))
    if status not in ENDED_WELL or objective.get("score") in HELD_OUT:
        return status, reason
    last, best = (evidence_by_word(_numbers(result.get(k)), protocols) for k in ("last", "best"))
    why = why_nothing(best if at == "best" else at_end(last, best))
    if not why:
        return status, reason
    if largest_share(best) >= LEARNED:
        return "diverged", f"no sample resembles the data any more: {why}"
    return NEVER_LEARNED, f"no sample resembles the data: {why}"


def why_nothing(scores: Mapping[str, float]) -> str:
    """The scores of one evaluation that show that no sample resembles the data, as "precision 0,
    in_no_mode 1"; "" where some do, or where the scores do not show it.

    scores: a score's word -> its value. For points the share in the modes decides. For images
    precision decides together with a second score, as a weak generator may also make no sample
    near a real one: all samples are in no mode, or all are one class to the Inception score.
    """
    if scores.get("high_quality", math.nan) <= CHANCE:
        return _listed(scores, "high_quality")
    if not scores.get("precision", math.nan) <= CHANCE:
        return ""
    if scores.get("in_no_mode", math.nan) >= 1 - CHANCE:
        return _listed(scores, "precision", "in_no_mode")
    return _listed(scores, "precision", "is") if scores.get("is", math.nan) <= ONE_CLASS else ""


def evidence_by_word(
    values: Mapping[str, float], protocols: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """Word -> the value of the score; where several have that word, the most favourable one.

    values: a score's full name -> its value.
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        protocol = protocols.get(name, {})
        word, n = protocol.get("score"), protocol.get("n_fake", LEAST_POINTS)
        enough = isinstance(n, int) and n >= (LEAST_POINTS if word == "high_quality" else LEAST)
        if word in EVIDENCE and math.isfinite(value) and enough:
            choose = min if word == "in_no_mode" else max
            found[word] = choose(value, found.get(word, value))
    return found


def at_end(last: Mapping[str, float], best: Mapping[str, float]) -> dict[str, float]:
    """The scores by which a run's end is judged: the last ones, but the best share of points in the
    modes: a GAN that circles around the modes is in none of them at many moments."""
    share = {"high_quality": best["high_quality"]} if "high_quality" in best else {}
    return {**last, **share}


def largest_share(scores: Mapping[str, float]) -> float:
    """Share of the samples that resemble the data, by the most favourable score; 0 without one."""
    known = [scores[word] for word in RESEMBLING if word in scores]
    return max([*known, 1 - scores.get("in_no_mode", 1.0)])


def _listed(scores: Mapping[str, float], *words: str) -> str:
    return ", ".join(f"{word} {scores[word]:.4g}" for word in words)


def _numbers(scores: Any) -> dict[str, float]:
    values = {name: mapping(entry).get("value") for name, entry in mapping(scores).items()}
    return {name: float(v) for name, v in values.items() if isinstance(v, (int, float))}
