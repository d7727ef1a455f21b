"""Mode collapse: modes without samples, or little of the data covered by good samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gansweep.diagnosis.curves import HALF, LATE, clocks, finite, late, level, peak, trend
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding, Severity
from gansweep.metrics.scores.missing import missing_words

NAME = ("mode_collapse", "Mode collapse")
# exp(-reverse KL) is the share of the modes that are evenly filled: K - m of K modes, all alike,
# give (K - m) / K. PacGAN's plain GAN has 0.64 on the ring, PacGAN itself 0.9 and more.
FEW = 0.5
LACKING = 0.75
MOST_FLOOR = 0.25  # reverse KL of perfect samples, above which they are too few to judge by
ERRORS = 3.0  # standard deviations by which fewer modes are captured than by perfect samples
LOST = 0.25  # of all modes, captured before and not of late: worth a sentence
# Precision and recall change places when real and generated samples do: a perfect generator has
# them alike, whatever their value in that space (0.47 in 1,000 dimensions).
ONE_SIDED = 0.5
LEAST_GAP = 0.2  # between the two, since half of a small number is no distance
AHEAD = 1.5  # precision over recall, where coverage is low: else all of quality is
COVERED = 0.5  # of the coverage that perfect samples have
HARDLY = 0.2  # of it, or of precision: a failure, no longer a warning
NEIGHBOURS = 5  # of coverage, as published


def mode_collapse(evidence: Evidence) -> Finding | None:
    """Few modes, or far fewer than there are samples for; or little of the data is covered."""
    if evidence.status == "collapsed":
        return _constant(evidence)
    if not evidence.settled:
        return None
    return _few_modes(evidence) or _little_covered(evidence)


def _constant(evidence: Evidence) -> Finding:
    text = f"The generator makes one sample whatever the noise: {evidence.reason}."
    columns = evidence.columns("spread/fakes", "loss/generator")
    return Finding(*NAME, "failure", text, columns, (evidence.kimg, evidence.kimg))


@dataclass(frozen=True, slots=True)
class Filling:
    """How one evaluation's good samples fell into the modes. good: how many there were."""

    kimg: float
    captured: float
    reverse_kl: float
    good: float
    modes: int

    @property
    def floor(self) -> float:
        """The reverse KL of so many perfect samples, about (K - 1) / 2n."""
        return (self.modes - 1) / (2 * self.good) if self.good else math.inf

    @property
    def share(self) -> float:
        """Of the modes, evenly filled: 1 for perfect samples, however few."""
        return math.exp(-max(0.0, self.reverse_kl - self.floor))

    @property
    def missing(self) -> float:
        """Modes that perfect samples, as many, would have captured beyond doubt."""
        empty = (1 - 1 / self.modes) ** self.good
        deviation = math.sqrt(self.modes * empty * (1 - empty))
        return self.modes * (1 - empty) - ERRORS * deviation - self.captured


def _few_modes(evidence: Evidence) -> Finding | None:
    judged = [one for one in fillings(evidence) if one.floor <= MOST_FLOOR]
    if len(judged) < 2:
        return None
    # the typical evaluation or the newest, whichever is better: a run that comes back is not ill
    typical = sorted(judged, key=lambda one: one.share)[(len(judged) - 1) // 2]
    shown = max(typical, judged[-1], key=lambda one: one.share)
    missing = min(level([(one.kimg, one.missing) for one in judged]), judged[-1].missing)
    if shown.share >= LACKING and round(missing, 6) < 1:
        return None
    captured, modes, share = shown.captured, shown.modes, shown.share
    name = mode_score(evidence, "modes")
    assert name is not None
    words = _missing_words(evidence, name)
    filled = f"{captured:g} of {modes:,}" if captured < modes else f"all {modes:,}"
    text = (
        f"The samples fill {filled} modes, as unevenly as if they were spread over "
        f"{share * modes:.1f}, from {judged[0].kimg:.4g} kimg on.{words}"
        f"{_had_more(evidence, name, captured, modes)}"
    )
    columns = evidence.columns(name, mode_score(evidence, "reverse_kl"), "spread/fakes")
    numbers = {"modes": captured, "of": float(modes), "evenly_filled": share * modes}
    severity: Severity = "failure" if share < FEW else "warning"
    return Finding(*NAME, severity, text, columns, (judged[0].kimg, judged[-1].kimg), numbers)


def mode_score(evidence: Evidence, word: str) -> str | None:
    """The full name of "modes" or "reverse_kl" of good samples.

    Of images these are the ones that a classifier is sure of: the published scores count noise as
    the class that it resembles most.
    """
    return evidence.score(f"confident_{word}") or evidence.score(word)


def fillings(evidence: Evidence, share: float = LATE) -> list[Filling]:
    """Of the evaluations after `share` of the clock; empty where modes were not measured."""
    kl_name, modes_name = mode_score(evidence, "reverse_kl"), mode_score(evidence, "modes")
    if kl_name is None or modes_name is None or not evidence.counts:
        return []
    good = {kimg: sum(counts) for kimg, counts in evidence.counts}
    newest = good[max(good)]
    quality = evidence.score("high_quality")
    if quality is not None:
        n = evidence.protocols[quality].get("n_fake") or 0
        good |= {kimg: share * n for kimg, share in finite(evidence.curves[quality])}
    captured = dict(evidence.curves[modes_name])
    modes = len(evidence.counts[-1][1])
    return [
        Filling(kimg, captured[kimg], kl, good.get(kimg, newest), modes)
        for kimg, kl in late(evidence.curves[kl_name], share)
        if kimg in captured and modes > 1
    ]


def _missing_words(evidence: Evidence, modes_name: str) -> str:
    protocols = evidence.protocols.values()
    names = next((p["mode_names"] for p in protocols if p.get("mode_names")), None)
    kimg, counts = evidence.counts[-1]
    n = evidence.protocols[modes_name].get("n_fake") or int(sum(counts))
    words = missing_words(names, counts, n)
    return f" At {kimg:.4g} kimg there is {words}." if words else ""


def _had_more(evidence: Evidence, name: str, captured: float, modes: int) -> str:
    if len(finite(evidence.curves[name])) < 3:
        return ""
    kimg, most = peak(evidence.curves[name])
    return f" They filled {most:g} at {kimg:.4g} kimg." if most - captured >= LOST * modes else ""


def _little_covered(evidence: Evidence) -> Finding | None:
    """Where the modes are not known: precision without recall, or without coverage."""
    names = {word: evidence.score(word) for word in ("precision", "recall", "coverage")}
    values = {word: level(late(evidence.curves[n])) for word, n in names.items() if n is not None}
    precision, recall = values.get("precision", math.nan), values.get("recall", math.nan)
    coverage = values.get("coverage", math.nan)
    floor = perfect_coverage(evidence.protocols[names["coverage"]]) if names["coverage"] else 1.0
    unseen = recall <= ONE_SIDED * precision and precision - recall >= LEAST_GAP
    uncovered = coverage <= COVERED * floor and precision >= max(AHEAD * recall, LEAST_GAP)
    seen = [late(evidence.curves[n], HALF) for w, n in names.items() if n and w != "precision"]
    if not (unseen or uncovered) or any(trend(points) > 0 for points in seen):
        return None
    text = (
        f"The samples look real (precision {precision:.2f}) but show little of the data: recall "
        f"is {recall:.2f}"
    )
    if math.isfinite(coverage):
        text += f", coverage {coverage:.2f} where perfect samples have {floor:.2f}"
    columns = evidence.columns(names["recall"], names["coverage"], names["precision"])
    hardly = recall <= HARDLY * precision or coverage <= HARDLY * floor
    kimg = clocks(late(evidence.curves[columns[0]]))
    severity: Severity = "failure" if hardly else "warning"
    return Finding(*NAME, severity, f"{text}.", columns, kimg, values)


def perfect_coverage(protocol: Mapping[str, object]) -> float:
    """The coverage that samples of the real distribution itself have.

    A real sample is missed where the k samples nearest to it are all real: with the share r of
    real ones among all, r^k. For equally many that is 1 - 2^-k, 0.97 for k = 5.
    """
    n_real, n_fake = protocol.get("n_real"), protocol.get("n_fake")
    if not isinstance(n_real, int) or not isinstance(n_fake, int):
        return 1 - 0.5**NEIGHBOURS
    return 1 - float((n_real / (n_real + n_fake)) ** NEIGHBOURS)
