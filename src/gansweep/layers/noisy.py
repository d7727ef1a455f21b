"""Fully connected networks for learning from few labels: weight-normalised, with noise inside.

Source: Salimans et al. 2016, arXiv:1606.03498, Section 5.1, and the code for MNIST (widths,
noise, first weights, generator). Departures: images are in [-1, 1], in the code in [0, 1], so the
noise on them is twice the code's; the generator's batch normalisation has a gain.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Weight, Width
from gansweep.layers.heads import Head, Linear
from gansweep.layers.normalization import NormName, normalization

WEIGHT_SPREAD = 0.1
LEAST_LENGTH = 1e-12  # as of F.normalize
LEAST_SPREAD = 1e-6  # below it an output is constant


class _Lengths(torch.autograd.Function):
    """(M, N) -> (M,): the Euclidean lengths of the rows, and LEAST_LENGTH of shorter ones.

    PyTorch's norm has the same gradient, and goes three times over the weights for it instead of
    once. With this one a step of these networks on a CPU is 1.1 times faster.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor) -> Tensor:
        return torch.linalg.vector_norm(weight, dim=1).clamp_min(LEAST_LENGTH)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        weight, lengths = ctx.saved_tensors
        return weight * (gradient / lengths)[:, None]


class NormalizedLinear(nn.Module):
    """(N, n_in) -> (N, n_out) by rows of weights that all have the length `scale`.

    learn_scale: one scale for each row, which learns.
    Source: Salimans & Kingma 2016, arXiv:1602.07868, Eq. 2.
    """

    def __init__(self, n_in: int, n_out: int, *, learn_scale: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) * WEIGHT_SPREAD)
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.scale = nn.Parameter(torch.ones(n_out, 1), requires_grad=learn_scale)

    def forward(self, features: Tensor) -> Tensor:
        # the outputs are scaled, not the rows, of which there are more numbers
        gain = self.scale.flatten() / _Lengths.apply(self.weight)
        return torch.addcmul(self.bias, F.linear(features, self.weight), gain)

    @torch.no_grad()
    def begin_on(self, features: Tensor) -> Tensor:
        """Set scales and biases with which each output has the mean 0 and the variance 1 over
        these features, (N, n_in), and return the outputs. One that is constant gets the scale 1.

        Source: Salimans & Kingma 2016, Section 3.
        """
        outputs = F.linear(features, F.normalize(self.weight, dim=1))
        spread, mean = torch.std_mean(outputs, 0, correction=0)
        spread = torch.where(spread > LEAST_SPREAD, spread, 1.0)
        self.scale.copy_(1 / spread[:, None])
        self.bias.copy_(-mean / spread)
        return (outputs - mean) / spread


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
        for layer in self.modules():
            if isinstance(layer, nn.Linear | NormalizedLinear):
                nn.init.xavier_uniform_(layer.weight)

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
        self.hidden = nn.ModuleList(
            NormalizedLinear(n_in, n_out) for n_in, n_out in pairwise(sizes)
        )
        self.sizes = sizes
        self.spreads = [input_noise] + [hidden_noise] * len(widths)
        self.noise_width = sum(sizes)
        self.n_features = widths[-1]
        self.output = head(self.n_features, n_classes)

    @torch.no_grad()
    def begin_on(self, samples: Tensor, noise: Tensor) -> None:
        """Set scales and biases by a pass of training samples, (N, C, H, W) or (N, D), with noise,
        (N, noise_width): each layer's outputs begin with the mean 0 and the variance 1.
        """
        features = samples.flatten(1)
        *parts, last = noise.split(self.sizes, dim=1)
        for layer, part, spread in zip(self.hidden, parts, self.spreads[:-1], strict=True):
            noisy = torch.add(features, part, alpha=spread)
            features = F.relu(cast(NormalizedLinear, layer).begin_on(noisy))
        if isinstance(self.output, NormalizedLinear):
            self.output.begin_on(torch.add(features, last, alpha=self.spreads[-1]))

    def features(self, samples: Tensor, noise: Tensor | None = None) -> Tensor:
        """(N, n_features): the last hidden layer, before its own noise.

        noise: (N, noise_width) standard normal; None where no noise is due, as in tests.
        """
        return self._layers(samples, noise)[0]

    def forward(
        self, samples: Tensor, labels: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        features, last = self._layers(samples, noise)
        return self.output(torch.add(features, last, alpha=self.spreads[-1]), labels)

    def _layers(self, samples: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """The features, and the standard normal numbers that are due before the head."""
        if noise is None:
            noise = samples.new_zeros(len(samples), self.noise_width)
        *parts, last = noise.split(self.sizes, dim=1)
        features = samples.flatten(1)
        for layer, part, spread in zip(self.hidden, parts, self.spreads[:-1], strict=True):
            features = F.relu(layer(torch.add(features, part, alpha=spread)))
        return features, last
