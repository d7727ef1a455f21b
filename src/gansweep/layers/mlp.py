"""Fully connected networks, for points and for flattened images.

Source: Goodfellow et al. 2014, arXiv:1406.2661, Section 5 (rectifiers and maxout); the pair of two
layers of 128 rectifiers is the usual one for two-dimensional mixtures.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Hidden, Positive, Width
from gansweep.layers.heads import Head, Linear
from gansweep.layers.normalization import NormName, normalization, normalize_weights

MAXOUT_PIECES = 5  # of Goodfellow et al. 2014 on MNIST
Initialize = Callable[[Tensor], object]  # of torch.nn.init, in place
Activation = Literal["relu", "leaky_relu", "tanh", "maxout"]


class Maxout(nn.Module):
    """The largest of 5 neighbouring features: (N, 5 W) -> (N, W). Source: arXiv:1302.4389."""

    def forward(self, features: Tensor) -> Tensor:
        return features.unflatten(1, (-1, MAXOUT_PIECES)).amax(dim=2)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "tanh": nn.Tanh,
    "maxout": Maxout,
}


def _hidden_layers(
    n_inputs: int, width: int, depth: int, activation: str, norm: str
) -> nn.Sequential:
    layers: list[nn.Module] = []
    n_features = width * MAXOUT_PIECES if activation == "maxout" else width
    for _ in range(depth):
        layers += [
            nn.Linear(n_inputs, n_features, bias=norm == "none"),
            normalization(norm, n_features, spatial=False),
            ACTIVATIONS[activation](),
        ]
        n_inputs = width
    return nn.Sequential(*layers)


def initialized(network: nn.Module, initialize: Initialize | None) -> None:
    """Give every linear weight new values, and every bias 0; None keeps PyTorch's own."""
    for layer in network.modules():
        if initialize is not None and isinstance(layer, nn.Linear):
            initialize(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Generator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1] through tanh, or (N, D) points, unbounded."""

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        width: Width,
        depth: Hidden,
        activation: Activation,
        norm: NormName,
        initialize: Initialize | None = None,
    ) -> None:
        super().__init__()
        self.sample_shape = tuple(sample_shape)
        self.hidden = _hidden_layers(latent_dim, width, depth, activation, norm)
        self.output = nn.Linear(width, math.prod(self.sample_shape))
        initialized(self, initialize)

    def forward(self, latents: Tensor) -> Tensor:
        samples = self.output(self.hidden(latents))
        if len(self.sample_shape) == 1:
            return samples
        return torch.tanh(samples).unflatten(1, self.sample_shape)


class Discriminator(nn.Module):
    """(N, C, H, W) images or (N, D) points, and labels for some heads -> (N,) unbounded scores.

    input_scale: what the samples are multiplied by before the first layer.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        depth: Hidden,
        activation: Activation,
        norm: NormName,
        spectral_norm: bool = False,
        head: Head = Linear,
        n_classes: int | None = None,
        initialize: Initialize | None = None,
        input_scale: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.input_scale = input_scale
        self.n_features = width
        self.hidden = _hidden_layers(math.prod(sample_shape), width, depth, activation, norm)
        self.output = head(width, n_classes)
        initialized(self, initialize)
        if spectral_norm:
            normalize_weights(self)

    def features(self, samples: Tensor) -> Tensor:
        """(N, n_features)."""
        features = samples.flatten(1)
        if self.input_scale != 1.0:
            features = self.input_scale * features
        return self.hidden(features)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(samples), labels)
