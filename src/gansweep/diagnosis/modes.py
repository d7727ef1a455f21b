"""Mode collapse: modes without samples, or little of the data covered by good samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gansweep.diagnosis.curves import HALF, LATE, finite, level, peak, trend
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.metrics.scores.missing import missing_words

RULE = "mode_collapse"
# exp(-reverse KL) is the share of the data in modes that are filled in proportion: K - m of K
# equal modes give (K - m) / K. In the PacGAN paper the plain GAN has 0.64 on the ring, PacGAN 0.9
# and more.
FEW = 0.5
LACKING = 0.75
MOST_FLOOR = 0.25  # reverse KL of as many perfect samples; above it there are too few samples
ERRORS = 3.0  # standard deviations below the number of modes that perfect samples capture
LOST = 0.25  # share of all modes that were captured before: worth a sentence
# If real and generated samples are exchanged, precision and recall are exchanged. So a perfect
# generator has equal values, whatever they are in that space (0.47 in 1,000 dimensions).
ONE_SIDED = 0.5
LEAST_GAP = 0.2  # between the two, since half of a small number is a small difference
AHEAD = 1.5  # precision over recall, if coverage is low; otherwise quality is low in general
COVERED = 0.5  # of the coverage of perfect samples
HARDLY = 0.2  # of that coverage, or of precision: a failure, not only a warning
NEIGHBOURS = 5  # of coverage, as published


def mode_collapse(evidence: Evidence) -> Finding | None:
    """Few modes are filled, or the samples cover little of the data."""
    if evidence.status == "collapsed":
        return _constant(evidence)
    if not evidence.settled:
        return None
    return _few_modes(evidence) or _little_covered(evidence)


def _constant(evidence: Evidence) -> Finding:
    text = f"The generator makes the same sample for all noise: {evidence.reason}."
    columns = evidence.columns("spread/fakes", "loss/generator")
    return Finding(RULE, "failure", text, columns, (evidence.kimg, evidence.kimg))


@dataclass(frozen=True, slots=True)
class Filling:
    """How the good samples of one evaluation fill the modes.

    good: their number.   shares: of the data in each mode.
    """

    kimg: float
    captured: float
    reverse_kl: float
    good: float
    shares: Sequence[float]

    @property
    def modes(self) -> int:
        return len(self.shares)

    @property
    def floor(self) -> float:
        """The reverse KL of as many perfect samples, about (K - 1) / 2n."""
        return (self.modes - 1) / (2 * self.good) if self.good else math.inf

    @property
    def share(self) -> float:
        """Share of the data in modes that are filled in proportion; 1 for perfect samples."""
        return math.exp(-max(0.0, self.reverse_kl - self.floor))

    @property
    def missing(self) -> float:
        """How many more modes as many perfect samples would have captured with certainty."""
        empty = [(1 - share) ** self.good for share in self.shares]
        deviation = math.sqrt(math.fsum(one * (1 - one) for one in empty))
        return self.modes - math.fsum(empty) - ERRORS * deviation - self.captured


def _few_modes(evidence: Evidence) -> Finding | None:
    judged = [one for one in fillings(evidence) if one.floor <= MOST_FLOOR]
    if len(judged) < 2:
        return None
    # the typical or the newest evaluation, whichever is better: the run may have recovered
    typical = sorted(judged, key=lambda one: one.share)[(len(judged) - 1) // 2]
    shown = max(typical, judged[-1], key=lambda one: one.share)
    missing = min(level([(one.kimg, one.missing) for one in judged]), judged[-1].missing)
    if shown.share >= LACKING and round(missing, 6) < 1:
        return None
    captured, modes, share = shown.captured, shown.modes, shown.share
    name = mode_score(evidence, "modes")
    assert name is not None
    filled = f"{captured:g} of {modes:,}" if captured < modes else f"all {modes:,}"
    worth = f"they are worth {share * modes:.1f} evenly filled ones"
    if min(shown.shares) < max(shown.shares):
        worth = f"they stand for {share:.0%} of the data"
    text = (
        f"The samples fill {filled} modes, but so unevenly that {worth}, from "
        f"{judged[0].kimg:.4g} kimg on."
        f"{_missing_words(evidence, name)}{_had_more(evidence, name, captured, modes)}"
    )
    columns = evidence.columns(name, mode_score(evidence, "reverse_kl"), "spread/fakes")
    kimg = (judged[0].kimg, judged[-1].kimg)
    return Finding(RULE, "failure" if share < FEW else "warning", text, columns, kimg)


def mode_score(evidence: Evidence, word: str) -> str | None:
    """The full name of "modes" or "reverse_kl" of good samples.

    For images, good samples are those whose class the classifier predicts with confidence. The
    published scores count every sample, also noise.
    """
    return evidence.score(f"confident_{word}") or evidence.score(word)


def fillings(evidence: Evidence, share: float = LATE) -> list[Filling]:
    """The fillings of the evaluations after `share` of the clock; empty without mode scores."""
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
    protocols = [p for p in evidence.protocols.values() if p.get("score") == "mode_counts"]
    given = next((p["mode_shares"] for p in protocols if p.get("mode_shares")), None)
    shares = given if given and len(given) == modes else [1 / modes] * modes
    return [
        Filling(kimg, captured[kimg], kl, good.get(kimg, newest), shares)
        for kimg, kl in evidence.late(kl_name, share)
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
    """For data without known modes: high precision with low recall or low coverage."""
    names = {word: evidence.score(word) for word in ("precision", "recall", "coverage")}
    values = {word: evidence.level(name) for word, name in names.items() if name is not None}
    precision, recall, coverage = (values.get(word, math.nan) for word in names)
    floor = perfect_coverage(evidence.protocols[names["coverage"]]) if names["coverage"] else 1.0
    unseen = recall <= ONE_SIDED * precision and precision - recall >= LEAST_GAP
    uncovered = coverage <= COVERED * floor and precision >= (
        LEAST_GAP if math.isnan(recall) else max(AHEAD * recall, LEAST_GAP)
    )
    rising = any(trend(evidence.late(names[word], HALF)) > 0 for word in ("recall", "coverage"))
    if not (unseen or uncovered) or rising:
        return None
    known = [f"recall is {recall:.2f}"] if math.isfinite(recall) else []
    if math.isfinite(coverage):
        known.append(f"coverage is {coverage:.2f} (perfect samples have {floor:.2f})")
    text = (
        f"The samples look real (precision {precision:.2f}) but cover little of the data: "
        f"{', '.join(known)}"
    )
    columns = evidence.columns(names["recall"], names["coverage"], names["precision"])
    hardly = recall <= HARDLY * precision or coverage <= HARDLY * floor
    kimg = evidence.late_clocks(columns)
    return Finding(RULE, "failure" if hardly else "warning", f"{text}.", columns, kimg)


def perfect_coverage(protocol: Mapping[str, object]) -> float:
    """The expected coverage of samples from the real distribution.

    A real sample is missed if its k nearest samples are all real: with probability r^k for a share
    r of real ones among all samples. For equally many, coverage is 1 - 2^-k, 0.97 for k = 5.
    """
    n_real, n_fake = protocol.get("n_real"), protocol.get("n_fake")
    if not isinstance(n_real, int) or not isinstance(n_fake, int):
        return 1 - 0.5**NEIGHBOURS
    return 1 - float((n_real / (n_real + n_fake)) ** NEIGHBOURS)
