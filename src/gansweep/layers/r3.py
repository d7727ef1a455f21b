"""The normalisation-free residual pair of R3GAN.

Source: Huang et al. 2024, arXiv:2501.05441, Section 3 (configuration E): residual bottlenecks 1x1,
grouped 3x3, 1x1 with twice the channels inside, leaky ReLU, no normalisation anywhere; smooth
resampling with a 1x1 convolution only where the number of channels changes; biases only in front
of an activation (their counts of parameters say so); Fix-up initialisation (the last convolution of
a block at zero, the others scaled by L^-1/4 for L blocks); a learned 4x4 basis modulated by the
latent at one end, a depthwise convolution over the 4x4 map at the other. With classes: an embedding
beside the latent, and a discriminator whose score is the product of its features and an embedding.
Departures: the smallest map is b x b as the image's side demands; the channels inside a group are
16 at widths that are multiples of 8, else as near as divides.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Depth, Side, Width
from gansweep.layers.heads import Head
from gansweep.layers.spatial import FULL_WIDTH_SIDE, channels_at, stages

LEAK = 0.2
LEAKY_GAIN = math.sqrt(2 / (1 + LEAK**2))
EXPANSION = 2
CHANNELS_PER_GROUP = 8  # of the width, so 16 inside the bottleneck


def _convolution(
    n_in: int, n_out: int, kernel: int, *, gain: float, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """A convolution that keeps the map's size; normal weights of variance gain^2 / fan-in."""
    layer = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=bias)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(kernel * kernel * n_in / groups))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _linear(n_in: int, n_out: int) -> nn.Linear:
    """A linear map without a bias that keeps the spread of its inputs."""
    layer = nn.Linear(n_in, n_out, bias=False)
    nn.init.normal_(layer.weight, 0.0, 1 / math.sqrt(n_in))
    return layer


def _classes(n_classes: int, size: int, *, gain: float = 1.0) -> nn.Embedding:
    """A vector for each class, which a linear map of its one-hot code is: the fan-in is K."""
    layer = nn.Embedding(n_classes, size)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(n_classes))
    return layer


class Bottleneck(nn.Module):
    """(N, width, H, W) -> the same shape; the identity at the start of training."""

    def __init__(self, width: int, n_blocks: int) -> None:
        super().__init__()
        inner = EXPANSION * width
        groups = math.gcd(inner, max(1, width // CHANNELS_PER_GROUP))
        gain = LEAKY_GAIN * n_blocks**-0.25
        self.expand = _convolution(width, inner, 1, gain=gain, bias=True)
        self.mix = _convolution(inner, inner, 3, gain=gain, groups=groups, bias=True)
        self.reduce = _convolution(inner, width, 1, gain=0.0)

    def forward(self, maps: Tensor) -> Tensor:
        residual = F.leaky_relu(self.expand(maps), LEAK)
        return maps + self.reduce(F.leaky_relu(self.mix(residual), LEAK))


class _Resampled(nn.Module):
    """A filter of four taps along both axes, 0 beyond the border.

    A checkpoint without the taps is of a version that filtered by (1, 2, 1) / 4, half a pixel
    aside: its network keeps that filter, with which its weights were trained.
    Source: the authors' code, brownvc/R3GAN, which doubles each pixel, or takes means of two, and
        filters by (1, 2, 1): together (1, 3, 3, 1) / 8.
    """

    older: tuple[float, ...]
    taps: Tensor  # (4,), of sum 1

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.change = nn.Identity() if n_in == n_out else _convolution(n_in, n_out, 1, gain=1.0)
        self.register_buffer("taps", torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        state_dict.setdefault(f"{prefix}taps", torch.tensor(self.older) / 4)
        super()._load_from_state_dict(state_dict, prefix, *args, **options)


class Double(_Resampled):
    """(N, n_in, H, W) -> (N, n_out, 2H, 2W): between each pixel and its neighbours."""

    older = (0.0, 1.0, 2.0, 1.0)

    def forward(self, maps: Tensor) -> Tensor:
        padded = F.pad(self.change(maps), (1, 1, 1, 1))
        return self._doubled(self._doubled(padded, 2), 3)

    def _doubled(self, maps: Tensor, axis: int) -> Tensor:
        """(..., n + 2, ...) -> (..., 2n, ...).

        Pooling of repeated entries takes 2 to 4 times as long on a CPU.
        """
        n = maps.shape[axis] - 2
        before, this, after = (maps.narrow(axis, k, n) for k in range(3))
        shares = 2 * self.taps.to(maps.dtype)  # of the neighbour: the last and the first tap
        pair = [torch.lerp(this, before, shares[3]), torch.lerp(this, after, shares[0])]
        return torch.stack(pair, axis + 1).flatten(axis, axis + 1)


class Halve(_Resampled):
    """(N, n_in, H, W) -> (N, n_out, H/2, W/2): around the middle of each four pixels.

    A depthwise convolution, since pooling takes 2 to 7 times as long on a CPU.
    """

    older = (1.0, 2.0, 1.0, 0.0)

    def forward(self, maps: Tensor) -> Tensor:
        n = maps.shape[1]
        kernel = torch.outer(self.taps, self.taps).expand(n, 1, 4, 4)
        return self.change(F.conv2d(maps, kernel, stride=2, padding=1, groups=n))


class Generator(nn.Module):
    """(N, latent_dim), and labels (N,) where there are classes -> (N, C, H, W), unbounded.

    width: channels up to the side `wide_to`.   blocks: bottlenecks at each map size.
    tanh: holds the images in [-1, 1]. Not in the paper; images with a plain background need it, as
        the digits, since a linear layer must learn to meet exactly -1.
    n_classes: each gets a vector as long as the latent, which it joins; None for none.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        width: Width,
        wide_to: Side = FULL_WIDTH_SIDE,
        blocks: Depth,
        tanh: bool = False,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        base, doublings = stages(sample_shape)
        widths = [channels_at(base << level, width, wide_to) for level in range(doublings + 1)]
        n_blocks = blocks * len(widths)
        n_inputs = latent_dim
        if n_classes is not None:
            self.embedding = _classes(n_classes, latent_dim)
            n_inputs += latent_dim
        self.basis = nn.Parameter(torch.randn(widths[0], base, base))
        self.modulation = _linear(n_inputs, widths[0])
        layers: list[nn.Module] = [Bottleneck(widths[0], n_blocks) for _ in range(blocks)]
        for n_in, n_out in pairwise(widths):
            layers.append(Double(n_in, n_out))
            layers += [Bottleneck(n_out, n_blocks) for _ in range(blocks)]
        layers.append(_convolution(widths[-1], sample_shape[0], 1, gain=1.0))
        if tanh:
            layers.append(nn.Tanh())
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            latents = torch.cat([latents, self.embedding(labels)], dim=1)
        images: Tensor = self.layers(self.basis * self.modulation(latents)[:, :, None, None])
        return images


class ClassProduct(nn.Module):
    """<V h, e(y)>: features (N, n_features), labels (N,) int64 -> scores (N,).

    The vectors e have n_features coordinates, and a length of K^-1/2 for K classes at the start.
    Source: Miyato and Koyama 2018, arXiv:1802.05637, Section 3, without the term psi that all
        classes share, as in Huang et al. 2024 (their counts of parameters say so).
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.project = _linear(n_features, n_features)
        self.embedding = _classes(n_classes, n_features, gain=1 / math.sqrt(n_features))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return (self.project(features) * self.embedding(labels)).sum(1)


class Score(nn.Linear):
    """(N, n_features) -> (N,): one weight for each feature, without a bias."""

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features, 1, bias=False)
        nn.init.normal_(self.weight, 0.0, 1 / math.sqrt(n_features))

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features).squeeze(1)


class Discriminator(nn.Module):
    """(N, C, H, W), and labels (N,) where there are classes -> (N,) unbounded scores.

    width: channels up to the side `wide_to`.   blocks: bottlenecks at each map size.
    head: another one than the paper's, which are `Score` and with classes `ClassProduct`.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        wide_to: Side = FULL_WIDTH_SIDE,
        blocks: Depth,
        head: Head | None = None,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        base, doublings = stages(sample_shape)
        widths = [channels_at(base << level, width, wide_to) for level in range(doublings + 1)][
            ::-1
        ]
        n_blocks = blocks * len(widths)
        layers: list[nn.Module] = [_convolution(sample_shape[0], widths[0], 1, gain=1.0)]
        for n_in, n_out in pairwise(widths):
            layers += [Bottleneck(n_in, n_blocks) for _ in range(blocks)]
            layers.append(Halve(n_in, n_out))
        layers += [Bottleneck(widths[-1], n_blocks) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers)
        self.basis = nn.Conv2d(widths[-1], widths[-1], base, groups=widths[-1], bias=False)
        nn.init.normal_(self.basis.weight, 0.0, 1 / base)
        self.n_features = n = widths[-1]
        if head is not None:
            self.output = head(n, n_classes)
        else:
            self.output = Score(n) if n_classes is None else ClassProduct(n, n_classes)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features)."""
        # a product in place of the convolution, whose second derivative goes channel by channel
        return (self.layers(images) * self.basis.weight.squeeze(1)).sum((2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(images), labels)
