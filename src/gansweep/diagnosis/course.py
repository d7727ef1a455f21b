"""The course of training: divergence, and slow convergence."""

from __future__ import annotations

import math

from gansweep.diagnosis.curves import HALF, clocks, finite, late, level, peak, trend
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.diagnosis.game import swinging_quality
from gansweep.diagnosis.learning import lost_all, saturated

DIVERGED = "divergence"
SPENT = 0.95  # of the budget
FAST = 0.2  # relative change within the second half that makes a larger budget worthwhile
# a loss never has such values in a GAN that learns; the scores grow without bound
HUGE = 1e6
GROWN = 1e3  # times its early values, and at least this large
WORSE = 2.0  # times its best
LOST = 0.25  # of the improvement: near 0 a factor alone says little
GOOD_ONCE = 0.25  # of all samples in the modes; with less there was nothing to lose
# reverse KL of modes filled to 95 %, or three times that of perfect samples: little to gain below
GOOD_KL = 0.05
ABOVE_FLOOR = 3.0


def divergence(evidence: Evidence) -> Finding | None:
    """A number is not finite, the discriminator's scores explode, or quality is lost."""
    if evidence.status == "diverged":
        kimg = (evidence.kimg, evidence.kimg)
        columns = evidence.columns("loss/discriminator", "loss/generator", evidence.objective)
        return Finding(DIVERGED, "failure", f"Training broke: {evidence.reason}.", columns, kimg)
    rules = (_not_finite, _exploded, _lost_all, _lost_quality)
    return next(filter(None, (rule(evidence) for rule in rules)), None)


def _not_finite(evidence: Evidence) -> Finding | None:
    for name, points in evidence.curves.items():
        if name.startswith(("loss/", "penalty/")) and points and not math.isfinite(points[-1][1]):
            known = finite(points)
            since = next(k for k, _ in points if not known or k > known[-1][0])
            text = f"{name} is not finite from {since:.4g} kimg on."
            return Finding(DIVERGED, "failure", text, (name,), (since, points[-1][0]))
    return None


def _exploded(evidence: Evidence) -> Finding | None:
    for name in evidence.columns("loss/discriminator", "loss/generator"):
        sizes = [(kimg, abs(value)) for kimg, value in finite(evidence.curves[name])]
        judged = late(sizes)
        now, early = level(judged), level(sizes[: max(3, len(sizes) // 4)])
        if now >= HUGE or now >= GROWN * max(early, 1):
            text = (
                f"{name} is {now:.2g} from {judged[0][0]:.4g} kimg on ({early:.2g} in the first "
                "quarter): nothing bounds the discriminator's scores."
            )
            columns = evidence.columns(name, "critic/gap", "grad_norm/discriminator")
            return Finding(DIVERGED, "failure", text, columns, clocks(judged))
    return None


def _lost_all(evidence: Evidence) -> Finding | None:
    found = lost_all(evidence)
    if found is None:
        return None
    kimg, why, had = found
    text = (
        f"All that was learned is lost: no sample resembles the data at {kimg:.4g} kimg ({why}), "
        f"but {had:.0%} did before; best.pt is from the best evaluation.{saturated(evidence, kimg)}"
    )
    words = ("precision", "in_no_mode", "is")
    columns = evidence.columns(evidence.objective, *map(evidence.score, words), "loss/generator")
    return Finding(DIVERGED, "failure", text, columns, (kimg, kimg))


def _lost_quality(evidence: Evidence) -> Finding | None:
    if not evidence.settled or swinging_quality(evidence):
        return None
    for word, sign in (("fid", 1), ("kid", 1), ("high_quality", -1)):
        name = evidence.score(word)
        known = finite(evidence.curves[name]) if name is not None else []
        judged = late(known)  # empty where the clocks double from one to the next
        if name is None or len(known) < 6 or not judged:
            continue
        at, best = peak(known, min if sign > 0 else max)
        now = level(judged)
        worse = now >= WORSE * best if sign > 0 else now <= best / WORSE and best >= GOOD_ONCE
        gained = sign * (known[0][1] - best)
        if at < judged[0][0] and worse and sign * (now - best) >= LOST * gained:
            text = (
                f"{name} is {now:.3g} from {judged[0][0]:.4g} kimg on, after {best:.3g} at "
                f"{at:.4g} kimg; best.pt is from the best evaluation."
            )
            columns = evidence.columns(name, "loss/generator", "grad_norm/discriminator")
            return Finding(DIVERGED, "failure", text, columns, clocks(judged))
    return None


def slow_convergence(evidence: Evidence) -> Finding | None:
    """The objective was still clearly improving at the end of the budget."""
    if evidence.status != "finished" or evidence.kimg < SPENT * evidence.budget_kimg:
        return None
    # the curves that converge: the objective, the share of good points, the gap of the game
    converging = (
        *(evidence.objective, evidence.score("high_quality")),
        *("game/duality_gap", "critic/global_measure"),
    )
    for name in evidence.columns(*converging):
        half, sign = evidence.late(name, HALF), evidence.better(name)
        if trend(half) != sign or evidence.level(name) <= _nothing_to_gain(evidence, name):
            continue
        start, now = level(half[: len(half) // 2]), level(half[len(half) // 2 :])
        change = sign * (now - start) / max(abs(start), 1e-9)
        if change >= FAST:
            word = "rising" if sign > 0 else "falling"
            text = (
                f"{name} was still {word} at the end of the budget of {evidence.budget_kimg:g} "
                f"kimg: from {start:.3g} to {now:.3g} over the second half."
            )
            return Finding("slow_convergence", "warning", text, (name,), clocks(half))
    return None


def _nothing_to_gain(evidence: Evidence, name: str) -> float:
    """The value below which an improvement is not worth the time."""
    protocol = evidence.protocols.get(name, {})
    if protocol.get("score") not in ("reverse_kl", "confident_reverse_kl"):
        return -math.inf
    counts = evidence.counts[-1][1] if evidence.counts else ()
    counted = protocol.get("n_fake") if protocol.get("counted") == "every sample" else sum(counts)
    return max(GOOD_KL, ABOVE_FLOOR * len(counts) / (2 * max(1.0, counted or 0.0)))
