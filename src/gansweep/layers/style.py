"""The style-based pair of StyleGAN2, from 4x4 pixels up by doubling.

Source: Karras et al. 2020, arXiv:1912.04958, Section 2 and Figure 2 (modulated and demodulated
convolutions), Section 4.1 (skip generator, residual discriminator), Appendix B; the mapping network
and the noise maps: Karras et al. 2019, arXiv:1812.04948, Section 2. Written from the papers.
Channels: `width` up to 64x64, halved at each doubling beyond (512 in configuration F).
Departures: maps and colours are doubled before the convolution, by bilinear interpolation: inside
the border the same as the paper's binomial filter (1, 3, 3, 1); no truncation of the styles.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Count, Depth, Positive, Width
from gansweep.layers import equalized
from gansweep.layers.equalized import GAIN, leaky, pixel_norm
from gansweep.layers.minibatch_stddev import MinibatchStddev
from gansweep.layers.progressive import START_SIDE, top_level
from gansweep.layers.spatial import channels_at


def _widths(top: int, width: int) -> list[int]:
    return [channels_at(START_SIDE << level >> 1, width) for level in range(top + 1)]


def _active(features: Tensor) -> Tensor:
    return leaky(features) * GAIN


def _smoothly_doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


class Mapping(nn.Module):
    """(N, latent_dim) latents -> (N, latent_dim) intermediate latents w."""

    def __init__(self, latent_dim: int, *, depth: int, lr_multiplier: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            equalized.Linear(latent_dim, latent_dim, gain=1.0, lr_multiplier=lr_multiplier)
            for _ in range(depth)
        )

    def forward(self, latents: Tensor) -> Tensor:
        features = pixel_norm(latents)
        for layer in self.layers:
            features = _active(layer(features))
        return features


class ModulatedConv2d(nn.Module):
    """(N, n_in, H, W) maps and (N, n_style) latents w -> (N, n_out, H, W).

    Each sample's weights are w'_{jik} = s_i w_{jik}, demodulated by the 2-norm over i and k of each
    output j (Eqs. 1 and 3): the same as inputs scaled by s and outputs by the inverse norm.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int, n_style: int, *, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.style = equalized.Linear(n_style, n_in, gain=1.0, bias=1.0)
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.scale = 1 / math.sqrt(n_in * kernel * kernel)
        self.demodulate = demodulate

    def forward(self, maps: Tensor, w: Tensor) -> Tensor:
        style = self.style(w)
        weight = self.weight * self.scale
        made = F.conv2d(maps * style[:, :, None, None], weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return made
        squares = F.linear(style.square(), weight.square().sum((2, 3)))
        return made * torch.rsqrt(squares + 1e-8)[:, :, None, None]


class _StyledLayer(nn.Module):
    """Modulated convolution, noise of a learned strength, bias, leaky ReLU."""

    def __init__(self, n_in: int, n_out: int, n_style: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(n_in, n_out, 3, n_style)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(n_out, 1, 1))

    def forward(self, maps: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        maps = self.convolution(maps, w) + noise * self.noise_strength
        return _active(maps + self.bias)


class _ToColours(nn.Module):
    def __init__(self, n_in: int, channels: int, n_style: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(n_in, channels, 1, n_style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, maps: Tensor, w: Tensor) -> Tensor:
        return self.convolution(maps, w) + self.bias


class Synthesis(nn.Module):
    """(N, n_styles, n_style) latents w, one for each layer, and noise maps -> (N, C, H, W).

    noise: (N, noise_numbers), the maps of all layers in a row, from the smallest on.
    """

    def __init__(self, sample_shape: tuple[int, ...], n_style: int, *, width: int) -> None:
        super().__init__()
        self.top = top_level(sample_shape)
        widths = _widths(self.top, width)
        self.n_styles = 2 * (self.top + 1)
        sides = [START_SIDE << (k + 1) // 2 for k in range(self.n_styles - 1)]
        self.noise_sizes = [side * side for side in sides]
        self.noise_numbers = sum(self.noise_sizes)
        self.constant = nn.Parameter(torch.randn(1, widths[0], START_SIDE, START_SIDE))
        layers = [_StyledLayer(widths[0], widths[0], n_style)]
        for n_in, n_out in pairwise(widths):
            layers += [_StyledLayer(n_in, n_out, n_style), _StyledLayer(n_out, n_out, n_style)]
        self.layers = nn.ModuleList(layers)
        self.colours = nn.ModuleList(_ToColours(n, sample_shape[0], n_style) for n in widths)

    def forward(self, w: Tensor, noise: Tensor) -> Tensor:
        """Each level doubles the side, and adds its colours to those of the levels below it."""
        rows = noise.split(self.noise_sizes, dim=1)
        noises = [row.unflatten(1, (1, math.isqrt(row.shape[1]), -1)) for row in rows]
        maps = self.constant.expand(len(w), -1, -1, -1)
        maps = self.layers[0](maps, w[:, 0], noises[0])
        images = self.colours[0](maps, w[:, 1])
        for level in range(1, self.top + 1):
            k = 2 * level - 1
            maps = self.layers[k](_smoothly_doubled(maps), w[:, k], noises[k])
            maps = self.layers[k + 1](maps, w[:, k + 1], noises[k + 1])
            images = _smoothly_doubled(images) + self.colours[level](maps, w[:, k + 2])
        return images


class Generator(nn.Module):
    """(N, latent_dim + noise_numbers) -> (N, C, side, side), nominally in [-1, 1], linear.

    A row holds a latent and, behind it, the noise maps of all layers: all that is random.
    width: channels up to 64x64.   depth, lr_multiplier: of the mapping network.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        width: Width,
        depth: Depth = 8,
        lr_multiplier: Positive = 0.01,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.mapping = Mapping(latent_dim, depth=depth, lr_multiplier=lr_multiplier)
        self.synthesis = Synthesis(sample_shape, latent_dim, width=width)

    def styles(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """One w for all layers, (N, n_styles, latent_dim), and the noise of the rows."""
        w = self.mapping(rows[:, : self.latent_dim])
        w = w.unsqueeze(1).expand(-1, self.synthesis.n_styles, -1)
        return w, rows[:, self.latent_dim :]

    def forward(self, rows: Tensor) -> Tensor:
        return self.synthesis(*self.styles(rows))

    def mixed(self, rows: Tensor, others: Tensor, crossover: Tensor) -> Tensor:
        """Images whose layers from `crossover` on follow another latent's w (style mixing).

        others: (N, latent_dim).   crossover: (N,) int64, from 0 (all) to n_styles (none).
        Source: Karras et al. 2019, Section 3.1.
        """
        w, noise = self.styles(rows)
        layer = torch.arange(self.synthesis.n_styles, device=rows.device)
        late = (layer >= crossover[:, None])[:, :, None]
        return self.synthesis(torch.where(late, self.mapping(others)[:, None], w), noise)


class _Blur(nn.Module):
    """The binomial filter (1, 3, 3, 1) / 8 along both axes of each map; a grey map stays grey."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", torch.outer(taps, taps), persistent=False)

    def forward(self, maps: Tensor, padding: int, stride: int = 1) -> Tensor:
        channels = maps.shape[1]
        kernel = self.kernel.expand(channels, 1, 4, 4)
        return F.conv2d(maps, kernel, stride=stride, padding=padding, groups=channels)


class _ResidualBlock(nn.Module):
    """(N, n_in, H, W) -> (N, n_out, H / 2, W / 2), of unit spread for inputs of unit spread."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = equalized.Conv2d(n_in, n_in, 3, gain=1.0)
        self.second = equalized.Conv2d(n_in, n_out, 3, gain=1.0, stride=2, padding=0)
        self.skip = equalized.Conv2d(n_in, n_out, 1, gain=1.0, bias=False)
        self.blur = _Blur()

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.blur(_active(self.first(maps)), padding=2)
        residual = _active(self.second(residual))
        return (residual + self.skip(self.blur(maps, padding=1, stride=2))) / math.sqrt(2)


class Discriminator(nn.Module):
    """(N, C, side, side) -> (N,) unbounded scores.

    width: channels up to 64x64.   group: samples of one minibatch standard deviation; 1 for none.
    """

    def __init__(self, sample_shape: tuple[int, ...], *, width: Width, group: Count = 4) -> None:
        super().__init__()
        widths = _widths(top_level(sample_shape), width)[::-1]
        self.start = equalized.Conv2d(sample_shape[0], widths[0], 1, gain=1.0)
        self.blocks = nn.Sequential(*[_ResidualBlock(*pair) for pair in pairwise(widths)])
        self.spread = MinibatchStddev(group)
        self.n_features = widths[-1]
        self.last = equalized.Conv2d(widths[-1] + 1, widths[-1], 3, gain=1.0)
        self.end = equalized.Linear(widths[-1] * START_SIDE**2, self.n_features, gain=1.0)
        self.output = equalized.Linear(self.n_features, 1, gain=1.0)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features).   Raises: UserError where N is no multiple of the group."""
        maps = self.spread(self.blocks(_active(self.start(images))))
        return _active(self.end(_active(self.last(maps)).flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.features(images)).squeeze(1)
