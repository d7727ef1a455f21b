"""The residual pair of SNGAN, which WGAN-GP, the projection discriminator and SAGAN share.

Source: Miyato et al. 2018, arXiv:1802.05957, Table 4 (CIFAR-10); Gulrajani et al. 2017,
arXiv:1704.00028, on CIFAR-10, is the same network with mean instead of sum pooling at its end;
Miyato & Koyama 2018, arXiv:1802.05637, give the generator's batch normalisation a gain and a bias
for each class; Zhang et al. 2019, arXiv:1805.08318, let the maps of one side attend to themselves.
At 32x32 this is the table; sides up to 32 keep one width, larger ones halve it as the papers'
128x128 networks do, and the number of doublings follows from the side. With `max_width` networks
for images beyond 32x32 are the papers' 128x128 ones throughout: widths double below 32x32 too, and
the discriminator halves down to the generator's smallest map, where one more block follows.
"""

from collections.abc import Sequence
from functools import partial
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
from gansweep.layers.residual import DownBlock, Norm, UpBlock, convolution
from gansweep.layers.spatial import FULL_WIDTH_SIDE, channels_at, stages

SMALL_MAP = 8  # the discriminator halves its maps down to this side


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
        nn.init.xavier_uniform_(self.stem.weight)
        nn.init.zeros_(self.stem.bias)
        self.unflatten = nn.Unflatten(1, (widths[0], base, base))
        block_norm = norm if n_classes is None else _conditional(norm, n_classes)
        self.blocks = nn.ModuleList(
            UpBlock(n_in, n_out, norm=block_norm)
            for n_in, n_out in zip(widths, widths[1:], strict=False)
        )
        self.norm = normalization(norm if isinstance(norm, str) else "batch", widths[-1])
        self.to_image = convolution(widths[-1], sample_shape[0], 3)
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
        if pooling not in ("sum", "mean"):
            raise UserError(f"pooling={pooling} is not known: use sum (SNGAN) or mean (WGAN-GP).")
        self.pooling = pooling
        base, _ = stages(sample_shape)  # refuses the sizes that the generator refuses
        smallest = base if _is_tapered(sample_shape, max_width) else SMALL_MAP
        sides = [sample_shape[1] // 2]
        while sides[-1] > smallest:
            sides.append(sides[-1] // 2)
        widths = [_channels(side, sample_shape, width, max_width) for side in sides]
        blocks: list[nn.Module] = [DownBlock(sample_shape[0], widths[0], norm=norm, first=True)]
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            blocks.append(DownBlock(n_in, n_out, norm=norm, wide=wide))
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
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if spectral_norm:
            normalize_weights(self)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features)."""
        maps = F.relu(self.norm(self.blocks(images)))
        return maps.sum(dim=(2, 3)) if self.pooling == "sum" else maps.mean(dim=(2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(images), labels)


def _is_tapered(sample_shape: tuple[int, ...], max_width: int | None) -> bool:
    return max_width is not None and sample_shape[1] > FULL_WIDTH_SIDE


def _channels(side: int, sample_shape: tuple[int, ...], width: int, max_width: int | None) -> int:
    """Channels of a map: `width` at 32x32, halved at each doubling beyond, doubled at each halving.

    The latter up to max_width, and only in networks for images beyond 32x32.
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
