"""The normalisation-free residual pair of R3GAN.

Source: Huang et al. 2024, arXiv:2501.05441, Section 3 (configuration E): residual bottlenecks 1x1,
grouped 3x3, 1x1 with twice the channels inside, leaky ReLU, no normalisation anywhere; bilinear
resampling with a 1x1 convolution only where the number of channels changes; Fix-up initialisation
(the last convolution of a block at zero, the others scaled by L^-1/4 for L blocks); a learned 4x4
basis modulated by the latent at one end, a depthwise convolution over the 4x4 map at the other.
Departures: the image goes through tanh; the smallest map is b x b as the image's side demands;
the channels inside a group are 16 at widths that are multiples of 8, else as near as divides.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Depth, Width
from gansweep.layers import heads
from gansweep.layers.heads import Head
from gansweep.layers.spatial import channels_at, stages

LEAK = 0.2
LEAKY_GAIN = math.sqrt(2 / (1 + LEAK**2))
EXPANSION = 2
CHANNELS_PER_GROUP = 8  # of the width, so 16 inside the bottleneck


def _convolution(
    n_in: int, n_out: int, kernel: int, *, gain: float, groups: int = 1, bias: bool = True
) -> nn.Conv2d:
    """A convolution that keeps the map's size; normal weights of variance gain^2 / fan-in."""
    layer = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=bias)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(kernel * kernel * n_in / groups))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _initialize(layer: nn.Linear) -> None:
    nn.init.normal_(layer.weight, 0.0, 1 / math.sqrt(layer.in_features))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class Bottleneck(nn.Module):
    """(N, width, H, W) -> the same shape; the identity at the start of training."""

    def __init__(self, width: int, n_blocks: int) -> None:
        super().__init__()
        inner = EXPANSION * width
        groups = math.gcd(inner, max(1, width // CHANNELS_PER_GROUP))
        gain = LEAKY_GAIN * n_blocks**-0.25
        self.expand = _convolution(width, inner, 1, gain=gain)
        self.mix = _convolution(inner, inner, 3, gain=gain, groups=groups)
        self.reduce = _convolution(inner, width, 1, gain=0.0, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        residual = F.leaky_relu(self.expand(maps), LEAK)
        return maps + self.reduce(F.leaky_relu(self.mix(residual), LEAK))


class _Resampled(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.change = nn.Identity() if n_in == n_out else _convolution(n_in, n_out, 1, gain=1.0)


class Double(_Resampled):
    """(N, n_in, H, W) -> (N, n_out, 2H, 2W), bilinear."""

    def forward(self, maps: Tensor) -> Tensor:
        return F.interpolate(self.change(maps), scale_factor=2.0, mode="bilinear")


class Halve(_Resampled):
    """(N, n_in, H, W) -> (N, n_out, H/2, W/2), bilinear."""

    def forward(self, maps: Tensor) -> Tensor:
        # the bilinear value at the middle of four pixels is their mean
        return self.change(F.avg_pool2d(maps, 2))


class Generator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1].

    width: channels up to 32x32.   blocks: bottlenecks at each map size.
    """

    def __init__(
        self, sample_shape: tuple[int, ...], latent_dim: int, *, width: Width, blocks: Depth
    ) -> None:
        super().__init__()
        base, doublings = stages(sample_shape)
        widths = [channels_at(base << level, width) for level in range(doublings + 1)]
        n_blocks = blocks * len(widths)
        self.basis = nn.Parameter(torch.randn(widths[0], base, base))
        self.modulation = nn.Linear(latent_dim, widths[0])
        _initialize(self.modulation)
        layers: list[nn.Module] = [Bottleneck(widths[0], n_blocks) for _ in range(blocks)]
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            layers.append(Double(n_in, n_out))
            layers += [Bottleneck(n_out, n_blocks) for _ in range(blocks)]
        layers.append(_convolution(widths[-1], sample_shape[0], 1, gain=1.0))
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        maps = self.basis * self.modulation(latents)[:, :, None, None]
        return torch.tanh(self.layers(maps))


class Discriminator(nn.Module):
    """(N, C, H, W), and labels for some heads -> (N,) unbounded scores.

    width: channels up to 32x32.   blocks: bottlenecks at each map size.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        blocks: Depth,
        head: Head = heads.Linear,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        base, doublings = stages(sample_shape)
        widths = [channels_at(base << level, width) for level in range(doublings + 1)][::-1]
        n_blocks = blocks * len(widths)
        layers: list[nn.Module] = [_convolution(sample_shape[0], widths[0], 1, gain=1.0)]
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            layers += [Bottleneck(n_in, n_blocks) for _ in range(blocks)]
            layers.append(Halve(n_in, n_out))
        layers += [Bottleneck(widths[-1], n_blocks) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers)
        self.basis = nn.Conv2d(widths[-1], widths[-1], base, groups=widths[-1], bias=False)
        nn.init.normal_(self.basis.weight, 0.0, 1 / base)
        self.n_features = widths[-1]
        self.output = head(self.n_features, n_classes)
        for layer in self.output.modules():
            if isinstance(layer, nn.Linear):
                _initialize(layer)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features)."""
        return self.basis(self.layers(images)).flatten(1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(images), labels)
