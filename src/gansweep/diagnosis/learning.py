"""Whether a run has learnt anything: whether its samples resemble the data at all.

One fact for all who ask: the doctor, the report, the stop rules, and a sweep's samplers and
confirmations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gansweep.diagnosis.curves import HALF, finite, late, trend
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.metrics.protocol import HELD_OUT

NEVER_LEARNED = "never learned"  # the status of a run that ended so, whatever its process said
ENDED_WELL = ("finished", "equilibrium", "plateau")
CHANCE = 0.001  # of the samples, that may resemble the data by chance
ONE_CLASS = 1.1  # Inception score, 1 where all samples are alike to the network, as static is
# Share of the samples that shows that a run had learnt something: healthy runs are at 0.1 to 0.9.
LEARNT = 0.05
# Shares of the samples that resemble the data, of which any one says so; of in_no_mode the rest.
RESEMBLING = ("high_quality", "precision")
READ = (*RESEMBLING, "in_no_mode", "is")
# Samples of which a share says anything. Of points it is the only witness: of 2,500 in the plane a
# generator that is far from the modes has one or two in them by chance.
LEAST, LEAST_POINTS = 100, 1000
STANDS = 0.01  # share of a saturated score by which it may still move
MOVES = 2e-3  # share of it that shows a run begin to learn: static on digits moves by 1.3e-3

Protocols = Mapping[str, Mapping[str, Any]]


def why_nothing(scores: Mapping[str, float]) -> str:
    """By what one evaluation shows that no sample resembles the data; "" where some do, or where
    its scores cannot tell.

    scores: a score's word -> its value. Points say it by the share in the modes; images by their
    precision, and by a second witness: all are in no mode, or one image to the network by the
    Inception score. A weak generator, too, may make no sample near a real one.
    """
    good = scores.get("high_quality", math.nan)
    if good <= CHANCE:
        return _told(scores, "high_quality")
    if not scores.get("precision", math.nan) <= CHANCE:
        return ""
    if scores.get("in_no_mode", math.nan) >= 1 - CHANCE:
        return _told(scores, "precision", "in_no_mode")
    return _told(scores, "precision", "is") if scores.get("is", math.nan) <= ONE_CLASS else ""


def _told(scores: Mapping[str, float], *words: str) -> str:
    return ", ".join(f"{word} {scores[word]:.4g}" for word in words)


def by_word(values: Mapping[str, float], protocols: Protocols) -> dict[str, float]:
    """Word -> the value of the score, the more favourable one where several have that word.

    values: a score's full name -> its value.
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        protocol = protocols.get(name, {})
        word, n = protocol.get("score"), protocol.get("n_fake", LEAST_POINTS)
        enough = isinstance(n, int) and n >= (LEAST_POINTS if word == "high_quality" else LEAST)
        if word in READ and math.isfinite(value) and enough:
            choose = min if word == "in_no_mode" else max
            found[word] = choose(value, found.get(word, value))
    return found


def judged_end(result: Mapping[str, Any], at: str = "last") -> tuple[str, str]:
    """Status and reason of a run by its result.json, where its scores are heard beside its process.

    A run that ended well and whose samples resemble nothing "never learned", or "diverged" where it
    had learnt something before. A run that is judged by what it says of held-out samples may do
    without samples of its own.
    at: the moment that counts, "last" or "best".
    """
    status, reason = str(result.get("status")), str(result.get("reason") or "")
    protocols = _mapping(result.get("protocols"))
    objective = _mapping(protocols.get(str(result.get("objective"))))
    if status not in ENDED_WELL or objective.get("score") in HELD_OUT:
        return status, reason
    last, best = (by_word(_numbers(result.get(key)), protocols) for key in ("last", "best"))
    why = why_nothing(best if at == "best" else _ended_with(last, best))
    if not why:
        return status, reason
    if _share(best) >= LEARNT:
        return "diverged", f"no sample resembles the data any more: {why}"
    return NEVER_LEARNED, f"no sample resembles the data: {why}"


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
        had = max(_share(scores) for _, scores in looks)
        if not _has_ended(evidence) or had >= LEARNT:  # it may come back; or `divergence` says it
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
    had = max(_share(scores) for _, scores in looks)
    return (looks[-1][0], why, had) if had >= LEARNT else None


def _why_at_end(looks: Sequence[tuple[float, Mapping[str, float]]]) -> str:
    """What shows that a run with these evaluations has nothing; "" where it has something."""
    if not looks:
        return ""
    shares = [scores["high_quality"] for _, scores in looks if "high_quality" in scores]
    return why_nothing(_ended_with(looks[-1][1], {"high_quality": max(shares)} if shares else {}))


def _ended_with(last: Mapping[str, float], best: Mapping[str, float]) -> dict[str, float]:
    """The scores by which a run's end is judged: the last ones. Of points the best share: a GAN
    that circles around the modes is in none of them at many a moment."""
    share = {"high_quality": best["high_quality"]} if "high_quality" in best else {}
    return {**last, **share}


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
        evidence.objective, *(evidence.score(word) for word in READ), "loss/generator"
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
    words = [(kimg, by_word(values, evidence.protocols)) for kimg, values in sorted(at.items())]
    return [(kimg, scores) for kimg, scores in words if scores]


def _share(scores: Mapping[str, float]) -> float:
    """Of the samples that resemble the data, by the most favourable score; 0 without one."""
    known = [scores[word] for word in RESEMBLING if word in scores]
    return max([*known, 1 - scores.get("in_no_mode", 1.0)])


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
    return evidence.status in (*ENDED_WELL, NEVER_LEARNED)


def _stands(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= STANDS * max(map(abs, values))


def _numbers(scores: Any) -> dict[str, float]:
    values = {name: _mapping(entry).get("value") for name, entry in _mapping(scores).items()}
    return {name: float(v) for name, v in values.items() if isinstance(v, (int, float))}


def _mapping(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, Mapping) else {}
