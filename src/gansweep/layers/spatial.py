"""Which image sizes the convolutional networks take, and how wide they are at each size.

A side must be b * 2^k with b from 4 to 7: the networks start from a b x b map and double it k
times (the generators), or halve the image k times down to it (the discriminators).
"""

import math
from bisect import bisect_left

from gansweep.errors import UserError

BASE_SIDES = (4, 5, 6, 7)
SMALLEST_SIDE, LARGEST_SIDE = 8, 128
FULL_WIDTH_SIDE = 32
SIDES = tuple(
    side
    for side in range(SMALLEST_SIDE, LARGEST_SIDE + 1)
    if any(side == base << k for base in BASE_SIDES for k in range(1, 6))
)


def stages(sample_shape: tuple[int, ...]) -> tuple[int, int]:
    """The side b of the smallest map and the number k of doublings up to the image's side.

    sample_shape: (C, H, W).   Raises: UserError for points, oblong images and other sides.
    """
    if len(sample_shape) != 3:
        raise UserError(
            f"A convolutional network needs images, but a sample of the data has the shape "
            f"{tuple(sample_shape)}: these are points. Use the fully connected pair, "
            f"model.points.generator._target_=gansweep.layers.mlp.Generator and "
            f"model.points.discriminator._target_=gansweep.layers.mlp.Discriminator."
        )
    height, width = sample_shape[1:]
    if height != width or height not in SIDES:
        size = f"{height}" if height == width else f"{height}x{width}"
        at = bisect_left(SIDES, max(height, width))
        near = SIDES[max(0, at - 1) : at + 1]
        raise UserError(
            f"image size {size} no convolutional network supports: images must be square with "
            f"a side of b*2^k pixels, b from 4 to 7, from {SMALLEST_SIDE} to {LARGEST_SIDE}. "
            f"Use data.image_size={' or '.join(map(str, near))}, or model=gan, whose "
            f"fully connected networks take any size."
        )
    doublings = next(k for k in range(1, 6) if height >> k in BASE_SIDES)
    return height >> doublings, doublings


def channels_at(side: int, width: int, wide_to: int = FULL_WIDTH_SIDE) -> int:
    """Channels of a feature map: `width` up to the side `wide_to`, halved at each doubling beyond.

    Source: the 128x128 networks of Miyato et al. 2018 and the 256x256 ones of Huang et al. 2024,
    both with 32.
    """
    return max(1, width >> max(0, math.ceil(math.log2(side / wide_to))))
