"""The residual pair of SNGAN, which WGAN-GP, the projection discriminator and SAGAN share.

Source: Miyato et al. 2018, arXiv:1802.05957, Table 4 (CIFAR-10); Gulrajani et al. 2017,
arXiv:1704.00028, on CIFAR-10, is the same network with mean instead of sum pooling at its end;
Miyato & Koyama 2018, arXiv:1802.05637, give the generator's batch normalisation a gain and a bias
for each class; Zhang et al. 2019, arXiv:1805.08318, let the maps of one side attend to themselves.
At 32x32 this is the table; sides up to 32 keep one width, larger ones halve it as the papers'
128x128 networks do, and the number of doublings follows from the side. With `max_width` networks
for images beyond 32x32 are the papers' 128x128 ones throughout: widths double below 32x32 too, and
the discriminator halves down to the generator's smallest map, where one more block follows.
The blocks are those of Miyato et al. 2018: pre-activation, nearest-neighbour doubling, mean
pooling, a learned 1x1 shortcut wherever the size or the number of channels changes, Glorot's
uniform initialisation with a gain of sqrt(2) on the residual path.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Side, Width
from gansweep.errors import UserError
from gansweep.layers import heads
from gansweep.layers.attention import SelfAttention, attending_side
from gansweep.layers.conditional_norm import ConditionalBatchNorm2d
from gansweep.layers.heads import Head
from gansweep.layers.normalization import NormName, normalization, normalize_weights
from gansweep.layers.spatial import FULL_WIDTH_SIDE, channels_at, stages

SMALL_MAP = 8  # the discriminator halves its maps down to this side
Norm = NormName | Callable[[int], nn.Module]  # a kind of normalization(), or what makes the layer


def _initialize(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    """Glorot's uniform weights times gain, bias 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _convolution(n_in: int, n_out: int, kernel: int, *, gain: float = 1.0) -> nn.Conv2d:
    """A convolution that keeps the map's size."""
    layer = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2)
    _initialize(layer, gain)
    return layer


class UpBlock(nn.Module):
    """(N, n_in, H, W) -> (N, n_out, 2H, 2W).

    condition: what the normalisations take beside the maps, as labels.
    """

    def __init__(self, n_in: int, n_out: int, *, norm: Norm) -> None:
        super().__init__()
        layer = partial(normalization, norm) if isinstance(norm, str) else norm
        self.norm1, self.norm2 = layer(n_in), layer(n_out)
        self.conv1 = _convolution(n_in, n_out, 3, gain=math.sqrt(2))
        self.conv2 = _convolution(n_out, n_out, 3, gain=math.sqrt(2))
        self.shortcut = _convolution(n_in, n_out, 1)

    def forward(self, maps: Tensor, *condition: Tensor) -> Tensor:
        residual = self.conv1(_doubled(F.relu(self.norm1(maps, *condition))))
        residual = self.conv2(F.relu(self.norm2(residual, *condition)))
        # a 1x1 convolution and nearest-neighbour doubling commute: four times less work this way
        return residual + _doubled(self.shortcut(maps))


class DownBlock(nn.Module):
    """(N, n_in, H, W) -> (N, n_out, H/2, W/2), or (N, n_out, H, W) with halve=False.

    first: the block that meets the image, which is neither normalised nor rectified.
    wide: n_out channels between its convolutions, as in Zhang et al. 2019, arXiv:1805.08318, and
        Brock et al. 2019, arXiv:1809.11096, where n_in are the rule.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        norm: str,
        halve: bool = True,
        first: bool = False,
        wide: bool = False,
    ) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        n_hidden = n_out if first or wide else n_in
        self.norm1 = nn.Identity() if first else normalization(norm, n_in)
        self.norm2 = nn.Identity() if first else normalization(norm, n_hidden)
        self.conv1 = _convolution(n_in, n_hidden, 3, gain=math.sqrt(2))
        self.conv2 = _convolution(n_hidden, n_out, 3, gain=math.sqrt(2))
        learned = halve or n_in != n_out
        self.shortcut = _convolution(n_in, n_out, 1) if learned else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        residual = maps if self.first else F.relu(self.norm1(maps))
        residual = self.conv2(F.relu(self.norm2(self.conv1(residual))))
        if not self.halve:
            return residual + self.shortcut(maps)
        # pooling commutes with a 1x1 convolution: four times less work this way
        return F.avg_pool2d(residual, 2) + self.shortcut(F.avg_pool2d(maps, 2))


class Generator(nn.Module):
    """(N, latent_dim), and labels (N,) with n_classes -> (N, C, H, W) in [-1, 1].

    width: channels at 32x32.   max_width: of smaller maps, for images beyond 32x32; None: `width`.
    attention: largest side of the maps that attend to themselves; None for none.
    n_classes: classes that the normalisation tells apart, with norm="batch"; None for none.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        width: Width,
        norm: Norm,
        max_width: Width | None = None,
        attention: Side | None = None,
        spectral_norm: bool = False,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        base, doublings = stages(sample_shape)
        sides = [base << level for level in range(doublings + 1)]
        widths = [_channels(side, sample_shape, width, max_width) for side in sides]
        self.stem = nn.Linear(latent_dim, widths[0] * base * base)
        _initialize(self.stem)
        self.unflatten = nn.Unflatten(1, (widths[0], base, base))
        block_norm = norm if n_classes is None else _conditional(norm, n_classes)
        pairs = pairwise(widths)
        self.blocks = nn.ModuleList(UpBlock(*pair, norm=block_norm) for pair in pairs)
        self.norm = normalization(norm if isinstance(norm, str) else "batch", widths[-1])
        self.to_image = _convolution(widths[-1], sample_shape[0], 3)
        self.attending_side = None if attention is None else attending_side(attention, sides[1:])
        if self.attending_side is not None:
            self.attention = SelfAttention(widths[sides.index(self.attending_side)])
        if spectral_norm:
            normalize_weights(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        condition = () if labels is None else (labels,)
        return self.grown(latents, [condition] * len(self.blocks))

    def grown(self, latents: Tensor, conditions: Sequence[tuple[Tensor, ...]]) -> Tensor:
        """The image of the stem's latents and of what each block's normalisations take."""
        maps = self.unflatten(self.stem(latents))
        for block, condition in zip(self.blocks, conditions, strict=True):
            maps = block(maps, *condition)
            if maps.shape[2] == self.attending_side:
                maps = self.attention(maps)
        return torch.tanh(self.to_image(F.relu(self.norm(maps))))


class Discriminator(nn.Module):
    """(N, C, H, W), and labels for some heads -> (N,) unbounded scores.

    width: channels at 32x32.   max_width: of smaller maps, for images beyond 32x32; None: `width`,
        then blocks halve the map, once at least, until its side is 8 or less; two more follow.
    pooling: of the last maps over their pixels, "sum" in SNGAN, "mean" in WGAN-GP.
    attention: largest side of the maps that attend to themselves; None for none.
    wide: as many channels inside a block as it puts out.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        norm: NormName,
        pooling: Literal["sum", "mean"],
        max_width: Width | None = None,
        attention: Side | None = None,
        wide: bool = False,
        spectral_norm: bool = False,
        head: Head = heads.Linear,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        base, _ = stages(sample_shape)  # refuses the sizes that the generator refuses
        smallest = base if _is_tapered(sample_shape, max_width) else SMALL_MAP
        sides = [sample_shape[1] // 2]
        while sides[-1] > smallest:
            sides.append(sides[-1] // 2)
        widths = [_channels(side, sample_shape, width, max_width) for side in sides]
        blocks: list[nn.Module] = [DownBlock(sample_shape[0], widths[0], norm=norm, first=True)]
        blocks += [DownBlock(*pair, norm=norm, wide=wide) for pair in pairwise(widths)]
        self.n_features = widths[-1]
        for _ in range(1 if _is_tapered(sample_shape, max_width) else 2):
            blocks.append(DownBlock(self.n_features, self.n_features, norm=norm, halve=False))
        if attention is not None:
            place = sides.index(attending_side(attention, sides))
            blocks.insert(place + 1, SelfAttention(widths[place]))
        self.blocks = nn.Sequential(*blocks)
        self.norm = normalization(norm, self.n_features)
        self.output = head(self.n_features, n_classes)
        for layer in self.output.modules():
            if isinstance(layer, nn.Linear):
                _initialize(layer)
        if spectral_norm:
            normalize_weights(self)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features)."""
        maps = F.relu(self.norm(self.blocks(images)))
        return maps.sum(dim=(2, 3)) if self.pooling == "sum" else maps.mean(dim=(2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(images), labels)


def _doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")


def _is_tapered(sample_shape: tuple[int, ...], max_width: int | None) -> bool:
    return max_width is not None and sample_shape[1] > FULL_WIDTH_SIDE


def _channels(side: int, sample_shape: tuple[int, ...], width: int, max_width: int | None) -> int:
    """Channels of a map: `width` at 32x32, halved at each doubling beyond.

    In networks for images beyond 32x32 doubled at each halving below, up to max_width.
    """
    if max_width is None or not _is_tapered(sample_shape, max_width) or side >= FULL_WIDTH_SIDE:
        return channels_at(side, width)
    return min(max_width, width << (FULL_WIDTH_SIDE // side).bit_length() - 1)


def _conditional(norm: Norm, n_classes: int) -> Norm:
    """Raises: UserError for a normalisation that knows no classes."""
    if norm != "batch":
        raise UserError(
            f"model.generator.norm={norm} cannot follow the classes of model.conditional=true: "
            "use norm=batch, whose gains and biases then depend on the class."
        )
    return partial(ConditionalBatchNorm2d, n_classes=n_classes)
