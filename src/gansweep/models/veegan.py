"""VEEGAN: a reconstructor leads every sample, real or generated, back to its noise.

Source: Srivastava et al. 2017, arXiv:1705.07761, Section 3, with the losses of the published code
for points.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Width
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.heads import Codes
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, PlayerLoss, Scores
from gansweep.terms.clock import Clock
from gansweep.terms.full_precision import in_full


class BothWays(nn.Module):
    """The generator G: z -> x and the reconstructor F: x -> z as one player; called, it is G."""

    def __init__(self, generator: nn.Module, reconstructor: nn.Module) -> None:
        super().__init__()
        self.generator, self.reconstructor = generator, reconstructor

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)


class VEEGAN(GAN):
    """D tells pairs (x, F(x) + noise) of real samples from pairs (G(z), z).

    L_D is the loss's own of the scores of these pairs; L_G = -E D(G(z), z) + E |z - F(G(z))|^2 / 2,
    the negative log-likelihood of z under N(F(x), I), from which the noise is drawn. F moves with
    G and learns from the second term alone: what no mode of the data leads back to costs most.

    reconstructor: a discriminator's network with a `head`, which gives `latent_dim` numbers.
    discriminator: one for points: it is given samples and noise as one row of numbers.
    """

    never_takes = frozenset({"loss", "penalties", "augment", "ada", "packing", "head"})
    classes = "never"
    generator: BothWays

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        reconstructor: Callable[..., nn.Module],
        latent_dim: Width,
        **game: Any,
    ) -> None:
        super().__init__(
            generator=partial(_both_ways, generator, reconstructor),
            discriminator=partial(_of_pairs, discriminator, latent_dim),
            latent_dim=latent_dim,
            **game,
        )
        if joined := [name for name, _ in self.terms.items()]:
            raise UserError(
                f"VEEGAN's discriminator judges samples with noise, and {', '.join(joined)} would "
                "see one of them. Use model.penalties={}, model.terms={} and model.packing=1, or "
                "model=gan."
            )

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        noise = {"noise": draws.normal(len(batch), self.latent_dim, dtype=batch.images.dtype)}
        return super().draw(draws, batch, clock) | noise

    def discriminator_loss(
        self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        with torch.no_grad():  # D's step must reach neither F nor G
            found = self.generator.reconstructor(batch.images) + drawn["noise"]
        real = in_full(self.discriminator(_pairs(batch.images, found)))
        fake = in_full(self.discriminator(_pairs(fakes.detach(), drawn["z"])))
        scores = Scores(real.detach(), fake.detach(), self.loss.kind)
        return PlayerLoss(self.loss.discriminator(real, fake), scores=scores)

    def generator_loss(self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock) -> PlayerLoss:
        fake = in_full(self.discriminator(_pairs(fakes, drawn["z"])))
        error = drawn["z"] - self.generator.reconstructor(fakes)
        unlikely = error.square().sum(1).mean() / 2
        parts = {"veegan/reconstruction": unlikely.detach()}
        return PlayerLoss(unlikely - self.adversarial * fake.mean(), parts)

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        """Of pairs, as in training but for the noise of the reconstructor."""
        draws = Draws(0, torch.device("cpu"))
        draws.generator = rng
        z = self.sampling_latents(draws, len(batch), torch.float32)
        with evaluating(self.sampler()) as both, evaluating(self.discriminator):
            assert isinstance(both, BothWays)
            z = like_weights(z, both)
            real = self.discriminator(_pairs(batch.images, both.reconstructor(batch.images)))
            return Scores(real, self.discriminator(_pairs(both(z), z)), self.loss.kind)


def _pairs(samples: Tensor, noise: Tensor) -> Tensor:
    """(N, ...), (N, L) -> (N, features + L)."""
    return torch.cat([samples.flatten(1), noise], dim=1)


def _both_ways(
    generator: Callable[..., nn.Module],
    reconstructor: Callable[..., nn.Module],
    *,
    sample_shape: tuple[int, ...],
    latent_dim: int,
) -> BothWays:
    head = partial(Codes, n_outputs=latent_dim)
    back = reconstructor(sample_shape=sample_shape, head=head)
    return BothWays(generator(sample_shape=sample_shape, latent_dim=latent_dim), back)


def _of_pairs(
    discriminator: Callable[..., nn.Module], latent_dim: int, *, sample_shape: tuple[int, ...]
) -> nn.Module:
    return discriminator(sample_shape=(math.prod(sample_shape) + latent_dim,))
