"""Failures that a run's numbers cannot show, and how to measure them."""

from __future__ import annotations

import shlex

from gansweep.diagnosis.curves import finite
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Gap
from gansweep.diagnosis.game import ROWS

EVALUATIONS = 5  # that a trend and a best value need
# A failure -> the scores that show it (one is enough), and what they measure.
SHOWN_BY = {
    "mode_collapse": (("reverse_kl", "recall", "coverage"), "modes or coverage"),
    "over_generalisation": (("high_quality", "mode_counts", "precision", "density"), "precision"),
    "memorisation": (("memorisation",), "memorisation, which needs held-out images"),
}


def gaps(evidence: Evidence) -> list[Gap]:
    """The failures that could not be judged; empty if all could be."""
    if not evidence.settled:
        text = f"at {evidence.kimg:.4g} of {evidence.budget_kimg:g} kimg it is too early to judge"
        what = "samples" if evidence.begun else "everything but divergence"
        return [Gap(what, text, "Try again later.")]
    return [*_unscored(evidence), *_unwatched(evidence), *_rarely_scored(evidence)]


def _unscored(evidence: Evidence) -> list[Gap]:
    fix = f"gansweep evaluate {shlex.quote(evidence.directory)}" if evidence.directory else ""
    return [
        Gap(rule, f"the run has no score of {what}", fix)
        for rule, (words, what) in SHOWN_BY.items()
        if not any(evidence.score(word) for word in words)
        and not (rule == "memorisation" and evidence.is_points)  # points have no such score
    ]


def _unwatched(evidence: Evidence) -> list[Gap]:
    found = []
    if not evidence.columns("balance/real_mean", "critic/gap"):
        text = "the discriminator's outputs were not logged"
        found.append(Gap("discriminator_overpowers", text, "Train with callbacks=default."))
    elif len(finite(evidence.curves.get("grad_norm/generator", []))) < ROWS:
        text = f"fewer than {ROWS} gradient norms of the generator were logged"
        found.append(Gap("vanishing_gradient", text, "Train with callbacks=default."))
    return found


def _rarely_scored(evidence: Evidence) -> list[Gap]:
    name = evidence.objective
    if name is None:
        text = "no score chooses the best checkpoint"
        return [Gap("slow_convergence", text, "Train with metrics=auto.")]
    count = len(finite(evidence.curves.get(name, [])))
    if count >= EVALUATIONS:
        return []
    every = evidence.budget_kimg / (2 * EVALUATIONS)
    text = f"{count} evaluations of {name} are too few for a trend or for swings"
    return [Gap("slow_convergence", text, f"Train with callbacks.quality.every_kimg={every:g}.")]
