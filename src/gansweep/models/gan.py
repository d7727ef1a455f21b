"""One generator against one discriminator: Goodfellow et al. 2014, arXiv:1406.2661, Algorithm 1.

Every two-player variant is this procedure with another loss, other penalties, other networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gansweep.data.batch import Batch
from gansweep.losses import Loss
from gansweep.models.adversarial import Adversarial, Draws, Scores, Terms
from gansweep.penalties import Penalty


class GAN(Adversarial):
    """A generator G: (N, latent_dim) -> samples, and a discriminator D: samples -> (N,) scores.

    generator, discriminator: callables that build the networks for the data's `sample_shape`.
    latent_distribution: "normal", or "uniform" on [-1, 1).
    weight_clip: largest size of a weight of D after each of its steps (Arjovsky et al. 2017,
        arXiv:1701.07875, Algorithm 1); None for no clipping.
    """

    def __init__(
        self,
        *,
        sample_shape: tuple[int, ...],
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: Loss,
        penalties: Mapping[str, Penalty],
        latent_dim: int,
        latent_distribution: Literal["normal", "uniform"] = "normal",
        weight_clip: float | None = None,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.latent_dim = latent_dim
        self.latent_distribution = latent_distribution
        self.weight_clip = weight_clip
        self.loss = loss
        self.penalties = dict(penalties)
        self.generator = generator(sample_shape=tuple(sample_shape), latent_dim=latent_dim)
        self.discriminator = discriminator(sample_shape=tuple(sample_shape))
        # Batch statistics must not mix real and generated samples.
        self._scores_together = not any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.discriminator.modules()
        )

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def draw(self, draws: Draws, batch: Batch) -> dict[str, Tensor]:
        images = batch.images
        drawn = {"z": self._latents(draws, len(batch), images.dtype)}
        for name, penalty in self.penalties.items():
            for key, (distribution, shape) in penalty.noise(images).items():
                draw = draws.uniform if distribution == "uniform" else draws.normal
                drawn[f"{name}.{key}"] = draw(*shape, dtype=images.dtype)
        return drawn

    def _latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        if self.latent_distribution == "uniform":
            return draws.uniform(n, self.latent_dim, dtype=dtype).mul_(2).sub_(1)
        return draws.normal(n, self.latent_dim, dtype=dtype)

    def make(self, batch: Batch, drawn: dict[str, Tensor]) -> Tensor:
        return self.generator(drawn["z"])

    def player_loss(
        self, player: str, batch: Batch, drawn: dict[str, Tensor], fakes: Tensor
    ) -> Terms:
        if player == "generator":
            return self.generator_loss(batch, fakes)
        return self.discriminator_loss(batch, drawn, fakes)

    def discriminator_loss(self, batch: Batch, drawn: dict[str, Tensor], fakes: Tensor) -> Terms:
        fakes = fakes.detach()  # the discriminator's step must not reach the generator
        real, fake = self._score_both(batch.images, fakes)
        total = self.loss.discriminator(real, fake)
        parts: dict[str, Tensor] = {}
        for name, penalty in self.penalties.items():
            own = {k.split(".", 1)[1]: v for k, v in drawn.items() if k.startswith(f"{name}.")}
            value = penalty(self.discriminator, batch.images, fakes, own)
            parts[f"penalty/{name}"] = value.detach()
            total = total + penalty.weight * value
        return Terms(total, parts, Scores(real.detach(), fake.detach(), self.loss.kind))

    def generator_loss(self, batch: Batch, fakes: Tensor) -> Terms:
        real = None
        if self.loss.pairs_real:
            with torch.no_grad():
                real = self.discriminator(batch.images)
        return Terms(self.loss.generator(real, self.discriminator(fakes)))

    def _score_both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if not self._scores_together:
            return self.discriminator(real), self.discriminator(fake)
        scores = self.discriminator(torch.cat([real, fake]))
        return scores[: len(real)], scores[len(real) :]

    def after_move(self, player: str) -> None:
        if self.weight_clip is not None and player == "discriminator":
            with torch.no_grad():
                weights: list[Tensor] = list(self.discriminator.parameters())
                torch._foreach_clamp_max_(weights, self.weight_clip)
                torch._foreach_clamp_min_(weights, -self.weight_clip)

    @torch.no_grad()
    def fakes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        draws = Draws(0, torch.device("cpu"))
        draws.generator = rng
        z = self._latents(draws, len(batch), torch.float32)
        generator = self.sampler()
        first = next(generator.parameters())
        trained = generator.training
        generator.eval()
        made = generator(z.to(first.device, first.dtype))
        generator.train(trained)
        return made

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        fakes = self.fakes(batch, rng)
        trained = self.discriminator.training
        self.discriminator.eval()
        real, fake = self._score_both(batch.images, fakes)
        self.discriminator.train(trained)
        return Scores(real, fake, self.loss.kind)

    def compile_networks(self) -> None:
        """Compile G, and D unless a penalty differentiates it twice, which compilation forbids."""
        self.generator.compile()
        if not self.penalties:
            self.discriminator.compile()
