"""The style-based pair of StyleGAN2, from 4x4 pixels up by doubling.

Source: Karras et al. 2020, arXiv:1912.04958, Section 2 and Figure 2 (modulated and demodulated
convolutions), Section 4.1 (skip generator, residual discriminator), Appendix B; the mapping network
and the noise maps: Karras et al. 2019, arXiv:1812.04948, Section 2; classes, and a discriminator
without skips: Karras et al. 2020 (ADA), arXiv:2006.06676, Appendix. Written from the papers.
Channels: `width` up to the side `wide_to`, halved at each doubling beyond (512 and 64 in
configuration F).
Departures: maps and colours are doubled before the convolution, by bilinear interpolation: inside
the border the same as the paper's binomial filter (1, 3, 3, 1).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Count, Depth, Positive, Side, Width
from gansweep.layers import equalized
from gansweep.layers.equalized import GAIN, leaky, pixel_norm
from gansweep.layers.minibatch_stddev import MinibatchStddev
from gansweep.layers.progressive import START_SIDE, top_level
from gansweep.layers.spatial import channels_at

PAPER_WIDE_TO = 64


def _widths(top: int, width: int, wide_to: int) -> list[int]:
    return [channels_at(START_SIDE << level, width, wide_to) for level in range(top + 1)]


def _active(features: Tensor) -> Tensor:
    return leaky(features) * GAIN


def _smoothly_doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


def _connected(n_in: int, n_out: int, depth: int, lr_multiplier: float) -> nn.ModuleList:
    """The fully connected layers of a mapping network."""
    sizes = [n_in, *[n_out] * depth]
    return nn.ModuleList(
        equalized.Linear(*pair, gain=1.0, lr_multiplier=lr_multiplier) for pair in pairwise(sizes)
    )


def _through(layers: nn.ModuleList, features: Tensor) -> Tensor:
    for layer in layers:
        features = _active(layer(features))
    return features


class ClassEmbedding(equalized.Linear):
    """Labels (N,) int64 -> (N, n_out), a learned vector for each class, of root mean square 1."""

    def __init__(self, n_classes: int, n_out: int) -> None:
        super().__init__(n_classes, n_out, gain=1.0)

    def forward(self, labels: Tensor) -> Tensor:
        chosen = F.one_hot(labels, self.weight.shape[1]).to(self.weight)
        return pixel_norm(super().forward(chosen))


class Mapping(nn.Module):
    """(N, latent_dim) latents, and labels (N,) of classes -> (N, latent_dim) latents w.

    n_classes: the embedding of each, as long as the latent, joins the normalised latent; None for
        no classes (Karras et al. 2020, arXiv:2006.06676, Appendix).
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        depth: int,
        lr_multiplier: float,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        n_inputs = latent_dim if n_classes is None else 2 * latent_dim
        self.layers = _connected(n_inputs, latent_dim, depth, lr_multiplier)
        if n_classes is not None:
            self.embedding = ClassEmbedding(n_classes, latent_dim)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        features = pixel_norm(latents)
        if labels is not None:
            features = torch.cat([features, self.embedding(labels)], 1)
        return _through(self.layers, features)


class ClassMapping(nn.Module):
    """Labels (N,) int64 -> (N, n_out): an embedding through a mapping network of its own."""

    def __init__(self, n_classes: int, n_out: int, *, depth: int, lr_multiplier: float) -> None:
        super().__init__()
        self.embedding = ClassEmbedding(n_classes, n_out)
        self.layers = _connected(n_out, n_out, depth, lr_multiplier)

    def forward(self, labels: Tensor) -> Tensor:
        return _through(self.layers, self.embedding(labels))


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

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        n_style: int,
        *,
        width: int,
        wide_to: int,
        tanh: bool = False,
    ) -> None:
        super().__init__()
        self.tanh = tanh
        self.top = top_level(sample_shape)
        widths = _widths(self.top, width, wide_to)
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
        maps = self.constant.expand(w.shape[0], -1, -1, -1)  # len() would fix a traced batch
        maps = self.layers[0](maps, w[:, 0], noises[0])
        images = self.colours[0](maps, w[:, 1])
        for level in range(1, self.top + 1):
            k = 2 * level - 1
            maps = self.layers[k](_smoothly_doubled(maps), w[:, k], noises[k])
            maps = self.layers[k + 1](maps, w[:, k + 1], noises[k + 1])
            images = _smoothly_doubled(images) + self.colours[level](maps, w[:, k + 2])
        return images.tanh() if self.tanh else images


class Generator(nn.Module):
    """(N, latent_dim + noise_numbers), and labels (N,) of classes -> (N, C, side, side).

    The images are nominally in [-1, 1], linear. A row holds a latent and, behind it, the noise maps
    of all layers: all that is random.
    width: channels up to the side `wide_to`, half as many at each doubling beyond; 64 in the paper,
        less for small images.   depth, lr_multiplier: of the mapping network.
    tanh: holds the images in [-1, 1]. Not in the papers; images with a plain background need it, as
        the digits, since a linear layer must learn to meet exactly -1.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        width: Width,
        wide_to: Side = PAPER_WIDE_TO,
        depth: Depth = 8,
        lr_multiplier: Positive = 0.01,
        tanh: bool = False,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.mapping = Mapping(
            latent_dim, depth=depth, lr_multiplier=lr_multiplier, n_classes=n_classes
        )
        self.synthesis = Synthesis(
            sample_shape, latent_dim, width=width, wide_to=wide_to, tanh=tanh
        )

    def styles(self, rows: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One w for all layers, (N, n_styles, latent_dim), and the noise of the rows."""
        w = self.mapping(rows[:, : self.latent_dim], labels)
        w = w.unsqueeze(1).expand(-1, self.synthesis.n_styles, -1)
        return w, rows[:, self.latent_dim :]

    def forward(self, rows: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesis(*self.styles(rows, labels))

    def mixed(
        self, rows: Tensor, others: Tensor, crossover: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Images whose layers from `crossover` on follow another latent's w (style mixing).

        others: (N, latent_dim), of the same class.
        crossover: (N,) int64, from 0 (all) to n_styles (none).
        Source: Karras et al. 2019, Section 3.1.
        """
        w, noise = self.styles(rows, labels)
        layer = torch.arange(self.synthesis.n_styles, device=rows.device)
        late = (layer >= crossover[:, None])[:, :, None]
        return self.synthesis(torch.where(late, self.mapping(others, labels)[:, None], w), noise)


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


class _Block(nn.Module):
    """(N, n_in, H, W) -> (N, n_out, H / 2, W / 2), of unit spread for inputs of unit spread.

    residual: whether a linear path past both convolutions is added.
    """

    def __init__(self, n_in: int, n_out: int, *, residual: bool) -> None:
        super().__init__()
        self.first = equalized.Conv2d(n_in, n_in, 3, gain=1.0)
        self.second = equalized.Conv2d(n_in, n_out, 3, gain=1.0, stride=2, padding=0)
        if residual:
            self.skip = equalized.Conv2d(n_in, n_out, 1, gain=1.0, bias=False)
        self.residual = residual
        self.blur = _Blur()

    def forward(self, maps: Tensor) -> Tensor:
        made = self.blur(_active(self.first(maps)), padding=2)
        made = _active(self.second(made))
        if not self.residual:
            return made
        return (made + self.skip(self.blur(maps, padding=1, stride=2))) / math.sqrt(2)


class Discriminator(nn.Module):
    """(N, C, side, side), and labels (N,) of classes -> (N,) unbounded scores.

    width: channels up to the side `wide_to`, as in the generator.
    group: samples of one minibatch standard deviation; 1 for none.
    residual: as in configuration F; false is the plain one of ADA's configuration for CIFAR-10.
    depth, lr_multiplier: of the network that maps a class to the vector on which the features are
        projected; they have no effect without classes.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        wide_to: Side = PAPER_WIDE_TO,
        group: Count = 4,
        residual: bool = True,
        n_classes: int | None = None,
        depth: Depth = 8,
        lr_multiplier: Positive = 0.01,
    ) -> None:
        super().__init__()
        widths = _widths(top_level(sample_shape), width, wide_to)[::-1]
        self.start = equalized.Conv2d(sample_shape[0], widths[0], 1, gain=1.0)
        self.blocks = nn.Sequential(
            *[_Block(*pair, residual=residual) for pair in pairwise(widths)]
        )
        self.spread = MinibatchStddev(group)
        self.n_features = n = widths[-1]
        self.last = equalized.Conv2d(n + 1, n, 3, gain=1.0)
        self.end = equalized.Linear(n * START_SIDE**2, n, gain=1.0)
        self.output = equalized.Linear(n, 1 if n_classes is None else n, gain=1.0)
        if n_classes is not None:
            self.classes = ClassMapping(n_classes, n, depth=depth, lr_multiplier=lr_multiplier)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features).   Raises: UserError where N is no multiple of the group."""
        maps = self.spread(self.blocks(_active(self.start(images))))
        return _active(self.end(_active(self.last(maps)).flatten(1)))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        made: Tensor = self.output(self.features(images))
        if labels is None:
            return made.squeeze(1)
        return (made * self.classes(labels)).sum(1) / math.sqrt(self.n_features)
