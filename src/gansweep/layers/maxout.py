"""The networks of the first GAN: a discriminator of maxout layers with dropout, and its generator.

Source: Goodfellow et al. 2014, arXiv:1406.2661, Section 5, with the authors' `mnist.yaml`; maxout
and its dropout are those of Goodfellow et al. 2013, arXiv:1302.4389. Pixels are on [0, 1] inside.
"""

import math

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Hidden, Positive, Width
from gansweep.layers import mlp
from gansweep.layers.mlp import MAXOUT_PIECES, Initialize, Maxout, initialized


class Generator(mlp.Generator):
    """(N, latent_dim) on [-1, 1) -> (N, C, H, W) in [-1, 1] through a sigmoid, or (N, D) points.

    Inside, latents are on (-sqrt(3), sqrt(3)), of variance 1.
    """

    def forward(self, latents: Tensor) -> Tensor:
        samples = self.output(self.hidden(latents * math.sqrt(3)))
        if len(self.sample_shape) == 1:
            return samples
        return (2 * torch.sigmoid(samples) - 1).unflatten(1, self.sample_shape)

    @torch.no_grad()
    def begin_at(self, mean: Tensor) -> None:
        """Make the first samples like the mean of the training images, (C, H, W) on [0, 1]."""
        self.output.bias.copy_(torch.logit(mean.flatten(), eps=1e-7))


class Discriminator(nn.Module):
    """(N, C, H, W) images or (N, D) points, and the noise of dropout -> (N,) unbounded scores.

    width, depth: of the maxout layers, each of whose units is the largest of 5 linear ones.
    kept_inputs, kept_hidden: the share of numbers that dropout keeps before the first layer and
        before each other, the last among them; what it keeps is divided by that share.
    noise_width: uniform numbers on [0, 1) that one sample takes, all layers together.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        depth: Hidden,
        kept_inputs: Positive = 0.8,
        kept_hidden: Positive = 0.5,
        initialize: Initialize | None = None,
    ) -> None:
        super().__init__()
        self.sizes = [math.prod(sample_shape), *[width] * depth]
        self.kept = [kept_inputs, *[kept_hidden] * depth]
        self.noise_width = sum(self.sizes)
        self.n_features = self.sizes[-1]
        pieces = width * MAXOUT_PIECES
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Linear(n_in, pieces), Maxout()) for n_in in self.sizes[:-1]
        )
        self.output = nn.Linear(self.n_features, 1)
        initialized(self, initialize)

    def forward(
        self, samples: Tensor, labels: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """noise: (N, noise_width) uniform on [0, 1); None where nothing is dropped, as in tests."""
        features = samples.flatten(1)
        if samples.ndim == 4:
            features = (features + 1) / 2
        masks = self._masks(noise)
        for layer, mask in zip(self.hidden, masks, strict=False):
            features = layer(features if mask is None else features * mask)
        if masks[-1] is not None:
            features = features * masks[-1]
        return self.output(features).squeeze(1)

    def _masks(self, noise: Tensor | None) -> list[Tensor | None]:
        """Factors 0 or 1 / kept for the inputs of each layer."""
        if noise is None:
            return [None] * len(self.sizes)
        drawn = noise.split(self.sizes, dim=1)
        return [
            (part < kept).to(part.dtype) / kept for part, kept in zip(drawn, self.kept, strict=True)
        ]
