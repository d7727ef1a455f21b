"""The convolutional pair of DCGAN.

Source: Radford et al. 2016, arXiv:1511.06434, Section 3 and Figure 1: strided convolutions instead
of pooling, ReLU in the generator and leaky ReLU in the discriminator, batch normalisation except in
the generator's output and the discriminator's input, weights from N(0, 0.02).
Departures: kernels are 4x4, which stride 2 covers evenly; 8x8 to 14x14 images, which have room for
one doubling only, get one 3x3 convolution more at the smallest map.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Width
from gansweep.layers import heads
from gansweep.layers.heads import Head
from gansweep.layers.normalization import NormName, normalization, normalize_weights
from gansweep.layers.spatial import stages

INITIAL_SPREAD = 0.02
LEAK = 0.2


def _widths(doublings: int, width: int) -> list[int]:
    """Channels from the largest hidden map to the smallest: doubled at each, two at least."""
    return [width << level for level in range(max(2, doublings))]


def initialize(network: nn.Module) -> None:
    """Weights from N(0, 0.02), gains from N(1, 0.02), biases 0, in place."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, INITIAL_SPREAD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(layer.weight, 1.0, INITIAL_SPREAD)


class Generator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1]; `width` channels at half the image's side."""

    def __init__(
        self, sample_shape: tuple[int, ...], latent_dim: int, *, width: Width, norm: NormName
    ) -> None:
        super().__init__()
        base, doublings = stages(sample_shape)
        widths = _widths(doublings, width)[::-1]
        bias = norm == "none"  # a normalisation has a bias of its own
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, widths[0] * base * base, bias=bias),
            nn.Unflatten(1, (widths[0], base, base)),
            normalization(norm, widths[0]),
            nn.ReLU(),
        ]
        for level, (n_in, n_out) in enumerate(pairwise(widths)):
            if level < len(widths) - doublings:
                layers.append(nn.Conv2d(n_in, n_out, 3, padding=1, bias=bias))
            else:
                layers.append(nn.ConvTranspose2d(n_in, n_out, 4, 2, padding=1, bias=bias))
            layers += [normalization(norm, n_out), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(widths[-1], sample_shape[0], 4, stride=2, padding=1))
        self.layers = nn.Sequential(*layers)
        initialize(self)

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(self.layers(latents))


class Discriminator(nn.Module):
    """(N, C, H, W), and labels for some heads -> (N,) unbounded scores.

    width: channels at half the image's side.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        norm: NormName,
        spectral_norm: bool = False,
        head: Head = heads.Linear,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        base, doublings = stages(sample_shape)
        widths = _widths(doublings, width)
        bias = norm == "none"
        layers: list[nn.Module] = [
            nn.Conv2d(sample_shape[0], widths[0], 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
        ]
        for level, (n_in, n_out) in enumerate(pairwise(widths), start=1):
            kernel, stride = (4, 2) if level < doublings else (3, 1)
            layers += [
                nn.Conv2d(n_in, n_out, kernel, stride, padding=1, bias=bias),
                normalization(norm, n_out),
                nn.LeakyReLU(LEAK),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.n_features = widths[-1] * base * base
        self.output = head(self.n_features, n_classes)
        initialize(self)
        if spectral_norm:
            normalize_weights(self)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features)."""
        return self.layers(images)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(images), labels)
