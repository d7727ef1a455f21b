"""Pictures of any size through a network of convolutions: padded, and in overlapping tiles."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

OVERLAP = 32  # pixels at least that neighbouring tiles share
Network = Callable[[Tensor], Tensor]


def through(network: Network, image: Tensor, multiple: int, tile: int) -> Tensor:
    """(C', H, W) -> (C, H, W) by tiles of at most `tile` pixels, sides multiples of `multiple`.

    Where tiles overlap, their results are blended from one to the other in a straight line, so that
    no seam is seen. A picture that fits into one tile goes through at once.
    """
    height, width = image.shape[1:]
    side = max(multiple, tile // multiple * multiple)
    tall, wide = (min(side, -(-length // multiple) * multiple) for length in (height, width))
    padded = _padded(image, max(height, tall), max(width, wide))
    total = weight = None
    for top in starts(padded.shape[1], tall):
        for left in starts(padded.shape[2], wide):
            part = padded[None, :, top : top + tall, left : left + wide]
            made = network(part)[0]
            window = ramps(tall, top > 0, top + tall < padded.shape[1])[:, None]
            window = window * ramps(wide, left > 0, left + wide < padded.shape[2])[None]
            if total is None or weight is None:
                total = made.new_zeros(made.shape[0], *padded.shape[1:])
                weight = made.new_zeros(padded.shape[1:])
            window = window.to(made)
            total[:, top : top + tall, left : left + wide] += made * window
            weight[top : top + tall, left : left + wide] += window
    assert total is not None and weight is not None
    return (total / weight)[:, :height, :width]


def _padded(image: Tensor, height: int, width: int) -> Tensor:
    """Grown to the right and below by repeating the border."""
    more = (0, width - image.shape[2], 0, height - image.shape[1])
    return F.pad(image[None], more, mode="replicate")[0]


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin, so that they cover the length and overlap by OVERLAP pixels or more."""
    if length <= tile:
        return [0]
    step = max(1, tile - min(OVERLAP, tile // 2))
    return [*range(0, length - tile, step), length - tile]


def ramps(length: int, before: bool, after: bool) -> Tensor:
    """(length,) weights that rise from the side with a neighbour, and fall towards the other."""
    size = min(OVERLAP, length // 2)
    rise = (torch.arange(length) + 1).float().div(size + 1).clamp(max=1)
    found = torch.ones(length)
    if before:
        found = found * rise
    return found * rise.flip(0) if after else found
