"""Whether a run has learnt anything: whether its samples resemble the data at all.

The scores that show it are those of `judging.statuses`, for a run that still trains too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gansweep.diagnosis.curves import HALF, finite, late, trend
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

STANDS = 0.01  # share of a saturated score by which it may still move
MOVES = 2e-3  # share of it that shows a run begin to learn: static on digits moves by 1.3e-3


def never_learned(evidence: Evidence) -> Finding | None:
    """No evaluation shows a sample that resembles the data, or the last one of a run that ended
    does not. A run that still trains is given half of its budget, and the rest of it where its
    objective has begun to move."""
    if _is_held_out(evidence) or not (evidence.settled or _has_ended(evidence)):
        return None
    looks = _evaluations(evidence)
    why = _why_at_end(looks)
    if not why:
        return None
    if not all(why_nothing(scores) for _, scores in looks):
        had = max(largest_share(scores) for _, scores in looks)
        if not _has_ended(evidence) or had >= LEARNED:  # it may come back; or `divergence` says it
            return None
    elif not _has_ended(evidence) and _moves(evidence):
        return None
    return _nothing(evidence, looks, why)


def lost_all(evidence: Evidence) -> tuple[float, str, float] | None:
    """Of a run that had learnt something and ended with samples that resemble nothing: the clock
    of its end, what shows it, and the largest share of samples that once resembled the data."""
    looks = _evaluations(evidence)
    why = _why_at_end(looks)
    if not why or _is_held_out(evidence) or not _has_ended(evidence):
        return None
    had = max(largest_share(scores) for _, scores in looks)
    return (looks[-1][0], why, had) if had >= LEARNED else None


def _why_at_end(looks: Sequence[tuple[float, Mapping[str, float]]]) -> str:
    """What shows that a run with these evaluations has nothing; "" where it has something."""
    if not looks:
        return ""
    shares = [scores["high_quality"] for _, scores in looks if "high_quality" in scores]
    return why_nothing(at_end(looks[-1][1], {"high_quality": max(shares)} if shares else {}))


def saturated(evidence: Evidence, since: float = 0.0) -> str:
    """That the objective stands at one value, where nothing is learnt; "" where it does not.

    since: the clock from which on it is looked at.
    """
    name = evidence.objective
    curve = [p for p in finite(evidence.curves.get(name or "", ())) if p[0] >= since]
    if name is None or len(curve) < 2 or not _stands([value for _, value in curve]):
        return ""
    return (
        f" {name} stands at {curve[-1][1]:.4g} over {len(curve)} evaluations: a score that is "
        "saturated, whose plateau is no level that the run has reached."
    )


def _nothing(
    evidence: Evidence, looks: Sequence[tuple[float, Mapping[str, float]]], why: str
) -> Finding:
    columns = evidence.columns(
        evidence.objective, *(evidence.score(word) for word in EVIDENCE), "loss/generator"
    )
    clock = looks[-1][0]
    text = f"No sample resembles the data at {clock:.4g} kimg ({why}).{saturated(evidence)}"
    kimg = (looks[0][0], clock)
    return Finding("never_learned", "Never learned", "failure", text, columns, kimg, looks[-1][1])


def _scalars(evidence: Evidence) -> list[str]:
    """The scores that have a better end, as training measures them again and again."""
    return [
        name
        for name, protocol in evidence.protocols.items()
        if protocol.get("direction") and evidence.curves.get(name) and "checkpoint" not in protocol
    ]


def _evaluations(evidence: Evidence) -> list[tuple[float, dict[str, float]]]:
    """(clock, word -> value) of each evaluation that says something of the samples."""
    at: dict[float, dict[str, float]] = {}
    for name in _scalars(evidence):
        for kimg, value in evidence.curves[name]:
            at.setdefault(kimg, {})[name] = value
    protocols = evidence.protocols
    words = [(kimg, evidence_by_word(values, protocols)) for kimg, values in sorted(at.items())]
    return [(kimg, scores) for kimg, scores in words if scores]


def _moves(evidence: Evidence) -> bool:
    """Whether the objective gets better, by more than a score that is saturated does."""
    name = evidence.objective or ""
    part = late(evidence.curves.get(name, ()), HALF)
    sign = 1 if evidence.protocols.get(name, {}).get("direction") == "maximize" else -1
    values = [value for _, value in part]
    return trend(part) == sign and max(values) - min(values) > MOVES * max(map(abs, values))


def _is_held_out(evidence: Evidence) -> bool:
    return evidence.protocols.get(evidence.objective or "", {}).get("score") in HELD_OUT


def _has_ended(evidence: Evidence) -> bool:
    return evidence.status in FULL_BUDGET


def _stands(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= STANDS * max(map(abs, values))
