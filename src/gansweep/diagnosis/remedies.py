"""What to try next against each failure, as options that `gansweep train` takes.

A treatment looks at the run's settings and answers with its words and overrides, or with None
where the run has it already or cannot have it. A new technique is a function here, and its place
in TREATMENTS.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Remedy

Treatment = Callable[[Evidence], "tuple[str, tuple[str, ...]] | None"]

MOST = 4  # a longer list is no advice
GENERATOR_LR = "model.optimizer.generator.lr"
DISCRIMINATOR_LR = "model.optimizer.discriminator.lr"
TAKES_SPECTRAL_NORM = ("gansweep.layers.mlp.", "gansweep.layers.dcgan.", "gansweep.layers.resnet.")
CROSS_ENTROPY = ("NonSaturating", "Minimax")
# Weights that healed this framework's failing runs; R1's of the papers (5 to 10) are for images of
# 256 pixels and more, and slow small games down.
R1_WEIGHT = 0.1


def remedies_for(rule: str, evidence: Evidence) -> tuple[Remedy, ...]:
    """What is worth trying, the most promising first; never what the run has already."""
    made = []
    for treatment in TREATMENTS.get(rule, ()):
        advice = treatment(evidence)
        if advice is not None:
            text, overrides = advice
            made.append(Remedy(text, overrides, command_with(evidence, overrides)))
    return tuple(made[:MOST])


def command_with(evidence: Evidence, overrides: tuple[str, ...]) -> str:
    """The run's own command with these overrides in the place of its own of the same keys.

    With resume= the command continues the run and needs none of its options.
    """
    if any(word.startswith("resume=") for word in overrides):
        return shlex.join(["gansweep", "train", *overrides])
    replaced = {_key(word) for word in overrides}
    words = shlex.split(evidence.command)
    kept = [w for w in words if "=" not in w or w.startswith("--") or _key(w) not in replaced]
    if "model" in replaced:  # what was set on the old networks does not fit the new ones
        kept = [w for w in kept if not _key(w).startswith("model.")]
    return shlex.join([*kept, *overrides])


def _key(word: str) -> str:
    return word.split("=")[0].lstrip("+~")


def _number(evidence: Evidence, key: str) -> float:
    value = evidence.setting(key)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _penalties(evidence: Evidence) -> dict[str, str]:
    """Name -> class of the penalties in use."""
    named = evidence.setting("model.penalties") or {}
    return {name: evidence.target(f"model.penalties.{name}") for name in named if named[name]}


def r1(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """Where no penalty holds the discriminator's gradient; a weight ten times as large where R1 is.

    A gradient penalty needs a discriminator that keeps the samples of a batch apart.
    """
    penalties = _penalties(evidence)
    for name, kind in penalties.items():
        if kind == "R1":
            weight = _number(evidence, f"model.penalties.{name}.weight")
            if 0 < weight < 1:
                key = f"model.penalties.{name}.weight"
                return "a stronger R1 penalty", (f"{key}={10 * weight:g}",)
    if penalties or _number(evidence, "model.weight_clip"):
        return None
    node = "+model.penalties.r1"
    words = (f"{node}._target_=gansweep.penalties.R1", f"{node}.weight={R1_WEIGHT}")
    text = "an R1 penalty, which damps the game around its equilibrium (Mescheder et al. 2018)"
    return text, (*words, *_without_batch_norm(evidence))


def _without_batch_norm(evidence: Evidence) -> tuple[str, ...]:
    norm = f"{evidence.network('discriminator')}.norm"
    return (f"{norm}=none",) if evidence.setting(norm) == "batch" else ()


def spectral_norm(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    network = evidence.network("discriminator")
    target = str(evidence.setting(f"{network}._target_") or "")
    held = evidence.setting(f"{network}.spectral_norm") or _number(evidence, "model.weight_clip")
    if held or not target.startswith(TAKES_SPECTRAL_NORM):
        return None
    plus = "" if evidence.setting(f"{network}.spectral_norm") is False else "+"
    text = "spectral normalisation of the discriminator (Miyato et al. 2018)"
    return text, (f"{plus}{network}.spectral_norm=true", *_without_batch_norm(evidence))


def relativistic(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """The paired loss with R1 and R2: it does not reward the generator for one mode alone."""
    if evidence.target("model.loss") not in CROSS_ENTROPY or _penalties(evidence):
        return None
    words = ["model.loss._target_=gansweep.losses.RelativisticPairing"]
    for name in ("r1", "r2"):
        node = f"+model.penalties.{name}"
        target = f"gansweep.penalties.{name.upper()}"
        words += [f"{node}._target_={target}", f"{node}.weight={R1_WEIGHT}"]
    text = "the relativistic pairing loss with R1 and R2 (Huang et al. 2024)"
    return text, (*words, *_without_batch_norm(evidence))


def non_saturating(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    if evidence.target("model.loss") != "Minimax":
        return None
    text = "the non-saturating loss, whose gradient lasts while the discriminator wins"
    return text, ("model.loss._target_=gansweep.losses.NonSaturating",)


def wgan_gp(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """Another variant: its critic may be as good as it can, and still teaches the generator."""
    if "GradientPenalty" in _penalties(evidence).values() or not evidence.setting("choices.model"):
        return None
    return "a critic with a gradient penalty (Gulrajani et al. 2017)", ("model=wgan_gp",)


def gradient_penalty(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """For a critic that nothing holds, or one that is clipped."""
    if evidence.target("model.loss") != "Wasserstein" or _penalties(evidence):
        return None
    node = "+model.penalties.gradient"
    words = (f"{node}._target_=gansweep.penalties.GradientPenalty", f"{node}.weight=1.0")
    clip = ("model.weight_clip=null",) if _number(evidence, "model.weight_clip") else ()
    text = "a gradient penalty, which keeps the critic's slope near 1 (Gulrajani et al. 2017)"
    return text, (*words, *clip, *_without_batch_norm(evidence))


def slower_discriminator(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """Two time scales, in the generator's favour."""
    rate, other = _number(evidence, DISCRIMINATOR_LR), _number(evidence, GENERATOR_LR)
    if not rate:
        return None
    slower = min(rate / 4, other) if other else rate / 4
    return "a lower learning rate for the discriminator", (f"{DISCRIMINATOR_LR}={slower:g}",)


def faster_discriminator(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """Two time scales, in the discriminator's favour: Heusel et al. 2017."""
    rate, other = _number(evidence, DISCRIMINATOR_LR), _number(evidence, GENERATOR_LR)
    if not rate or not other:
        return None
    if rate < other:
        text = "equal learning rates: the discriminator's is the lower one"
        return text, (f"{DISCRIMINATOR_LR}={other:g}",)
    words = (f"{GENERATOR_LR}={other / 4:g}", f"{DISCRIMINATOR_LR}={rate:g}")
    return "a lower learning rate for the generator alone (TTUR, Heusel et al. 2017)", words


def slower_players(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    return _all_rates(evidence, 0.1, "learning rates ten times lower")


def faster_players(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    return _all_rates(evidence, 2.0, "learning rates twice as high")


def _all_rates(evidence: Evidence, factor: float, text: str) -> tuple[str, tuple[str, ...]] | None:
    rates = {key: _number(evidence, key) for key in (GENERATOR_LR, DISCRIMINATOR_LR)}
    words = tuple(f"{key}={factor * rate:g}" for key, rate in rates.items() if rate)
    return (text, words) if words else None


def fewer_critic_steps(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    if _number(evidence, "model.n_critic") <= 1:
        return None
    return "one discriminator step for each of the generator's", ("model.n_critic=1",)


def more_critic_steps(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    steps = int(_number(evidence, "model.n_critic"))
    if not 1 <= steps < 5:
        return None
    more = 5 if steps > 1 else 2
    return f"{more} discriminator steps for each of the generator's", (f"model.n_critic={more}",)


def average(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """A half-life of a twentieth of the budget: long against the swings, short against the run."""
    if evidence.setting("model.ema_kimg") is not None:
        return None
    half_life = evidence.budget_kimg / 20
    text = "samples of the averaged generator (EMA), which lies in the middle of the swings"
    return text, (f"model.ema_kimg={half_life:g}",)


def decay(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    if evidence.setting("model.lr_schedule") is not None:
        return None
    node = "+model.lr_schedule"
    words = (f"{node}._target_=gansweep.schedules.linear_decay", f"{node}._partial_=true")
    return "learning rates that fall to 0 over the budget", words


def no_momentum(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """Momentum drives a game that rotates outwards (Gidel et al. 2019, arXiv:1807.04740)."""
    betas = evidence.setting("model.optimizer.generator.betas")
    if not isinstance(betas, (list, tuple)) or not betas[0]:
        return None
    words = tuple(
        f"model.optimizer.{player}.betas=[0,{betas[1]:g}]"
        for player in ("generator", "discriminator")
        if evidence.setting(f"model.optimizer.{player}.betas")
    )
    return "no momentum (beta1 = 0)", words


def clipped_gradients(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    if evidence.setting("model.clip_grad_norm") is not None:
        return None
    return "gradients of a norm of at most 1", ("model.clip_grad_norm=1",)


def larger_generator(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    return _larger(evidence, "generator")


def larger_discriminator(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    return _larger(evidence, "discriminator")


def _larger(evidence: Evidence, player: str) -> tuple[str, tuple[str, ...]] | None:
    """One layer or block more where the network counts them, else twice the width."""
    network = evidence.network(player)
    for option in ("depth", "blocks"):
        count = evidence.setting(f"{network}.{option}")
        if isinstance(count, int):
            return f"a deeper {player}", (f"{network}.{option}={count + 1}",)
    width = evidence.setting(f"{network}.width")
    if not isinstance(width, int):
        return None
    return f"a {player} of twice the width", (f"{network}.width={2 * width}",)


def smaller_discriminator(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    network = evidence.network("discriminator")
    width = evidence.setting(f"{network}.width")
    if not isinstance(width, int) or width < 8:
        return None
    text = "a discriminator of half the width, which knows fewer images by heart"
    return text, (f"{network}.width={width // 2}",)


def weaker_penalty(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """A strong penalty flattens the discriminator: it cannot see small distances any more."""
    for name in _penalties(evidence):
        key = f"model.penalties.{name}.weight"
        weight = _number(evidence, key)
        if weight >= 1:
            text = "a weaker penalty, which lets the discriminator see finer differences"
            return text, (f"{key}={weight / 10:g}",)
    return None


def flips(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    """Mirrored images; where the user has not chosen against it, such as for digits."""
    if evidence.setting("data.flip") is not False or evidence.setting("data.image_size") is None:
        return None
    if evidence.setting("choices.data") in MIRRORS_MEAN_OTHER:
        return None
    return "mirrored images as further training data", ("data.flip=true",)


MIRRORS_MEAN_OTHER = ("digits", "mnist", "kmnist", "stacked_digits", "stacked_mnist")


def longer(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    if not evidence.directory:
        return None
    words = (f"resume={evidence.directory}", f"budget_kimg={2 * evidence.budget_kimg:g}")
    return "twice the budget, continued from the last checkpoint", words


def shorter(evidence: Evidence) -> tuple[str, tuple[str, ...]] | None:
    return "half the budget: copying comes late", (f"budget_kimg={evidence.budget_kimg / 2:g}",)


TREATMENTS: dict[str, tuple[Treatment, ...]] = {
    "divergence": (gradient_penalty, slower_players, r1, clipped_gradients, spectral_norm),
    "vanishing_gradient": (non_saturating, slower_discriminator, wgan_gp, r1),
    "discriminator_overpowers": (slower_discriminator, r1, spectral_norm, fewer_critic_steps),
    "discriminator_fooled": (
        *(faster_discriminator, more_critic_steps, larger_discriminator, slower_players),
    ),
    "mode_collapse": (r1, relativistic, spectral_norm, wgan_gp, faster_discriminator),
    "oscillation": (r1, average, no_momentum, decay, slower_players),
    "over_generalisation": (weaker_penalty, larger_generator, more_critic_steps, decay, longer),
    "memorisation": (flips, smaller_discriminator, r1, shorter),
    "slow_convergence": (longer, faster_players, fewer_critic_steps, larger_generator),
}
