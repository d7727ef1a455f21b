"""Whether a run has learnt anything: whether its samples resemble the data at all.

The evidence is that of `judging.statuses`, also for a run that still trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gansweep.diagnosis.curves import HALF, finite, trend
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.judging.statuses import (
    EVIDENCE,
    FULL_BUDGET,
    LEARNED,
    at_end,
    evidence_by_word,
    largest_share,
    why_nothing,
)
from gansweep.metrics.protocol import HELD_OUT

Evaluation = tuple[float, Mapping[str, float]]  # clock, and word -> value

STANDS = 0.01  # relative change that a saturated score may still have
MOVES = 2e-3  # relative change that shows that a run begins to learn; noise on digits has 1.3e-3


def never_learned(evidence: Evidence) -> Finding | None:
    """No sample resembles the data: in any evaluation or, if the run has ended, in the last one.

    A run that still trains is judged after half of its budget, unless its objective improves.
    """
    if _is_held_out(evidence) or not (evidence.settled or _has_ended(evidence)):
        return None
    evaluations = _evaluations(evidence)
    why = _why_at_end(evaluations)
    if not why:
        return None
    if not all(why_nothing(scores) for _, scores in evaluations):
        had = max(largest_share(scores) for _, scores in evaluations)
        if not _has_ended(evidence) or had >= LEARNED:  # it may recover; or `divergence` reports it
            return None
    elif not _has_ended(evidence) and _moves(evidence):
        return None
    return _nothing(evidence, evaluations, why)


def lost_all(evidence: Evidence) -> tuple[float, str, float] | None:
    """For an ended run that had learnt something and lost it; None for any other run.

    Returns: the clock of its end, the scores that show it, and the largest share of samples that
        resembled the data before.
    """
    evaluations = _evaluations(evidence)
    why = _why_at_end(evaluations)
    if not why or _is_held_out(evidence) or not _has_ended(evidence):
        return None
    had = max(largest_share(scores) for _, scores in evaluations)
    return (evaluations[-1][0], why, had) if had >= LEARNED else None


def _why_at_end(evaluations: Sequence[Evaluation]) -> str:
    """`why_nothing` for the end of a run with these evaluations."""
    if not evaluations:
        return ""
    shares = [scores["high_quality"] for _, scores in evaluations if "high_quality" in scores]
    best = {"high_quality": max(shares)} if shares else {}
    return why_nothing(at_end(evaluations[-1][1], best))


def saturated(evidence: Evidence, since: float = 0.0) -> str:
    """A sentence if the objective is constant although nothing is learnt; else "".

    since: the clock (kimg) from which its curve is read.
    """
    name = evidence.objective or ""
    curve = [point for point in finite(evidence.curves.get(name, ())) if point[0] >= since]
    values = [value for _, value in curve]
    if len(values) < 2 or max(values) - min(values) > STANDS * max(map(abs, values)):
        return ""
    return (
        f" {name} stays at {curve[-1][1]:.4g} over {len(curve)} evaluations: the score is "
        "saturated, and its plateau is not a quality that the run has reached."
    )


def _nothing(evidence: Evidence, evaluations: Sequence[Evaluation], why: str) -> Finding:
    scores = map(evidence.score, EVIDENCE)
    columns = evidence.columns(evidence.objective, *scores, "loss/generator")
    clock = evaluations[-1][0]
    text = f"No sample resembles the data at {clock:.4g} kimg ({why}).{saturated(evidence)}"
    kimg = (evaluations[0][0], clock)
    return Finding("never_learned", "failure", text, columns, kimg)


def _evaluations(evidence: Evidence) -> list[Evaluation]:
    """Each evaluation with scores of the samples that have a direction, made while training."""
    at: dict[float, dict[str, float]] = {}
    protocols = evidence.protocols
    for name in evidence.columns(*protocols):
        protocol = protocols[name]
        shows = protocol.get("score") in EVIDENCE and protocol.get("direction")
        if shows and "checkpoint" not in protocol:
            for kimg, value in evidence.curves[name]:
                at.setdefault(kimg, {})[name] = value
    words = [(kimg, evidence_by_word(values, protocols)) for kimg, values in sorted(at.items())]
    return [(kimg, scores) for kimg, scores in words if scores]


def _moves(evidence: Evidence) -> bool:
    """Whether the objective improves by more than a saturated score does."""
    name = evidence.objective or ""
    part = evidence.late(name, HALF)
    values = [value for _, value in part]
    return trend(part) == evidence.better(name) and max(values) - min(values) > MOVES * max(
        map(abs, values)
    )


def _is_held_out(evidence: Evidence) -> bool:
    return evidence.protocols.get(evidence.objective or "", {}).get("score") in HELD_OUT


def _has_ended(evidence: Evidence) -> bool:
    return evidence.status in FULL_BUDGET
