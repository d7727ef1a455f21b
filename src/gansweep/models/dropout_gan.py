"""A two-player game whose discriminator drops some of its features: Goodfellow et al. 2014."""

from typing import Any, cast

import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, PlayerLoss, Scores
from gansweep.terms.clock import Clock
from gansweep.terms.full_precision import in_full


class DropoutGAN(GAN):
    """The game of arXiv:1406.2661, Algorithm 1, with dropout in the discriminator.

    What is dropped is drawn with the latents, anew for real samples, for generated ones, and for
    generated ones in the generator's move, unless both players move at once: then their fakes have
    one dropout. Outside training nothing is dropped.

    discriminator: a network with a `noise_width` that takes as many uniform numbers for a sample as
        `noise`, as gansweep.layers.maxout.Discriminator.
    """

    never_takes = frozenset({"penalties", "augment", "ada", "packing", "spectral_norm", "head"})
    classes = "never"

    def __init__(self, **game: Any) -> None:
        super().__init__(**game)
        if joined := [name for name, _ in self.terms.items()]:
            raise UserError(
                f"The game with dropout is that of one loss, and {', '.join(joined)} would add to "
                "it. Use model.penalties={}, model.terms={} and model.packing=1, or model=gan."
            )

    def begin_on(self, data: DataSource) -> None:
        """The generator begins at the mean of the training images, if it has a `begin_at`."""
        begin_at = getattr(self.generator, "begin_at", None)
        if begin_at is not None and not data.is_points:
            sums = [images.sum(0, dtype=torch.float64) for images, _ in data.arrays("train")]
            begin_at(torch.stack(sums).sum(0) / data.n_train / 255)

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        drawn = super().draw(draws, batch, clock)
        width = cast(int, self.discriminator.noise_width)
        for view in ("real", "fake", "generator"):
            drawn[f"dropout/{view}"] = draws.uniform(len(batch), width, dtype=batch.images.dtype)
        return drawn

    def discriminator_loss(
        self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        real = in_full(self.discriminator(batch.images, noise=drawn["dropout/real"]))
        # detach: D's step must not reach G
        fake = in_full(self.discriminator(fakes.detach(), noise=drawn["dropout/fake"]))
        scores = Scores(real.detach(), fake.detach(), self.loss.kind)
        return PlayerLoss(self.loss.discriminator(real, fake), scores=scores)

    def generator_loss(self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock) -> PlayerLoss:
        view = "fake" if self.simultaneous else "generator"
        fake = in_full(self.discriminator(fakes, noise=drawn[f"dropout/{view}"]))
        real = None
        if self.loss.pairs_real:
            real = self.discriminator(batch.images, noise=drawn["dropout/real"])
            real = in_full(real).detach()
        return PlayerLoss(self.adversarial * self.loss.generator(real, fake))
