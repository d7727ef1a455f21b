"""Progressive growing of GANs: Karras et al. 2018, arXiv:1710.10196.

Both networks begin at 4x4 pixels and grow a level at a time: a new level fades in over
`fade_kimg`, stands for `stable_kimg`, and the next one begins. Only the layers of the present level
are computed, on real images averaged down to its side.
Departures: one batch size and one learning rate for all levels (the authors lower the batch from
256x256 on, to save memory); the moving average has a half-life in images (models/averages.py), of
which ema_kimg = 0.693 * batch_size gives the paper's 0.999 a step; the optimizers are reset where a
level begins, in the authors' code where its fade ends too.
"""

import sys
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import KimgOrNone, Weight
from gansweep.data.batch import Batch
from gansweep.layers.progressive import (
    Discriminator,
    Generator,
    Stage,
    at_stage,
    full_size,
    stage_at,
    top_level,
)
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, PlayerLoss
from gansweep.terms.clock import Clock
from gansweep.terms.full_precision import in_full
from gansweep.terms.losses import Wasserstein


class DriftingWasserstein(Wasserstein):
    """Wasserstein's loss, with drift * E f(x)^2 to keep D's scores of real samples near 0.

    Source: Karras et al. 2018, Appendix A.1.
    """

    def __init__(self, *, drift: Weight = 1e-3) -> None:
        self.drift = drift

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        drifted = self.drift * real_scores.square().mean()
        return super().discriminator(real_scores, fake_scores) + drifted


class ProGAN(GAN):
    """The two players of layers/progressive.py, grown on the clock of images seen.

    In training, images are of the present level's side; samples that leave are always full-size.
    stable_kimg, fade_kimg: how long a level stands, and how long the next one fades in.
    """

    takes_points = False
    classes = "never"
    generator: Generator
    discriminator: Discriminator

    def __init__(self, *, stable_kimg: KimgOrNone, fade_kimg: KimgOrNone, **game: Any) -> None:
        super().__init__(**game)
        self.stable_kimg = stable_kimg
        self.fade_kimg = fade_kimg
        self.top = top_level(self.sample_shape)

    def stage(self, images_seen: int) -> Stage:
        """How far the networks have grown; it follows from the images seen alone."""
        lengths = {"stable_kimg": self.stable_kimg, "fade_kimg": self.fade_kimg}
        return stage_at(images_seen / 1000, **lengths, top=self.top)

    @property
    def present(self) -> Stage:
        return self.stage(self.images_seen)

    def on_fit_start(self) -> None:
        """Say on standard error where the budget ends before the networks are full-grown."""
        super().on_fit_start()
        needed = self.top * (self.stable_kimg + self.fade_kimg)
        if self.budget_kimg < needed and self.global_rank == 0:
            side, end = self.sample_shape[-1], self.stage(int(self.budget_kimg * 1000))
            print(
                f"gansweep: the networks grow to {side}x{side} in {needed:g} kimg, and "
                f"budget_kimg={self.budget_kimg:g} ends at {end.side}x{end.side}. Use more, or a "
                "smaller model.stable_kimg= and model.fade_kimg=.",
                file=sys.stderr,
            )

    def step(self, batch: Batch) -> None:
        """Train what the present level uses; where a level begins the optimizers begin anew."""
        assert self.draws is not None
        now = self.present
        before = self.stage(max(0, self.images_seen - len(batch) * self.draws.world))
        for player, optimizer in self._optimizers.items():
            # what lies idle takes no part in the gradients that the processes exchange
            self._parameters_of[player] = self.players[player].used(now)  # type: ignore[operator]
            if now.level > before.level:
                optimizer.state.clear()
        super().step(batch)

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        return super().draw(draws, self._as_seen(batch, clock), clock)

    def generate(
        self, generator: nn.Module, z: Tensor, labels: Tensor | None, clock: Clock
    ) -> Tensor:
        return generator(z, self.stage(clock.images_seen))

    def judge(self, samples: Tensor, labels: Tensor | None, clock: Clock) -> Tensor:
        return in_full(self.discriminator(samples, self.stage(clock.images_seen)))

    def features(self, samples: Tensor, clock: Clock) -> Tensor:
        return self.discriminator.features(samples, self.stage(clock.images_seen))

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """The loss at the resolution of the clock's stage, which the discriminator's parts name."""
        terms = super().player_loss(player, self._as_seen(batch, clock), drawn, fakes, clock)
        if player == "discriminator":
            stage = self.stage(clock.images_seen)
            like = in_full(fakes)
            terms.parts["growth/level"] = like.new_tensor(stage.level)
            terms.parts["growth/alpha"] = like.new_tensor(stage.alpha)
        return terms

    def _as_seen(self, batch: Batch, clock: Clock) -> Batch:
        return replace(batch, images=at_stage(batch.images, self.stage(clock.images_seen)))

    def _record(self, player: str, terms: PlayerLoss, fakes: Tensor) -> None:
        super()._record(player, terms, full_size(fakes, self.sample_shape[-1]))

    def samples_of(self, generator: nn.Module, z: Tensor, labels: Tensor | None) -> Tensor:
        """(N, C, H, W) in [-1, 1], full-size always."""
        return full_size(super().samples_of(generator, z, labels), self.sample_shape[-1])

    def as_judged(self, samples: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, side, side) of the present level."""
        return F.avg_pool2d(samples, samples.shape[-1] // self.present.side)

    def judged(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """At the side of the present level."""
        fakes = self.as_judged(self.fakes(batch, rng))
        return self._as_seen(batch, self.clock).images, fakes

    def compile_networks(self) -> None:
        """Leave both as they are: they change with every level."""
