"""The state of the game: who wins, whether the generator learns, whether the players oscillate."""

from __future__ import annotations

import math
from statistics import fmean, pstdev

from gansweep.diagnosis.curves import HALF, Points, clocks, level, peak, swings, trend
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding, Severity
from gansweep.diagnosis.modes import MOST_FLOOR, fillings, mode_score
from gansweep.records.cadence import MOST_STEPS, steps_apart

ROWS = 6  # in the late part, at least, to judge the game
# Healthy runs reach 0.95 and more. With 0.99 on both sides and D(G) below 0.05 the generator has
# no chance any more.
WINS = 0.99
LOST_HOPE = 0.05
BEYOND_DOUBT = 0.02  # of D's loss at a tie, for losses whose best value is 0
OVERFITTED = 0.8  # r_v is 1 if held-out images look generated to the discriminator
VANISHED = 0.02  # of its peak; a healthy game has 10 % or more at its end
FOOLED = 0.1  # accuracy on generated samples: nearly all pass for real
DEAD = 1e-4  # of its peak: the gradient is useless
SAME = 1e-3  # |D - 1/2| without information
# Standard deviation of D's accuracy: 0.5 if it jumps between 0 and 1, 0.29 if all values are
# equally frequent, at most 0.27 in healthy runs.
ACCURACY_SPREAD = 0.3
ACCURACY_SWING = 0.6
GAP_SPREAD = 2.0  # standard deviations of a critic's gap over its mean: at most 1.3 in healthy runs
TURNS = 4  # up and down, twice
QUALITY_TURNS = 3  # up, down and up again
# The smallest swing that counts: a quarter of all samples, a factor of 2 (as a log), half a nat.
QUALITY_SWINGS = {"high_quality": 0.25, "fid": math.log(2), "reverse_kl": 0.5}


def rows_to_judge(evidence: Evidence, callback: str) -> int:
    """The rows that the late part needs: more where a short run writes them more often.

    callback: writes them.
    """
    options, batch_size = evidence.setting(f"callbacks.{callback}"), evidence.setting("batch_size")
    if not options or not batch_size or options.get("every_steps") is not None:
        return ROWS
    return math.ceil(ROWS * MOST_STEPS / steps_apart(evidence.budget_kimg, batch_size))


def discriminator_overpowers(evidence: Evidence) -> Finding | None:
    """The discriminator has separated real from generated samples almost perfectly for long."""
    judged = _winning(evidence)
    if judged is None:
        return None
    text, columns, part = judged
    columns += evidence.columns("overfit/r_v", "overfit/r_t")
    severity: Severity = "failure"
    if _improves(evidence):
        severity, text = "warning", f"Quality still improves, but {text[0].lower()}{text[1:]}"
    text += f", from {part[0][0]:.4g} kimg on.{_overfits(evidence)}"
    return Finding("discriminator_overpowers", severity, text, columns, clocks(part))


def _winning(evidence: Evidence) -> tuple[str, tuple[str, ...], Points] | None:
    """Text, columns and part of the run that show that D wins; None if it does not win."""
    if not evidence.begun:
        return None
    least = rows_to_judge(evidence, "balance")
    real, fake = (evidence.late(f"balance/{k}_accuracy", least=least) for k in ("real", "fake"))
    hope = evidence.level("balance/fake_mean", least=least)
    if real and min(level(real), level(fake)) >= WINS and hope <= LOST_HOPE:
        text = (
            f"The discriminator is right on {level(real):.1%} of real and {level(fake):.1%} of "
            f"generated samples, with D(G(z)) = {hope:.2g}"
        )
        columns = ("balance/fake_mean", "balance/fake_accuracy", "balance/real_accuracy")
        return text, columns, fake
    tie = evidence.loss.get("tie")
    loss = evidence.late("loss/discriminator", least=rows_to_judge(evidence, "losses"))
    if tie is None or not loss or real or level(loss) > BEYOND_DOUBT * tie:
        return None
    text = (
        f"The discriminator's loss is {level(loss):.2g}; a discriminator that guesses has {tie:.2g}"
    )
    return text, evidence.columns("loss/discriminator", "critic/gap"), loss


def _improves(evidence: Evidence) -> bool:
    """Whether the generator still improves."""
    scores = evidence.columns(evidence.objective, evidence.score("high_quality"))
    return any(trend(evidence.late(name, HALF)) == evidence.better(name) for name in scores)


def _overfits(evidence: Evidence) -> str:
    """A sentence if D wins by overfitting, as far as that was measured; else ""."""
    r_v = evidence.level("overfit/r_v")
    if not r_v >= OVERFITTED:
        return ""
    return f" Held-out images look generated to it (r_v = {r_v:.2f}): it overfits training images."


def vanishing_gradient(evidence: Evidence) -> Finding | None:
    """The generator's gradient has almost vanished while the discriminator wins."""
    name = "grad_norm/generator"
    judged, winning = evidence.late(name, least=ROWS), _winning(evidence)
    if not judged or winning is None:
        return None
    (at, most), now = peak(evidence.curves[name]), level(judged)
    if not now <= VANISHED * most:
        return None
    ratio = f"{most / now:,.0f} times less than" if now else "after"
    text = (
        f"The generator's gradient has a norm of {now:.2g} from {judged[0][0]:.4g} kimg on, "
        f"{ratio} the {most:.2g} at {at:.4g} kimg, while the discriminator wins."
    )
    columns = evidence.columns(name, *winning[1], "loss/generator")
    return Finding("vanishing_gradient", "failure", text, columns, clocks(judged))


def discriminator_fooled(evidence: Evidence) -> Finding | None:
    """Nearly all generated samples pass for real, or the discriminator's output is constant."""
    if not evidence.begun:
        return None
    least = rows_to_judge(evidence, "balance")
    judged: Points = evidence.late("balance/fake_accuracy", least=least)
    if judged and level(judged) <= FOOLED:
        text = (
            f"The discriminator is right on {level(judged):.1%} of generated samples "
            f"(D(G(z)) = {evidence.level('balance/fake_mean'):.2g})"
        )
    else:
        judged = _dead(evidence)
        text = "The discriminator's output is the same for every sample, and it no longer learns"
    if not judged:
        return None
    columns = evidence.columns(
        "balance/fake_accuracy", "balance/fake_mean", "critic/gap", "grad_norm/discriminator"
    )
    text += f", from {judged[0][0]:.4g} kimg on: it teaches the generator nothing."
    return Finding("discriminator_fooled", "failure", text, columns, clocks(judged))


def _dead(evidence: Evidence) -> Points:
    """The late part, if D's outputs are all the same and its gradient has vanished; else empty."""
    name = "grad_norm/discriminator"
    judged = evidence.late(name, least=ROWS)
    if not judged or not level(judged) <= DEAD * peak(evidence.curves[name])[1]:
        return []
    gap, size = (
        level([(kimg, abs(value)) for kimg, value in evidence.late(column)])
        for column in ("critic/gap", "critic/real_mean")
    )
    return judged if evidence.level("balance/distance") <= SAME or gap <= SAME * size else []


def oscillation(evidence: Evidence) -> Finding | None:
    """Quality, or the balance of the players, goes up and down repeatedly."""
    if not evidence.settled:
        return None
    return swinging_quality(evidence) or _swinging_balance(evidence)


def swinging_quality(evidence: Evidence) -> Finding | None:
    """A score goes up and down so much that no single evaluation shows how good the run is."""
    for word, size in QUALITY_SWINGS.items():
        name = mode_score(evidence, word) if word == "reverse_kl" else evidence.score(word)
        judged = _second_half(evidence, word, name) if name is not None else []
        values = [value for _, value in judged]
        scaled = [math.log(max(v, 1e-9)) for v in values] if word == "fid" else values
        turns = swings(scaled, size)
        if turns >= QUALITY_TURNS:
            text = (
                f"{name} goes up and down: {turns} turns between {min(values):.3g} and "
                f"{max(values):.3g} from {judged[0][0]:.4g} kimg on, without settling."
            )
            columns = evidence.columns(name, "balance/fake_accuracy", "critic/gap")
            return Finding("oscillation", "failure", text, columns, clocks(judged))
    return None


def _second_half(evidence: Evidence, word: str, name: str) -> Points:
    if word != "reverse_kl":
        return evidence.late(name, HALF)
    # with few good samples it is noise
    reliable = [one for one in fillings(evidence, HALF) if one.floor <= MOST_FLOOR]
    return [(one.kimg, one.reverse_kl) for one in reliable]


def _swinging_balance(evidence: Evidence) -> Finding | None:
    name, least = "balance/fake_accuracy", rows_to_judge(evidence, "balance")
    judged = evidence.late(name, HALF, least)
    if not judged:
        name = "critic/gap"
        judged = evidence.late(name, HALF, least)
    values = [value for _, value in judged]
    if not values:
        return None
    spread, mean = pstdev(values), fmean(values)
    enough = spread > GAP_SPREAD * abs(mean) if name == "critic/gap" else spread >= ACCURACY_SPREAD
    turns = swings(values, spread if name == "critic/gap" else ACCURACY_SWING)
    if not enough or turns < TURNS:
        return None
    text = (
        f"The players oscillate: {name} turned {turns} times between {min(values):.3g} and "
        f"{max(values):.3g} from {judged[0][0]:.4g} kimg on."
    )
    columns = evidence.columns(name, "balance/fake_mean", "critic/real_mean", "critic/fake_mean")
    return Finding("oscillation", "warning", text, columns, clocks(judged))
