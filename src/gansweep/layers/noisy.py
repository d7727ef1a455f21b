"""Fully connected networks for learning from few labels: weight-normalised, with noise inside.

Source: Salimans et al. 2016, arXiv:1606.03498, Section 5.1, and the code for MNIST (widths,
noise, generator). Departures: images are in [-1, 1], in the code in [0, 1], so the noise
on them is twice the code's; the discriminator's weights begin at the scale that the code's
initialisation by a batch of data expects, because networks here are built before data are read.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Weight, Width
from gansweep.layers.heads import Head, Linear
from gansweep.layers.normalization import NormName, normalization

WEIGHT_SPREAD = 0.1


class NormalizedLinear(nn.Module):
    """(N, n_in) -> (N, n_out) by rows of weights that all have the length `scale`.

    learn_scale: one scale for each row, which learns.
    Source: Salimans & Kingma 2016, arXiv:1602.07868, Eq. 2.
    """

    def __init__(
        self, n_in: int, n_out: int, *, scale: float = 1.0, learn_scale: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) * WEIGHT_SPREAD)
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.scale = nn.Parameter(torch.full((n_out, 1), scale), requires_grad=learn_scale)

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.scale * F.normalize(self.weight, dim=1), self.bias)


class NormalizedClassLogits(NormalizedLinear):
    """A head with weight normalisation: (N, n_features) -> (N, n_classes), one for each class."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(n_features, n_classes, learn_scale=True)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features)


class Generator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1], or (N, D) points, unbounded."""

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        widths: Sequence[Width],
        norm: NormName,
    ) -> None:
        super().__init__()
        self.sample_shape = tuple(sample_shape)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise([latent_dim, *widths]):
            layers.append(nn.Linear(n_in, n_out, bias=norm == "none"))
            layers += [normalization(norm, n_out, spatial=False), nn.Softplus()]
        self.hidden = nn.Sequential(*layers)
        self.output = NormalizedLinear(widths[-1], math.prod(self.sample_shape), learn_scale=True)

    def forward(self, latents: Tensor) -> Tensor:
        samples = self.output(self.hidden(latents))
        if len(self.sample_shape) == 1:
            return samples
        # 2 sigmoid(x) - 1: the code's sigmoid on pixels in [-1, 1]
        return torch.tanh(samples / 2).unflatten(1, self.sample_shape)


class Discriminator(nn.Module):
    """(N, C, H, W) images or (N, D) points, and the noise of training -> what the head says.

    widths: of the hidden layers of rectifiers.
    input_noise, hidden_noise: standard deviation of the noise on samples and on hidden outputs.
    noise_width: standard normal numbers that one sample takes, all layers together.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        widths: Sequence[Width],
        input_noise: Weight,
        hidden_noise: Weight,
        head: Head = Linear,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        sizes = [math.prod(sample_shape), *widths]
        # A rectified standard normal number has the mean square 1/2, a pixel 1 at most: so each
        # layer begins with outputs of variance 1, as after the code's pass over a batch of data.
        squares = [1 + input_noise**2] + [0.5 + hidden_noise**2] * (len(widths) - 1)
        self.hidden = nn.ModuleList(
            NormalizedLinear(n_in, n_out, scale=square**-0.5)
            for (n_in, n_out), square in zip(pairwise(sizes), squares, strict=True)
        )
        self.sizes = sizes
        self.spreads = [input_noise] + [hidden_noise] * len(widths)
        self.noise_width = sum(sizes)
        self.n_features = widths[-1]
        self.output = head(self.n_features, n_classes)

    def features(self, samples: Tensor, noise: Tensor | None = None) -> Tensor:
        """(N, n_features): the last hidden layer, before its own noise.

        noise: (N, noise_width) standard normal; None where no noise is due, as in tests.
        """
        return self._layers(samples, noise)[0]

    def forward(
        self, samples: Tensor, labels: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        features, last_noise = self._layers(samples, noise)
        return self.output(features + last_noise, labels)

    def _layers(self, samples: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """The features, and the noise with which the head meets them."""
        if noise is None:
            noise = samples.new_zeros(len(samples), self.noise_width)
        drawn = noise.split(self.sizes, dim=1)
        parts = [spread * part for spread, part in zip(self.spreads, drawn, strict=True)]
        features = samples.flatten(1)
        for layer, part in zip(self.hidden, parts, strict=False):
            features = F.relu(layer(features + part))
        return features, parts[-1]
