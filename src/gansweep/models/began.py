"""BEGAN: Berthelot et al. 2017, arXiv:1703.10717."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Kimg, Range, Share, Weight
from gansweep.data.batch import Batch
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, Memories, PlayerLoss, Scores
from gansweep.terms.clock import Clock
from gansweep.terms.collectives import average
from gansweep.terms.losses import Loss


class Control(nn.Module):
    """k, the share of the fake energy in the discriminator's loss, from 0 up to 1.

    gamma: the ratio E L(G(z)) / E L(x) that it is to hold; low for sharp, high for varied samples.
    rate: lambda_k, how fast it follows.
    Source: Section 3.4.
    """

    k: Tensor

    def __init__(self, gamma: float, rate: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.rate = rate
        self.register_buffer("k", torch.zeros(()))

    @torch.no_grad()
    def followed(self, real: Tensor, fake: Tensor) -> Tensor:
        """k after one step, from the mean energies of a batch. real, fake: scalars."""
        return (self.k + self.rate * (self.gamma * real - fake)).clamp(0, 1)


class Stall(nn.Module):
    """The factor of the learning rates, halved after a time in which M_global has not fallen.

    Each span of images has a mean of M_global; one above 0.99 of the span's before halves the
    factor, down to `floor`. The paper says that its rate falls by half where the measure stalls
    (Section 4.1); the span and the 0.99 are those that a third-party port has for it.
    """

    factor: Tensor
    before: Tensor
    total: Tensor
    steps: Tensor
    falling = 0.99

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.register_buffer("factor", torch.ones(()))
        self.register_buffer("before", torch.full((), torch.inf))
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("steps", torch.zeros(()))

    @torch.no_grad()
    def followed(self, measure: Tensor, ends: bool) -> dict[str, Tensor]:
        """The buffers after one step.   measure: scalar.   ends: whether it is a span's last."""
        total, steps = self.total + measure, self.steps + 1
        if not ends:
            return {"total": total, "steps": steps}
        mean = total / steps
        halved = (self.factor / 2).clamp_min(self.floor)
        stalled = mean > self.falling * self.before
        zero = torch.zeros_like(total)
        factor = torch.where(stalled, halved, self.factor)
        return {"factor": factor, "before": mean, "total": zero, "steps": zero}


class BoundaryEquilibrium(Loss):
    """L_D = E L(x) - k E L(G(z)),  L_G = E L(G(z)), on energies, which are low for real samples.

    Source: Berthelot et al. 2017, arXiv:1703.10717, Section 3.4.
    """

    kind = "energy"
    boundary = None

    def __init__(self, control: Control) -> None:
        self.control = control

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return real_scores.mean() - self.control.k * fake_scores.mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return fake_scores.mean()


class BEGAN(GAN):
    """A generator against an autoencoder that makes real samples well and generated ones badly.

    The discriminator gives the energy L(v) = |v - AE(v)| of each sample, (N,), a mean over pixels
    (layers/began.py). M_global = L(x) + |gamma L(x) - L(G(z))| falls as the game converges: it is
    logged as critic/global_measure.

    gamma, lambda_k: see Control.
    stall_kimg: thousands of images after which a measure that has not fallen halves the learning
        rates (see Stall); None: it never does.
    rate_floor: the smallest factor of the rates that comes of it.
    """

    never_takes = frozenset({"loss"})
    sliceable = False  # k follows the energies of a whole batch

    def __init__(
        self,
        *,
        gamma: Annotated[float, Range(0, 1, above=True)],
        lambda_k: Weight,
        stall_kimg: Kimg | None = None,
        rate_floor: Share = 0.25,
        **game: Any,
    ) -> None:
        control = Control(gamma, lambda_k)
        super().__init__(loss=BoundaryEquilibrium(control), **game)
        self.control = control
        self.stall = None if stall_kimg is None else Stall(rate_floor)
        self.span_images = 0.0 if stall_kimg is None else stall_kimg * 1000
        self._factor_of_span = (-1, 1.0)  # read once a span: each reading waits for the device

    @property
    def memory(self) -> dict[str, nn.Module]:
        stall = {} if self.stall is None else {"stall": self.stall}
        return {**super().memory, "control": self.control, **stall}

    def _set_learning_rates(self) -> None:
        super()._set_learning_rates()
        if self.stall is None:
            return
        span = int(self.images_seen // self.span_images)
        if span != self._factor_of_span[0]:
            self._factor_of_span = span, float(self.stall.factor)
        factor = self._factor_of_span[1]
        scheduled = self.lr_schedule is not None
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = (group["lr"] if scheduled else group["initial_lr"]) * factor

    def discriminator_loss(
        self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """Adds gamma to the scores, and k and M_global to the parts."""
        terms = super().discriminator_loss(batch, drawn, fakes, clock)
        assert terms.scores is not None
        terms.scores = dataclasses.replace(terms.scores, gamma=self.control.gamma)
        terms.parts["began/k"] = self.control.k.clone()
        terms.parts["began/global_measure"] = global_measure(terms.scores)
        return terms

    def remembered(self, player: str, slices: Sequence[PlayerLoss]) -> Memories:
        found = super().remembered(player, slices)
        if player != "discriminator":
            return found
        (terms,) = slices  # the batch is never cut: see `sliceable`
        assert terms.scores is not None
        real, fake = average(terms.scores.real.mean()), average(terms.scores.fake.mean())
        found = {**found, "control": {"k": self.control.followed(real, fake)}}
        if self.stall is None:
            return found
        world = 1 if self.draws is None else self.draws.world
        shown = len(terms.scores.real) * self.packing * world
        after = (self.images_seen + shown) // self.span_images
        ends = after > self.images_seen // self.span_images
        measure = real + (self.control.gamma * real - fake).abs()
        return {**found, "stall": self.stall.followed(measure, ends)}

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        return dataclasses.replace(super().scores(batch, rng), gamma=self.control.gamma)


def global_measure(scores: Scores) -> Tensor:
    """M_global = L(x) + |gamma L(x) - L(G(z))| of mean energies, a scalar: Section 3.4.1."""
    assert scores.gamma is not None
    real, fake = scores.real.mean(), scores.fake.mean()
    return real + (scores.gamma * real - fake).abs()
