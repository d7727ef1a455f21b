"""The networks of BEGAN: a decoder to generate, an encoder and a decoder to judge.

Source: Berthelot et al. 2017, arXiv:1703.10717, Section 3.5 and Figure 1: pairs of 3x3 convolutions
with ELUs, enlarged by nearest neighbours and reduced by stride 2, no normalisation; the encoder's
width grows by `width` at each reduction, the decoder's stays. No skip connections.
Departures: images below 16x16 have a smallest map of 4x4 instead of 8x8.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from gansweep.config.ranges import Width
from gansweep.layers import mlp
from gansweep.layers.heads import Codes
from gansweep.layers.spatial import stages


def _stages(sample_shape: tuple[int, ...]) -> tuple[int, int]:
    """Side of the smallest map, the paper's 8x8 where the image allows it, and the doublings."""
    base, doublings = stages(sample_shape)
    return (8, doublings - 1) if base == 4 and doublings > 1 else (base, doublings)


def _convolution(n_in: int, n_out: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(n_in, n_out, 3, stride, padding=1), nn.ELU()]


def _pair(n_in: int, n_out: int) -> list[nn.Module]:
    return [*_convolution(n_in, n_out), *_convolution(n_out, n_out)]


class Generator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W), unbounded, as the paper's last convolution leaves it."""

    def __init__(self, sample_shape: tuple[int, ...], latent_dim: int, *, width: Width) -> None:
        super().__init__()
        base, doublings = _stages(sample_shape)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, width * base * base),
            nn.Unflatten(1, (width, base, base)),
            *_pair(width, width),
        ]
        for _ in range(doublings):
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), *_pair(width, width)]
        layers.append(nn.Conv2d(width, sample_shape[0], 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(latents)


class Encoder(nn.Module):
    """(N, C, H, W) -> (N, n_codes)."""

    def __init__(self, sample_shape: tuple[int, ...], n_codes: int, *, width: int) -> None:
        super().__init__()
        base, doublings = _stages(sample_shape)
        layers = _convolution(sample_shape[0], width)
        channels = width
        for level in range(1, doublings + 1):
            layers += _pair(channels, level * width)
            channels = level * width
            layers += _convolution(channels, channels, stride=2)
        layers += [*_pair(channels, (doublings + 1) * width), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear((doublings + 1) * width * base * base, n_codes)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.layers(images))


class Discriminator(nn.Module):
    """(N, C, H, W) -> (N,) energies |v - AE(v)|, a mean over pixels and channels, at least 0.

    n_codes: length of the autoencoder's code.
    """

    def __init__(self, sample_shape: tuple[int, ...], *, width: Width, n_codes: Width) -> None:
        super().__init__()
        self.encoder = Encoder(sample_shape, n_codes, width=width)
        self.decoder = Generator(sample_shape, n_codes, width=width)

    def forward(self, samples: Tensor) -> Tensor:
        return (samples - self.decoder(self.encoder(samples))).abs().flatten(1).mean(1)


class PointsDiscriminator(nn.Module):
    """(N, D) points -> (N,) energies, by the fully connected networks of layers/mlp.py (ours).

    n_codes: length of the autoencoder's code.   hidden: the options of those networks.
    """

    def __init__(self, sample_shape: tuple[int, ...], *, n_codes: Width, **hidden: Any) -> None:
        super().__init__()
        head = partial(Codes, n_outputs=n_codes)
        self.encoder = mlp.Discriminator(sample_shape, head=head, **hidden)
        self.decoder = mlp.Generator(sample_shape, n_codes, **hidden)

    def forward(self, samples: Tensor) -> Tensor:
        return (samples - self.decoder(self.encoder(samples))).abs().mean(1)
