"""pix2pix: an image made of another one, learnt from pairs.

Source: Isola et al. 2017, arXiv:1611.07004, Section 3; else the released code.
Departure: outside training, batch normalisation takes the averages of training, so that an image
does not depend on the others of its batch; the paper takes the test batch's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Weight
from gansweep.data.batch import Batch
from gansweep.layers.patchgan import mean_score
from gansweep.layers.unet import UNet
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating
from gansweep.models.player_loss import Drawn, PlayerLoss, Scores
from gansweep.models.translation import Translator, source_of
from gansweep.terms.clock import Clock
from gansweep.terms.full_precision import in_full
from gansweep.terms.losses import Loss


class Pix2Pix(Translator):
    """G: (source, dropout's noise) -> image, and D: (source, image) -> (N, 1, h, w) scores.

    generator, discriminator: callables that build a U-Net and a PatchGAN for the data's shapes.
    loss: on the scores of all patches; D's is halved, "which slows down the rate at which D learns
        relative to G" (Section 3.3).
    l1_weight: of the mean absolute difference from the true image in G's loss.
    """

    needs_pairs = True
    generator: UNet

    def __init__(
        self,
        *,
        generator: Callable[..., UNet],
        discriminator: Callable[..., nn.Module],
        loss: Loss,
        l1_weight: Weight,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.loss = loss
        self.sliceable = "accumulate" in loss.combines_with
        self.l1_weight = l1_weight
        assert self.source_shape is not None  # refused above
        self.generator = generator(source_shape=self.source_shape, sample_shape=self.sample_shape)
        channels = self.source_shape[0] + self.sample_shape[0]
        self.discriminator = discriminator(sample_shape=(channels, *self.sample_shape[1:]))

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        noise = draws.uniform(len(batch), self.generator.n_dropped, dtype=batch.images.dtype)
        return {"dropout": noise}

    def make(self, batch: Batch, drawn: Drawn, clock: Clock) -> Tensor:
        return self.generator(source_of(batch), drawn["dropout"])

    def judge(self, source: Tensor, images: Tensor) -> Tensor:
        """(N, 1, h, w): of each patch, whether it is the source's."""
        return in_full(self.discriminator(torch.cat([source, images], dim=1)))

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        if player == "generator":
            return self.generator_loss(batch, fakes)
        return self.discriminator_loss(batch, fakes)

    def discriminator_loss(self, batch: Batch, fakes: Tensor) -> PlayerLoss:
        source = source_of(batch)
        # apart, for their batch statistics must not mix; detach: D's step must not reach G
        real, fake = self.judge(source, batch.images), self.judge(source, fakes.detach())
        scores = Scores(mean_score(real.detach()), mean_score(fake.detach()), self.loss.kind)
        return PlayerLoss(0.5 * self.loss.discriminator(real, fake), scores=scores)

    def generator_loss(self, batch: Batch, fakes: Tensor) -> PlayerLoss:
        """Fooling D about the pair, and `l1_weight` times the mean L1 distance to the target."""
        source, real = source_of(batch), None
        if self.loss.pairs_real:
            with torch.no_grad():
                real = self.judge(source, batch.images)
        adversarial = self.loss.generator(real, self.judge(source, fakes))
        l1 = (fakes - batch.images).abs().mean()
        parts = {"loss/adversarial": adversarial.detach(), "loss/l1": l1.detach()}
        return PlayerLoss(adversarial + self.l1_weight * l1, parts)

    def translate(self, source: Tensor, rng: torch.Generator | None) -> Tensor:
        noise = None
        if rng is not None:
            noise = torch.rand(len(source), self.generator.n_dropped, generator=rng).to(source)
        with evaluating(self.sampler()) as generator:
            return generator(source, noise)

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        fakes = self.fakes(batch, rng)
        source = source_of(batch)
        with evaluating(self.discriminator):
            real, fake = (mean_score(self.judge(source, x)) for x in (batch.images, fakes))
        return Scores(real, fake, self.loss.kind)
