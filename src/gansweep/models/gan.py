"""One generator against one discriminator: Goodfellow et al. 2014, arXiv:1406.2661, Algorithm 1.

Every two-player variant is this procedure with another loss, other penalties, other networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.losses import Loss
from gansweep.models.adversarial import Adversarial, Draws, Scores, Terms
from gansweep.penalties import Penalty


class GAN(Adversarial):
    """A generator G: (N, latent_dim) -> samples, and a discriminator D: samples -> (N,) scores.

    generator, discriminator: callables that build the networks for the data's `sample_shape`.
    latent_distribution: "normal", or "uniform" on [-1, 1).
    conditional: G and D are also given the class of each sample, G(z, labels) and D(x, labels),
        and are built with `n_classes`.
    packing: D judges so many samples at once, side by side in their channels (Lin et al. 2018,
        PacGAN, arXiv:1712.04086, Section 3); 1 for none.
    penalty_interval: the penalties join the loss on every k-th of D's steps only, k times as strong
        (lazy regularisation: Karras et al. 2020, arXiv:1912.04958, Section 3.1).
    weight_clip: largest size of a weight of D after each of its steps (Arjovsky et al. 2017,
        arXiv:1701.07875, Algorithm 1); None for no clipping.
    """

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: Loss,
        penalties: Mapping[str, Penalty],
        latent_dim: int,
        latent_distribution: Literal["normal", "uniform"] = "normal",
        conditional: bool = False,
        packing: int = 1,
        penalty_interval: int = 1,
        weight_clip: float | None = None,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.conditional = self.needs_labels = conditional
        self.refuse_what_is_missing()
        if conditional and packing > 1:
            raise UserError(
                f"model.packing={packing} puts samples of several classes before a discriminator "
                "that is told one. Use packing=1, or a model without classes."
            )
        if penalty_interval < 1:
            raise UserError(
                f"model.penalty_interval={penalty_interval} is no number of steps: use 1 for a "
                "penalty in every step, or penalties={} for none."
            )
        self.packing = packing
        self.latent_dim = latent_dim
        self.latent_distribution = latent_distribution
        self.weight_clip = weight_clip
        self.penalty_interval = penalty_interval
        self.loss = loss
        self.penalties = dict(penalties)
        classes = {"n_classes": self.n_classes} if conditional else {}
        self.generator = generator(sample_shape=self.sample_shape, latent_dim=latent_dim, **classes)
        packed_shape = (packing * self.sample_shape[0], *self.sample_shape[1:])
        self.discriminator = discriminator(sample_shape=packed_shape, **classes)
        # Batch statistics must not mix real and generated samples.
        self._scores_together = not any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.discriminator.modules()
        )

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def draw(self, draws: Draws, batch: Batch) -> dict[str, Tensor]:
        images = packs(batch.images, self.packing)
        drawn = {"z": self.latents(draws, len(batch), images.dtype)}
        for name, penalty in self.penalties.items():
            for key, (distribution, shape) in penalty.noise(images).items():
                draw = draws.uniform if distribution == "uniform" else draws.normal
                drawn[f"{name}.{key}"] = draw(*shape, dtype=images.dtype)
        return drawn

    def latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        if self.latent_distribution == "uniform":
            return draws.uniform(n, self.latent_dim, dtype=dtype).mul_(2).sub_(1)
        return draws.normal(n, self.latent_dim, dtype=dtype)

    def sampling_latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        """Latents of the samples to look at and to measure: those of training."""
        return self.latents(draws, n, dtype)

    def generate(self, generator: nn.Module, z: Tensor, labels: Tensor | None) -> Tensor:
        """G(z), or G(z, labels) where it is conditional."""
        return generator(z, labels) if self.conditional else generator(z)

    def judge(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """D(x), or D(x, labels) where it is conditional, of samples that are packed already."""
        return (
            self.discriminator(samples, labels) if self.conditional else self.discriminator(samples)
        )

    def make(self, batch: Batch, drawn: dict[str, Tensor]) -> Tensor:
        return self.generate(self.generator, drawn["z"], batch.labels)

    def player_loss(
        self, player: str, batch: Batch, drawn: dict[str, Tensor], fakes: Tensor
    ) -> Terms:
        if player == "generator":
            return self.generator_loss(batch, fakes)
        return self.discriminator_loss(batch, drawn, fakes)

    def discriminator_loss(self, batch: Batch, drawn: dict[str, Tensor], fakes: Tensor) -> Terms:
        # detach: the discriminator's step must not reach the generator
        images, fakes = packs(batch.images, self.packing), packs(fakes.detach(), self.packing)
        real, fake = self._score_both(images, fakes, batch.labels)
        total = self.loss.discriminator(real, fake)
        parts: dict[str, Tensor] = {}
        due = self.steps % self.penalty_interval == 0
        for name, penalty in self.penalties.items() if due else ():
            own = {k.split(".", 1)[1]: v for k, v in drawn.items() if k.startswith(f"{name}.")}
            value = penalty(partial(self.judge, labels=batch.labels), images, fakes, own)
            parts[f"penalty/{name}"] = value.detach()
            total = total + penalty.weight * self.penalty_interval * value
        return Terms(total, parts, Scores(real.detach(), fake.detach(), self.loss.kind))

    def generator_loss(self, batch: Batch, fakes: Tensor) -> Terms:
        real = None
        if self.loss.pairs_real:
            with torch.no_grad():
                real = self.judge(packs(batch.images, self.packing), batch.labels)
        fake = self.judge(packs(fakes, self.packing), batch.labels)
        return Terms(self.loss.generator(real, fake))

    def _score_both(
        self, real: Tensor, fake: Tensor, labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if not self._scores_together:
            return self.judge(real, labels), self.judge(fake, labels)
        both = None if labels is None else torch.cat([labels, labels])
        scores = self.judge(torch.cat([real, fake]), both)
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
        z = self.sampling_latents(draws, len(batch), torch.float32)
        generator = self.sampler()
        first = next(generator.parameters())
        trained = generator.training
        generator.eval()
        made = self.generate(generator, z.to(first.device, first.dtype), batch.labels)
        generator.train(trained)
        return made

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        real, fakes = (
            _packs_around(samples, self.packing)
            for samples in (batch.images, self.fakes(batch, rng))
        )
        trained = self.discriminator.training
        self.discriminator.eval()
        real_scores, fake_scores = self._score_both(real, fakes, batch.labels)
        self.discriminator.train(trained)
        return Scores(real_scores, fake_scores, self.loss.kind)

    def compile_networks(self) -> None:
        """Compile G, and D unless a penalty differentiates it twice, which compilation forbids."""
        self.generator.compile()
        if not self.penalties:
            self.discriminator.compile()


def packs(samples: Tensor, size: int) -> Tensor:
    """(N, C, ...) -> (N / size, size C, ...): each `size` neighbours side by side.

    Raises: UserError where N is no multiple of size.
    """
    if size == 1:
        return samples
    n, channels = samples.shape[:2]
    if n % size:
        raise UserError(
            f"{n} samples cannot be packed by model.packing={size}: use a batch_size that every "
            f"process can cut into packs, as batch_size={-(-n // size) * size}."
        )
    return samples.reshape(n // size, size * channels, *samples.shape[2:])


def _packs_around(samples: Tensor, size: int) -> Tensor:
    """(N, C, ...) -> (N, size C, ...): each sample with those after it, the last with the first."""
    return torch.cat([samples.roll(-k, 0) for k in range(size)], dim=1)
