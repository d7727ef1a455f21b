"""Techniques that fix a failing run, and which of them to try against which failure.

A treatment reads the run's settings and returns a description and overrides, or None if the run
has the technique already or cannot use it. The model and its loss declare what they can use. A new
technique is a function here and an entry in TREATMENTS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gansweep.diagnosis.evidence import Evidence

Advice = tuple[str, tuple[str, ...]] | None  # words and overrides
Treatment = Callable[[Evidence], Advice]

GENERATOR_LR = "model.optimizer.generator.lr"
DISCRIMINATOR_LR = "model.optimizer.discriminator.lr"
LOSS = "model.loss._target_=gansweep.terms.losses."
AUGMENT = "+model.augment._target_=gansweep.terms.augment."
FAR_FASTER = 10.0
LOW_RATE, USUAL_RATE = 5e-6, 2e-4
HIGH_RATE = 5e-3  # published GANs use 1e-5 to 3e-3 with Adam and RMSprop
# Weights that fixed failing runs of this framework. The papers' weights of R1 (5 to 10) are for
# images of 256 pixels and more, and slow down small games.
PENALTIES = {"r1": ("R1", 0.1), "r2": ("R2", 0.1), "gradient": ("GradientPenalty", 1.0)}
MIRRORS_MEAN_OTHER = ("digits", "mnist", "kmnist", "stacked_digits", "stacked_mnist")


def _number(evidence: Evidence, key: str) -> float:
    value = evidence.setting(key)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _penalties(evidence: Evidence) -> tuple[str, ...]:
    """The names of the penalties in use."""
    named = evidence.setting("model.penalties") or {}
    return tuple(name for name in named if named[name])


def r1(evidence: Evidence) -> Advice:
    """Add R1 if there is no penalty; if there is R1, multiply its weight by ten.

    A gradient penalty needs a discriminator that does not mix the samples of a batch.
    """
    target = _penalised("r1")[0].partition("=")[2]
    for name in _penalties(evidence):
        node = f"model.penalties.{name}"
        weight = _number(evidence, f"{node}.weight")
        if evidence.setting(f"{node}._target_") == target and 0 < weight < 1:
            return "a stronger R1 penalty", (f"{node}.weight={10 * weight:g}",)
    if not _may_penalise(evidence) or _number(evidence, "model.weight_clip"):
        return None
    text = "an R1 penalty, which damps the game around its equilibrium (Mescheder et al. 2018)"
    return text, (*_penalised("r1"), *_without_batch_norm(evidence))


def _rates(evidence: Evidence) -> dict[str, float]:
    """Key of each player's learning rate -> its value, 0 if unknown."""
    return {key: _number(evidence, key) for key in (GENERATOR_LR, DISCRIMINATOR_LR)}


def _penalised(name: str) -> tuple[str, str]:
    kind, weight = PENALTIES[name]
    node = f"+model.penalties.{name}"
    return f"{node}._target_=gansweep.terms.penalties.{kind}", f"{node}.weight={weight}"


def _may_penalise(evidence: Evidence) -> bool:
    """Whether the game can use penalties and has none."""
    return evidence.takes("penalties") and not _penalties(evidence)


def _without_batch_norm(evidence: Evidence) -> tuple[str, ...]:
    norm = f"{evidence.network('discriminator')}.norm"
    return (f"{norm}=none",) if evidence.setting(norm) == "batch" else ()


def spectral_norm(evidence: Evidence) -> Advice:
    """None if D has it already, has clipped weights, or has no option for it."""
    if not evidence.takes("spectral_norm") or _number(evidence, "model.weight_clip"):
        return None
    network = evidence.network("discriminator")
    plus = "" if evidence.setting(f"{network}.spectral_norm") is False else "+"
    text = "spectral normalisation of the discriminator (Miyato et al. 2018)"
    return text, (f"{plus}{network}.spectral_norm=true", *_without_batch_norm(evidence))


def relativistic(evidence: Evidence) -> Advice:
    """The paired loss with R1 and R2: it does not reward a generator of one mode only."""
    if not _may_replace_cross_entropy(evidence) or evidence.uses("ada", "top_k"):
        return None
    words = (f"{LOSS}RelativisticPairing", *_penalised("r1"), *_penalised("r2"))
    text = "the relativistic pairing loss with R1 and R2 (Huang et al. 2024)"
    return text, (*words, *_without_batch_norm(evidence))


def _may_replace_cross_entropy(evidence: Evidence) -> bool:
    """Whether a loss of another kind, with penalties, can replace the loss on probabilities."""
    logit = evidence.loss.get("kind") == "logit"
    return logit and _may_replace_loss(evidence) and _may_penalise(evidence)


def _may_replace_loss(evidence: Evidence) -> bool:
    """Whether another loss can use the same node: the present one has no options."""
    plain = set(evidence.setting("model.loss") or ()) <= {"_target_"}
    return plain and evidence.takes("loss")


def wasserstein(evidence: Evidence) -> Advice:
    """An optimal critic still has a useful gradient for the generator."""
    if not _may_replace_cross_entropy(evidence) or evidence.uses("ada"):
        return None
    words = (f"{LOSS}Wasserstein", *_penalised("gradient"), *_without_batch_norm(evidence))
    return "a critic's loss with a gradient penalty (Gulrajani et al. 2017)", words


def gradient_penalty(evidence: Evidence) -> Advice:
    """For a critic that has no penalty, or clipped weights."""
    if not evidence.loss.get("needs_lipschitz") or not _may_penalise(evidence):
        return None
    clip = ("model.weight_clip=null",) if _number(evidence, "model.weight_clip") else ()
    text = "a gradient penalty, which keeps the critic's slope near 1 (Gulrajani et al. 2017)"
    return text, (*_penalised("gradient"), *clip, *_without_batch_norm(evidence))


def equal_rates(evidence: Evidence) -> Advice:
    """If one player's rate is far higher, give the other one the same rate.

    A discriminator that is a little faster is fine (Heusel et al. 2017).
    """
    rates = _rates(evidence)
    low, high = min(rates.values()), max(rates.values())
    if not low or high < FAR_FASTER * low:
        return None
    words = tuple(f"{key}={high:g}" for key, rate in rates.items() if rate == low)
    return f"equal learning rates: the players' are {high / low:.3g} times apart", words


def slower_discriminator(evidence: Evidence) -> Advice:
    rate = _number(evidence, DISCRIMINATOR_LR)
    if not rate or equal_rates(evidence):
        return None
    words = (f"{DISCRIMINATOR_LR}={rate / 4:g}",)
    return "a learning rate four times lower for the discriminator", words


def slower_generator(evidence: Evidence) -> Advice:
    """Two time scales, with a faster discriminator: Heusel et al. 2017."""
    rate, other = _rates(evidence).values()
    if not rate or not other or equal_rates(evidence):
        return None
    # in the model's file the discriminator's rate may refer to the generator's
    words = (f"{GENERATOR_LR}={rate / 4:g}", f"{DISCRIMINATOR_LR}={other:g}")
    return "a learning rate four times lower for the generator (TTUR, Heusel et al. 2017)", words


def sane_rates(evidence: Evidence) -> Advice:
    """Lower rates, if they are above those of published GANs."""
    if str(evidence.setting("model.optimizer.generator._target_")).endswith(".SGD"):
        return None  # SGD's rates have another scale
    return slower_players(evidence) if max(_rates(evidence).values()) >= HIGH_RATE else None


def usual_rates(evidence: Evidence) -> Advice:
    """Higher rates, if they are below those of published GANs."""
    known = {key: rate for key, rate in _rates(evidence).items() if rate}
    if not known or min(known.values()) > LOW_RATE:
        return None
    return "the usual learning rate of published GANs", tuple(f"{k}={USUAL_RATE:g}" for k in known)


def _all_rates(factor: float, text: str, evidence: Evidence) -> Advice:
    words = tuple(f"{key}={factor * rate:g}" for key, rate in _rates(evidence).items() if rate)
    return (text, words) if words else None


def more_critic_steps(evidence: Evidence) -> Advice:
    steps = int(_number(evidence, "model.n_critic"))
    if not _is_game(evidence) or not 1 <= steps < 5:
        return None
    more = 5 if steps > 1 else 2
    return f"{more} discriminator steps per generator step", (f"model.n_critic={more}",)


def _is_game(evidence: Evidence) -> bool:
    """Whether there are several players and one is a discriminator."""
    players = evidence.game.get("players") or ()
    return len(players) > 1 and "discriminator" in players


def average(evidence: Evidence) -> Advice:
    """The half-life is 1/20 of the budget: long compared with the swings, short with the run."""
    if evidence.setting("model.ema_kimg") is not None:
        return None
    text = "samples of the averaged generator (EMA), which is in the middle of the swings"
    return text, (f"model.ema_kimg={evidence.budget_kimg / 20:g}",)


def no_momentum(evidence: Evidence) -> Advice:
    """Momentum makes a rotating game spiral outwards (Gidel et al. 2019, arXiv:1807.04740)."""
    betas = evidence.setting("model.optimizer.generator.betas")
    if not isinstance(betas, (list, tuple)) or not betas[0]:
        return None
    words = tuple(
        f"model.optimizer.{player}.betas=[0.0,{betas[1]:g}]"
        for player in ("generator", "discriminator")
        if evidence.setting(f"model.optimizer.{player}.betas")
    )
    return "no momentum (beta1 = 0)", words


def _larger(player: str, evidence: Evidence) -> Advice:
    """One more layer or block if the network has an option for it, else twice the width."""
    network = evidence.network(player)
    for option in ("depth", "blocks"):
        count = evidence.setting(f"{network}.{option}")
        if isinstance(count, int):
            return f"a deeper {player}", (f"{network}.{option}={count + 1}",)
    width = evidence.setting(f"{network}.width")
    if not isinstance(width, int):
        return None
    return f"a {player} of twice the width", (f"{network}.width={2 * width}",)


def smaller_discriminator(evidence: Evidence) -> Advice:
    network = evidence.network("discriminator")
    width = evidence.setting(f"{network}.width")
    if not isinstance(width, int) or width < 8:
        return None
    return "a discriminator of half the width, which overfits less", (
        f"{network}.width={width // 2}",
    )


def weaker_penalty(evidence: Evidence) -> Advice:
    """A strong penalty makes the discriminator flat, so it cannot see small differences."""
    for name in _penalties(evidence):
        key = f"model.penalties.{name}.weight"
        if (weight := _number(evidence, key)) >= 1:
            text = "a weaker penalty, which lets the discriminator see finer differences"
            return text, (f"{key}={weight / 10:g}",)
    return None


def packing(evidence: Evidence) -> Advice:
    """The discriminator sees pairs of samples, so it can detect repeated ones."""
    batch, cuts = evidence.setting("batch_size"), evidence.setting("model.accumulate") or 1
    devices = evidence.setting("trainer.devices")
    judged = (evidence.game.get("judged_together") or 1) * cuts
    together = 2 * judged * (devices if isinstance(devices, int) else 1)
    if not evidence.takes("packing") or not isinstance(batch, int) or batch % together:
        return None
    text = "two samples judged together, which reveals a generator that repeats itself"
    return f"{text} (PacGAN, Lin et al. 2018)", ("model.packing=2",)


def minibatch_discrimination(evidence: Evidence) -> Advice:
    """A head that compares the samples of a batch; not with a penalty on each sample's gradient."""
    if not evidence.takes("head") or _penalties(evidence):
        return None
    node = f"+{evidence.network('discriminator')}.head"
    head = "gansweep.layers.minibatch_discrimination.MinibatchDiscrimination"
    words = (f"{node}._target_={head}", f"{node}._partial_=true")
    text = "a discriminator that compares the samples of a batch (Salimans et al. 2016)"
    return text, (*words, f"{node}.n_kernels=100", f"{node}.kernel_dim=5")


def adaptive_augmentation(evidence: Evidence) -> Advice:
    """ADA; its probability can reach 1 within a fifth of the budget."""
    if not evidence.takes("ada"):
        return None
    text = "adaptive augmentation of the discriminator's input (ADA, Karras et al. 2020)"
    kimg = min(500, evidence.budget_kimg / 5)
    return text, (f"{AUGMENT}ADA", f"+model.augment.kimg={kimg:g}")


def longer(evidence: Evidence) -> Advice:
    if not evidence.directory or not evidence.has_checkpoint:  # `gansweep prune` removes them
        return None
    words = (f"resume={evidence.directory}", f"budget_kimg={2 * evidence.budget_kimg:g}")
    return "twice the budget, continued from the last checkpoint", words


def shorter(evidence: Evidence) -> Advice:
    return "half the budget: copying starts late", (f"budget_kimg={evidence.budget_kimg / 2:g}",)


def _may_mirror(evidence: Evidence) -> bool:
    """Not data such as digits, where a mirror image is another thing."""
    images = evidence.setting("data.image_size") is not None
    named = evidence.setting("choices.data") in MIRRORS_MEAN_OTHER
    return images and evidence.setting("data.flip") is False and not named


def _if(applies: Callable[[Evidence], object], text: str, *overrides: str) -> Treatment:
    """The same overrides for every run that `applies`."""
    return lambda evidence: (text, overrides) if applies(evidence) else None


non_saturating = _if(
    lambda e: e.loss.get("saturates") and _may_replace_loss(e),
    "the non-saturating loss, whose gradient remains while the discriminator wins",
    f"{LOSS}NonSaturating",
)
fewer_critic_steps = _if(
    lambda e: _is_game(e) and _number(e, "model.n_critic") > 1,
    "one discriminator step per generator step",
    "model.n_critic=1",
)
decay = _if(
    lambda e: e.setting("model.lr_schedule") is None,
    "learning rates that fall to 0 over the budget",
    "+model.lr_schedule._target_=gansweep.terms.schedules.linear_decay",
    "+model.lr_schedule._partial_=true",
)
clipped_gradients = _if(
    lambda e: e.setting("model.clip_grad_norm") is None,
    "gradients clipped to a norm of 1",
    "model.clip_grad_norm=1",
)
flips = _if(_may_mirror, "mirrored images as additional training data", "data.flip=true")
augmentation = _if(
    lambda e: e.takes("augment"),
    "augmentation of the discriminator's input (DiffAugment, Zhao et al. 2020)",
    f"{AUGMENT}DiffAugment",
    "+model.augment.policy=[color,translation,cutout]",
)
slower_players = partial(_all_rates, 0.1, "learning rates ten times lower")
faster_players = partial(_all_rates, 2.0, "learning rates twice as high")
larger_generator = partial(_larger, "generator")
larger_discriminator = partial(_larger, "discriminator")

TREATMENTS: dict[str, tuple[Treatment, ...]] = {
    "divergence": (
        *(sane_rates, gradient_penalty, equal_rates, slower_players, r1, spectral_norm),
        clipped_gradients,
    ),
    "vanishing_gradient": (
        *(equal_rates, non_saturating, slower_discriminator, r1, wasserstein, spectral_norm),
    ),
    "discriminator_overpowers": (
        *(equal_rates, slower_discriminator, r1, spectral_norm, fewer_critic_steps, wasserstein),
    ),
    "discriminator_fooled": (
        *(sane_rates, equal_rates, slower_generator, more_critic_steps, larger_discriminator),
    ),
    "never_learned": (sane_rates, usual_rates, equal_rates, longer, slower_discriminator, r1),
    "mode_collapse": (
        *(sane_rates, equal_rates, r1, packing, relativistic, weaker_penalty, spectral_norm),
        *(minibatch_discrimination, wasserstein, slower_generator),
    ),
    "oscillation": (
        *(sane_rates, gradient_penalty, r1, average, no_momentum, decay, slower_players),
    ),
    "over_generalisation": (weaker_penalty, larger_generator, more_critic_steps, decay, longer),
    "memorisation": (
        *(flips, adaptive_augmentation, augmentation, smaller_discriminator, r1, shorter),
    ),
    "slow_convergence": (longer, faster_players, fewer_critic_steps, larger_generator),
}
