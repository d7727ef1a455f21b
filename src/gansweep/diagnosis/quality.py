"""Failures of single samples: samples unlike the data, and copies of training samples."""

from __future__ import annotations

import math

from gansweep.diagnosis.curves import HALF, Points, clocks, late, level, trend
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.diagnosis.modes import (
    LACKING,
    LEAST_GAP,
    MOST_FLOOR,
    fillings,
    mode_score,
    perfect_coverage,
)

BEYOND = "over_generalisation"
# In published tables of mixtures 0.4 to 0.99 of the samples are in the modes. Below 0.5 most
# samples are useless, below 0.25 nearly all.
FEW_GOOD = 0.5
HARDLY_GOOD = 0.25
# A classifier is unsure about some good generated images: healthy runs on digits have 0.46 to 0.8.
FEW_SURE = 0.25
# (precision, recall, density) under the classifier of digits: held-out images have (0.9, 0.9, 1),
# healthy runs (0.4 to 0.5, 0.8 to 0.9, 0.2 to 0.35), averages of two digits (0.2, 0.7, 0.15).
THIN = 1 / 3  # precision over recall
LOW_DENSITY = 0.15
SOME = 0.25  # of the coverage of perfect samples: the samples reach the data
# The share is 1 for copies and 0.5 for new samples; the standard error excludes noise.
COPYING = 0.65
COPIES = 0.85
COPY_ERRORS = 3.0


def over_generalisation(evidence: Evidence) -> Finding | None:
    """The samples reach the modes, but most are in no mode; or precision or density is low."""
    if not evidence.settled:
        return None
    return _beyond_modes(evidence) or _beyond_data(evidence)


def _beyond_modes(evidence: Evidence) -> Finding | None:
    filled = fillings(evidence)
    quality = evidence.score("high_quality")
    curve = evidence.curves[quality] if quality is not None else _sure(evidence)
    good = level(late(curve))
    clock = filled[0].kimg if filled else 0.0
    limit = FEW_GOOD if quality is not None else FEW_SURE
    if not filled or not max(good, curve[-1][1]) < limit or trend(late(curve, HALF)) > 0:
        return None
    reliable = [one for one in filled if one.floor <= MOST_FLOOR]
    evenly = len(reliable) >= 2 and level([(one.kimg, one.share) for one in reliable]) >= LACKING
    if not evenly and good >= HARDLY_GOOD:
        return None  # mode collapse says more
    reach = "reach the modes evenly, but" if evenly else "miss the modes:"
    text = f"The samples {reach} {1 - good:.1%} of them are in no mode, from {clock:.4g} kimg on."
    scores = (mode_score(evidence, word) for word in ("reverse_kl", "modes"))
    columns = evidence.columns(quality, *scores)
    failed, kimg = quality and good < HARDLY_GOOD, (clock, filled[-1].kimg)
    return Finding(BEYOND, "failure" if failed else "warning", text, columns, kimg)


def _sure(evidence: Evidence) -> Points:
    """The share of images that the classifier predicts with confidence, over the clock."""
    name = evidence.score("mode_counts") or mode_score(evidence, "modes")
    n = evidence.protocols[name].get("n_fake") if name is not None else None
    return [(kimg, sum(counts) / n) for kimg, counts in evidence.counts] if n else []


def _beyond_data(evidence: Evidence) -> Finding | None:
    words = ("precision", "recall", "density", "coverage")
    names = {word: name for word in words if (name := evidence.score(word)) is not None}
    values = {word: evidence.level(name) for word, name in names.items()}
    precision, recall, density, coverage = (values.get(word, math.nan) for word in words)
    thin = precision <= THIN * recall and recall - precision >= LEAST_GAP
    sparse = (
        "coverage" in names
        and density <= LOW_DENSITY
        and coverage >= SOME * perfect_coverage(evidence.protocols[names["coverage"]])
    )
    if not thin and not sparse:
        return None
    known = ", ".join(f"{word} {value:.2f}" for word, value in values.items())
    text = f"The samples cover the data, but many of them are far from all data: {known}."
    columns = evidence.columns(*(names.get(word) for word in words))
    return Finding(BEYOND, "warning", text, columns, evidence.late_clocks(columns))


def memorisation(evidence: Evidence) -> Finding | None:
    """Generated samples lie nearer to training samples than held-out real ones do."""
    name = evidence.score("memorisation")
    if name is None or not evidence.settled:
        return None
    judged = evidence.late(name, least=1)
    share, protocol = level(judged), evidence.protocols[name]
    error = _most_error(protocol.get("n_fake"), protocol.get("n_test") or protocol.get("n_real"))
    if not share >= max(COPYING, 0.5 + COPY_ERRORS * error):
        return None
    text = (
        f"Generated samples lie nearer to the training set than held-out real ones in {share:.0%} "
        "of all pairs (50 % is chance): the generator copies."
    )
    failed = share >= COPIES
    kimg = clocks(judged)
    return Finding("memorisation", "failure" if failed else "warning", text, (name,), kimg)


def _most_error(n: object, m: object) -> float:
    """The standard error of the share by chance: the variance of U / nm is (n+m+1) / 12nm."""
    if not isinstance(n, int) or not isinstance(m, int) or not n * m:
        return 0.0
    return math.sqrt((n + m + 1) / (12 * n * m))
