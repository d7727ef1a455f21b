"""The growing pair of ProGAN: level k makes and judges images of 4 * 2^k pixels a side.

Source: Karras et al. 2018, arXiv:1710.10196, Sections 2 and 4, Appendix A (Table 2) and the
authors' published networks: nearest-neighbour doubling, average pooling, two 3x3 convolutions a
level, 1x1 convolutions from and to colours, leaky ReLU 0.2, equalised learning rate everywhere,
pixel normalisation in the generator, minibatch standard deviation at the end of the discriminator.
Channels: `width` up to the side `wide_to`, halved at each doubling beyond (512 and 32 in the
paper).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Count, Side, Width
from gansweep.errors import UserError
from gansweep.layers import equalized
from gansweep.layers.equalized import GAIN, leaky, pixel_norm
from gansweep.layers.minibatch_stddev import MinibatchStddev
from gansweep.layers.spatial import FULL_WIDTH_SIDE, channels_at

START_SIDE, LARGEST_SIDE = 4, 1024


@dataclass(frozen=True, slots=True)
class Stage:
    """How far the networks have grown: to `level`, whose share is `alpha` while it fades in.

    alpha: in [0, 1]; 1 where the level stands alone.
    """

    level: int
    alpha: float = 1.0

    @property
    def side(self) -> int:
        return START_SIDE << self.level

    @property
    def fading(self) -> bool:
        return self.level > 0 and self.alpha < 1


def top_level(sample_shape: tuple[int, ...]) -> int:
    """k for images of side 4 * 2^k.   Raises: UserError for sides that are no power of two."""
    height, width = sample_shape[1:]
    if height != width or not 8 <= height <= LARGEST_SIDE or height & (height - 1):
        size = f"{height}" if height == width else f"{height}x{width}"
        power = min(LARGEST_SIDE, max(8, 1 << (max(height, width) - 1).bit_length()))
        raise UserError(
            f"image size {size} cannot be reached by doubling a 4x4 map: this model needs square "
            f"images with a side that is a power of two, from 8 to {LARGEST_SIDE}. "
            f"Use data.image_size={power}, or model=dcgan."
        )
    return (height // START_SIDE).bit_length() - 1


def stage_at(kimg: float, *, stable_kimg: float, fade_kimg: float, top: int) -> Stage:
    """Level 0 for stable_kimg, then each further level for fade_kimg and stable_kimg."""
    period = stable_kimg + fade_kimg
    if kimg >= top * period:  # the last fade ends where its level becomes stable
        return Stage(top)
    level, inside = divmod(kimg, period)
    if inside < stable_kimg:
        return Stage(int(level))
    return Stage(int(level) + 1, (inside - stable_kimg) / fade_kimg)


def doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")


def at_stage(images: Tensor, stage: Stage) -> Tensor:
    """Real images (N, C, H, W) averaged down to the level's side: (N, C, side, side).

    While a level fades in, they are blended with themselves at half that side, as the generator's.
    """
    shrink = images.shape[-1] // stage.side
    small = images if shrink == 1 else F.avg_pool2d(images, shrink)
    if not stage.fading:
        return small
    return torch.lerp(doubled(F.avg_pool2d(small, 2)), small, stage.alpha)


def full_size(images: Tensor, side: int) -> Tensor:
    """(N, C, h, h) -> (N, C, side, side), each pixel repeated."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="nearest")


class _Grown(nn.Module):
    """Layers by level, of which a stage uses those up to its own."""

    blocks: nn.ModuleList
    colours: nn.ModuleList

    def used(self, stage: Stage) -> list[nn.Parameter]:
        """The parameters that a stage computes with."""
        idle = [*self.blocks[stage.level + 1 :], *self.colours[stage.level + 1 :]]
        idle += self.colours[: stage.level - stage.fading]
        left_out = {id(p) for layer in idle for p in layer.parameters()}
        return [p for p in self.parameters() if id(p) not in left_out]


class Generator(_Grown):
    """(N, latent_dim) -> (N, C, side, side), nominally in [-1, 1].

    width: channels up to the side `wide_to`.
    tanh: ours, holds the images in [-1, 1]; they are linear in the paper.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        width: Width,
        wide_to: Side = FULL_WIDTH_SIDE,
        tanh: bool = False,
    ) -> None:
        super().__init__()
        self.top = top_level(sample_shape)
        self.tanh = tanh
        widths = [channels_at(Stage(level).side, width, wide_to) for level in range(self.top + 1)]
        # the gain: each of the 16 pixels is one output of the layer
        first = equalized.Linear(latent_dim, widths[0] * START_SIDE**2, gain=GAIN / 4)
        self.start = nn.Sequential(first, nn.Unflatten(1, (widths[0], START_SIDE, START_SIDE)))
        self.blocks = nn.ModuleList([_GeneratorBlock(widths[0], widths[0], 1)])
        self.blocks.extend(_GeneratorBlock(*pair, 2) for pair in pairwise(widths))
        channels = sample_shape[0]
        self.colours = nn.ModuleList(equalized.Conv2d(n, channels, 1, gain=1.0) for n in widths)

    def forward(self, latents: Tensor, stage: Stage | None = None) -> Tensor:
        """stage: None for the full-grown network."""
        stage = stage or Stage(self.top)
        maps = pixel_norm(leaky(self.start(pixel_norm(latents))))
        maps = before = self.blocks[0](maps)
        for block in self.blocks[1 : stage.level + 1]:
            before, maps = maps, block(doubled(maps))
        images = self._images(maps, stage.level)
        if not stage.fading:
            return images
        return torch.lerp(doubled(self._images(before, stage.level - 1)), images, stage.alpha)

    def _images(self, maps: Tensor, level: int) -> Tensor:
        images: Tensor = self.colours[level](maps)
        return images.tanh() if self.tanh else images


class _GeneratorBlock(nn.Module):
    def __init__(self, n_in: int, n_out: int, depth: int) -> None:
        super().__init__()
        widths = [n_in] + [n_out] * depth
        self.convolutions = nn.ModuleList(equalized.Conv2d(a, b, 3) for a, b in pairwise(widths))

    def forward(self, maps: Tensor) -> Tensor:
        for convolution in self.convolutions:
            maps = pixel_norm(leaky(convolution(maps)))
        return maps


class Discriminator(_Grown):
    """(N, C, side, side) -> (N,) unbounded scores.

    width: channels up to the side `wide_to`.
    group: samples of one minibatch standard deviation; 1 for none.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        wide_to: Side = FULL_WIDTH_SIDE,
        group: Count = 4,
    ) -> None:
        super().__init__()
        self.top = top_level(sample_shape)
        widths = [channels_at(Stage(level).side, width, wide_to) for level in range(self.top + 1)]
        self.spread = MinibatchStddev(group)
        self.blocks = nn.ModuleList([equalized.Conv2d(widths[0] + 1, widths[0], 3)])
        for n_out, n_in in pairwise(widths):
            self.blocks.append(_DiscriminatorBlock(n_in, n_out))
        self.colours = nn.ModuleList(equalized.Conv2d(sample_shape[0], n, 1) for n in widths)
        self.n_features = width
        self.end = equalized.Linear(widths[0] * START_SIDE**2, self.n_features)
        self.output = equalized.Linear(self.n_features, 1, gain=1.0)

    def features(self, images: Tensor, stage: Stage | None = None) -> Tensor:
        """(N, n_features).   Raises: UserError where N is no multiple of the group."""
        stage = stage or Stage(self.top)
        maps = leaky(self.colours[stage.level](images))
        for level in range(stage.level, 0, -1):
            maps = self.blocks[level](maps)
            if level == stage.level and stage.fading:
                before = leaky(self.colours[level - 1](F.avg_pool2d(images, 2)))
                maps = torch.lerp(before, maps, stage.alpha)
        return leaky(self.end(leaky(self.blocks[0](self.spread(maps))).flatten(1)))

    def forward(self, images: Tensor, stage: Stage | None = None) -> Tensor:
        """stage: None for the full-grown network."""
        return self.output(self.features(images, stage)).squeeze(1)


class _DiscriminatorBlock(nn.Module):
    """(N, n_in, H, W) -> (N, n_out, H / 2, W / 2)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = equalized.Conv2d(n_in, n_in, 3)
        self.second = equalized.Conv2d(n_in, n_out, 3)

    def forward(self, maps: Tensor) -> Tensor:
        return F.avg_pool2d(leaky(self.second(leaky(self.first(maps)))), 2)
