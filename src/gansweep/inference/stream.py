"""Samples one after the other, each of which depends on the seed and its number alone.

Noise is drawn in blocks of 64 samples, each from a stream of its own, whatever the network is then
given at once: so neither the batch size nor how many are asked for changes a sample.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gansweep.data.order import generator_for
from gansweep.inference.opened import Opened
from gansweep.models.autoencoder import WithPrior
from gansweep.models.draws import Draws
from gansweep.models.evaluating import cut_off, evaluating, like_weights
from gansweep.models.gan import GAN

BLOCK = 64


@dataclass(frozen=True)
class Part:
    """Some samples in a row.   first: the number of the first.

    images: (N, C, H, W) in [-1, 1] or (N, D), on the CPU.   labels: (N,) or None.
    """

    first: int
    images: Tensor
    labels: Tensor | None

    def pixels(self) -> Tensor:
        """(N, H, W, C) uint8, contiguous."""
        return as_pixels(self.images)


def as_pixels(images: Tensor) -> Tensor:
    """(N, C, H, W) in [-1, 1] -> (N, H, W, C) uint8, contiguous; what is not finite is grey."""
    scaled = images.nan_to_num(0).clamp(-1, 1).add(1).mul(127.5).round().byte()
    return scaled.permute(0, 2, 3, 1).contiguous()


class Stream:
    """The samples of a run from one seed.

    kind: the class or the value of a code that all are of; None: classes as in the training data.
    """

    def __init__(self, opened: Opened, seed: int, kind: int | None = None) -> None:
        self.module = opened.module
        self.seed = seed
        self.kind = kind
        module, data = self.module, opened.data
        walks = kind is not None and not module.conditional  # along a learnt code
        self.by_latents = isinstance(module, (GAN, WithPrior)) and not walks
        self._all = data.labels_of("train") if module.conditional and kind is None else None
        self._conditions = None if self.by_latents else opened.conditions

    def parts(self, n: int, batch_size: int = BLOCK) -> Iterator[Part]:
        """The samples 0 to n - 1, `batch_size` of them or a block at a time."""
        if self.by_latents:
            for first in range(0, n, batch_size):
                z, labels = self.latents(first, min(batch_size, n - first))
                yield Part(first, self.made(z, labels), labels)
            return
        for first in range(0, n, BLOCK):
            images, labels = self._block_of_rows(first // BLOCK)
            labels = None if labels is None else labels[: n - first]
            yield Part(first, images[: n - first], labels)

    def latents(self, first: int, n: int) -> tuple[Tensor, Tensor | None]:
        """(n, latent_dim) of the samples from `first` on, and their labels; on the CPU."""
        blocks = range(first // BLOCK, -(-(first + n) // BLOCK))
        z, labels = zip(*map(self._block_of_latents, blocks), strict=True)
        rows = slice(first % BLOCK, first % BLOCK + n)
        return torch.cat(z)[rows], torch.cat(labels)[rows] if labels[0] is not None else None

    @torch.no_grad()
    def made(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """(N, C, H, W) in [-1, 1] or (N, D) of latents, by the averaged weights; on the CPU."""
        module = self.module
        if isinstance(module, WithPrior):
            with evaluating(module.to_sample_with().decoder) as decoder:
                return cut_off(decoder(like_weights(z, decoder))).float().cpu()
        assert isinstance(module, GAN)
        with evaluating(module.sampler()) as generator:
            own = like_weights(z, generator)
            asked = None if labels is None else labels.to(own.device)
            return module.samples_of(generator, own, asked).float().cpu()

    def _block_of_latents(self, block: int) -> tuple[Tensor, Tensor | None]:
        module = self.module
        draws = Draws(0, torch.device("cpu"))
        draws.generator = generator_for(self.seed, block)
        if isinstance(module, WithPrior):
            return draws.normal(BLOCK, module.latent_dim), None
        assert isinstance(module, GAN)
        z = module.sampling_latents(draws, BLOCK, torch.float32)
        if self.kind is not None:
            return z, torch.full((BLOCK,), self.kind)
        if self._all is None:
            return z, None
        return z, self._all[torch.randint(len(self._all), (BLOCK,), generator=draws.generator)]

    def _block_of_rows(self, block: int) -> tuple[Tensor, Tensor | None]:
        """Of models that start from real rows, or walk along a code."""
        assert self._conditions is not None
        rng = generator_for(self.seed, block)
        rows = self._conditions.draw(BLOCK, rng).to(self.module.device)
        if self.kind is None:
            made = self.module.fakes(rows, rng)
            labels = rows.labels if self.module.conditional else None
            return made.float().cpu(), None if labels is None else labels.cpu()
        made = self.module.fakes_of(self.kind, rows, rng)
        return made.float().cpu(), torch.full((BLOCK,), self.kind)
