"""Unrolled GAN: the generator plays against the discriminator that its move would provoke.

Source: Metz et al. 2017, arXiv:1611.02163, Sections 2.1 to 2.3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam

from gansweep.config.ranges import Positive, Range
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, PlayerLoss
from gansweep.terms.clock import Clock
from gansweep.terms.collectives import average
from gansweep.terms.full_precision import in_full

Weights = dict[str, Tensor]


@dataclass(slots=True)
class Moments:
    """Adam's state of each weight, and the steps made."""

    first: Weights
    second: Weights
    steps: Tensor


class UnrolledGAN(GAN):
    """The generator's loss is -L_D at weights of D that are k steps of L_D ahead.

    The k steps are made on copies, on the batch at hand, within D's `clip_grad_norm` and
    `weight_clip`, and the generator's gradient goes through all of them; D itself moves as in every
    GAN, by one step of its own.

    unrolling_steps: k; 0 is the game without unrolling, in its zero-sum form.
    unrolled: the rule of the k steps, with D's present rate and the mean gradient of all processes:
        "adam" continues D's own Adam from its present moments, as the authors' experiments do;
        "sgd" is Eq. 7 of the paper.
    """

    pairs_classes = True  # G's loss judges the real samples too
    # a head that compares samples has tables of N^2 entries, kept for each of the k steps
    never_takes = frozenset({"penalties", "head"})

    def __init__(
        self,
        *,
        unrolling_steps: Annotated[int, Range(0, 1_000)],
        unrolled: Literal["adam", "sgd"] = "adam",
        weight_clip: Positive | None = None,
        **game: Any,
    ) -> None:
        super().__init__(weight_clip=weight_clip, **game)
        if joined := self.terms.acting_on("discriminator", "generator", "chosen"):
            raise UserError(
                f"The unrolled game is that of one loss, and {', '.join(joined)} would add to it. "
                "Use model.penalties={}, model.terms={}, model.top_k=null and "
                "model.feature_matching=0, or model=gan."
            )
        rule = self.optimizer_makers["discriminator"]([nn.Parameter(torch.zeros(1))])
        plain = {"weight_decay": 0, "amsgrad": False, "maximize": False}
        if unrolled == "adam" and not (
            type(rule) is Adam and all(rule.defaults[k] == v for k, v in plain.items())
        ):
            raise UserError(
                "model.unrolled=adam continues the discriminator's optimizer, which must be "
                "torch.optim.Adam without weight decay and amsgrad. Use that, or "
                "model.unrolled=sgd."
            )
        self.unrolling_steps = unrolling_steps
        self.unrolled = unrolled
        self.weight_clip = weight_clip
        self.sliceable = False  # the k steps are made on the whole batch

    def generator_loss(self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock) -> PlayerLoss:
        """-`adversarial` times D's loss after its next k steps, through which the gradient runs.

        "unrolled/gain": by how much those steps lower D's loss.
        """
        images = self.shown(batch.images, drawn, "real", clock)
        fakes = self.shown(fakes, drawn, "generator", clock)

        def loss(weights: Weights) -> Tensor:
            real, fake = (self.judge_at(weights, x, batch.labels) for x in (images, fakes))
            return self.loss.discriminator(real, fake)

        weights: Weights = dict(self.discriminator.named_parameters())
        now = loss(weights)
        _, last = self.looking_ahead(loss, weights, now)
        parts = {"unrolled/gain": now.detach() - last.detach()}
        return PlayerLoss(-self.adversarial * last, parts)

    def judge_at(self, weights: Weights, samples: Tensor, labels: Tensor | None) -> Tensor:
        """The scores by other weights; batch statistics are used but not kept."""
        buffers = {name: b.clone() for name, b in self.discriminator.named_buffers()}
        given = (samples, labels) if self.conditional else (samples,)
        return in_full(functional_call(self.discriminator, {**weights, **buffers}, given))

    def looking_ahead(
        self, loss: Callable[[Weights], Tensor], weights: Weights, value: Tensor
    ) -> tuple[Weights, Tensor]:
        """D's weights and their loss after k steps from `weights` and `value`, with the graph."""
        moments = self._moments() if self.unrolled == "adam" else None
        rule = self._optimizers["discriminator"].param_groups[0]
        for _ in range(self.unrolling_steps):
            found = torch.autograd.grad(value, list(weights.values()), create_graph=True)
            averaged = {name: average(g) for name, g in zip(weights, found, strict=True)}
            gradients = _clipped(averaged, self.clip_grad_norm)
            if moments is None:
                weights = {n: w - rule["lr"] * gradients[n] for n, w in weights.items()}
            else:
                weights, moments = _adam_step(weights, gradients, moments, rule)
            if (limit := self.weight_clip) is not None:
                weights = {name: w.clamp(-limit, limit) for name, w in weights.items()}
            value = loss(weights)
        return weights, value

    def _moments(self) -> Moments:
        """Those of D's optimizer; zeros before its first step."""
        kept = self._optimizers["discriminator"].state
        own = dict(self.discriminator.named_parameters())
        some = next(iter(own.values()))  # its type is the one to count in
        if not kept:
            zeros = {name: torch.zeros_like(weight) for name, weight in own.items()}
            return Moments(zeros, zeros, some.new_zeros(()))
        return Moments(
            {name: kept[weight]["exp_avg"] for name, weight in own.items()},
            {name: kept[weight]["exp_avg_sq"] for name, weight in own.items()},
            next(iter(kept.values()))["step"].to(some),
        )

    def compile_networks(self) -> None:
        """Compile G alone: D is differentiated twice, which compilation forbids."""
        self.generator.compile()


def _clipped(gradients: Weights, largest: float | None) -> Weights:
    """The gradients, scaled so that their 2-norm is at most `largest`, as in D's own step."""
    if largest is None:
        return gradients
    norm = _root(torch.stack([(g * g).sum() for g in gradients.values()]).sum())
    scale = (largest / (norm + 1e-6)).clamp(max=1)
    return {name: g * scale for name, g in gradients.items()}


def _adam_step(
    weights: Weights, gradients: Weights, moments: Moments, rule: Mapping[str, Any]
) -> tuple[Weights, Moments]:
    """One step of Adam that can be differentiated; equal to torch.optim.Adam's.

    rule: lr, betas and eps of the optimizer.   Source: Kingma and Ba 2015, arXiv:1412.6980.
    """
    (beta1, beta2), steps = rule["betas"], moments.steps + 1
    first = {n: beta1 * moments.first[n] + (1 - beta1) * g for n, g in gradients.items()}
    second = {n: beta2 * moments.second[n] + (1 - beta2) * g * g for n, g in gradients.items()}
    rate, correction = rule["lr"] / (1 - beta1**steps), (1 - beta2**steps).sqrt()
    moved = {
        n: w - rate * first[n] / (_root(second[n]) / correction + rule["eps"])
        for n, w in weights.items()
    }
    return moved, Moments(first, second, steps)


def _root(squares: Tensor) -> Tensor:
    """The square root, with slope 0 at 0: a weight without gradient stays where it is."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)
