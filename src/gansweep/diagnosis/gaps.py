"""Failures that a run's numbers cannot show, and how to measure them."""

from __future__ import annotations

import shlex
from dataclasses import replace

from gansweep.diagnosis.curves import finite
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Gap
from gansweep.diagnosis.game import rows_to_judge
from gansweep.records.cadence import steps_apart
from gansweep.records.notation import plural

EVALUATIONS = 5  # that a trend and a best value need
# A failure -> the scores that show it (one is enough), and what they measure.
SHOWN_BY = {
    "mode_collapse": (("reverse_kl", "recall", "coverage"), "modes or coverage"),
    "over_generalisation": (("high_quality", "mode_counts", "precision", "density"), "precision"),
    "memorisation": (("memorisation",), "memorisation, which needs held-out images"),
}
# A failure -> the player that it needs, the columns that show it (one is enough), the callback that
# logs them, and what they are.
WATCHED = {
    "discriminator_overpowers": (
        *("discriminator", ("balance/real_mean", "critic/gap"), "balance"),
        "the discriminator's outputs",
    ),
    "vanishing_gradient": (
        *("generator", ("grad_norm/generator",), "gradients"),
        "gradient norms of the generator",
    ),
}


# A failure -> what to add to a training loop that gansweep.track records.
OWN_LOOP = {
    **dict.fromkeys((*SHOWN_BY, "slow_convergence"), "Measure it in your loop: run.score(...)."),
    "discriminator_overpowers": "Log balance/real_mean and balance/fake_mean in your loop.",
    "vanishing_gradient": "Log grad_norm/generator in your loop.",
}


def gaps(evidence: Evidence) -> list[Gap]:
    """The failures that could not be judged; empty if all could be."""
    if not evidence.settled:
        text = f"at {evidence.kimg:.4g} of {evidence.budget_kimg:g} kimg it is too early to judge"
        what = "samples" if evidence.begun else "everything but divergence"
        return [Gap(what, text, "Try again later.")]
    found = [*_unscored(evidence), *_unwatched(evidence), *_rarely_scored(evidence)]
    if not evidence.command:  # no command of gansweep measures a training loop of somebody's own
        return [replace(gap, fix=OWN_LOOP[gap.rule]) for gap in found]
    return found


def _unscored(evidence: Evidence) -> list[Gap]:
    fix = f"gansweep evaluate {shlex.quote(evidence.directory)}" if evidence.directory else ""
    return [
        Gap(rule, f"the run has no score of {what}", fix)
        for rule, (words, what) in SHOWN_BY.items()
        if not any(evidence.score(word) for word in words)
        and not (rule == "memorisation" and evidence.is_points)  # points have no such score
    ]


def _unwatched(evidence: Evidence) -> list[Gap]:
    """The first rule whose curves are too short: they were not logged, or the run is too short."""
    players = evidence.game.get("players")
    for rule, (player, columns, callback, what) in WATCHED.items():
        least = rows_to_judge(evidence, callback)
        absent = players is not None and player not in players
        if absent or any(evidence.late(name, least=least) for name in columns):
            continue
        period = _period(evidence, callback)
        needed = 2 * least * period  # half of the rows are in the late part
        if evidence.kimg >= needed:
            return [Gap(rule, f"{what} were not logged", "Train with callbacks=default.")]
        text = f"the run is too short: {what} are logged every {period:g} kimg"
        return [Gap(rule, text, f"Train for {needed:g} kimg or more (budget_kimg={needed:g}).")]
    return []


def _period(evidence: Evidence, callback: str) -> float:
    """The kimg from one row of a callback to its next; 0 if it is switched off."""
    watches, batch_size = evidence.setting(f"callbacks.{callback}"), evidence.setting("batch_size")
    if not watches or not batch_size:
        return 0
    every = watches.get("every_steps") or steps_apart(evidence.budget_kimg, batch_size)
    return float(every * batch_size / 1000)


def _rarely_scored(evidence: Evidence) -> list[Gap]:
    name = evidence.objective
    if name is None:
        text = "no score chooses the best checkpoint"
        return [Gap("slow_convergence", text, "Train with metrics=auto.")]
    count = len(finite(evidence.curves.get(name, [])))
    if count >= EVALUATIONS:
        return []
    every = evidence.budget_kimg / (2 * EVALUATIONS)
    text = f"{plural(count, 'evaluation')} of {name} cannot show a trend or swings"
    return [Gap("slow_convergence", text, f"Train with callbacks.quality.every_kimg={every:g}.")]
