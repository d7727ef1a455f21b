"""Tasks that any image set poses without a download: what to start from, and what to make of it.

Each derives from an image of the set a pair of images: a source, which a model is given, and a
target, which it is to make. Shapes: N images, C channels, H and W pixels, all uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gansweep.data.order import generator_for
from gansweep.errors import UserError, nearest

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601
TINT_DARK, TINT_LIGHT = (20, 30, 80), (255, 205, 120)  # navy shadows, amber lights
HOLE_GREY = 128
NOISE_SEED = 20080705
NOISE_CHUNK = 1000  # images that share one stream of noise


@dataclass(frozen=True)
class Task:
    """How a source and its target come from images of the set.

    source, target: uint8 (N, C, H, W) of consecutive images of a split -> uint8 (N, C', H, W).
    source_channels, target_channels: C' of each; None where it is C.
    is_mask: the target's pixels are 0 or 255.
    needs_colour: the set must have three channels.
    turns: the task knows left from right, so that pairs cannot be mirrored.
    """

    source: Callable[[Tensor], Tensor]
    target: Callable[[Tensor], Tensor]
    source_channels: int | None = None
    target_channels: int | None = None
    is_mask: bool = False
    needs_colour: bool = False
    turns: bool = False


def same(images: Tensor) -> Tensor:
    return images


def inverted(images: Tensor) -> Tensor:
    """White for black: 255 - x."""
    return 255 - images


def rotated(images: Tensor) -> Tensor:
    """A quarter turn, anticlockwise."""
    return images.rot90(1, (2, 3)).contiguous()


def grey(images: Tensor) -> Tensor:
    """(N, 1, H, W): the luminance of ITU-R BT.601; an image of one channel as it is."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(GREY_WEIGHTS).view(1, 3, 1, 1)
    return (images.float() * weights).sum(1, keepdim=True).round().byte()


def tinted(images: Tensor) -> Tensor:
    """(N, 3, H, W): luminance as a blend of two colours, navy where it is 0, amber at 255."""
    dark, light = (torch.tensor(c).float().view(1, 3, 1, 1) for c in (TINT_DARK, TINT_LIGHT))
    return (dark + (light - dark) * (grey(images).float() / 255)).round().byte()


def edges(images: Tensor) -> Tensor:
    """(N, 1, H, W): the length of Sobel's gradient of the luminance, a full step being white."""
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    kernels = torch.stack([across, across.T]).unsqueeze(1)
    framed = F.pad(grey(images).float(), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(framed, kernels).norm(dim=1, keepdim=True).clamp(max=255).round().byte()


def hole_span(side: int) -> slice:
    """Where the hole lies along a side: centred, 56 of 128 pixels as in the released context
    encoder (half the side less a 32nd on both ends), 4 of 8."""
    length = side // 2 - 2 * (side // 32)
    start = (side - length) // 2
    return slice(start, start + length)


def holed(images: Tensor) -> Tensor:
    """A grey square in the middle, over a fifth to a quarter of the image."""
    rows, columns = (hole_span(side) for side in images.shape[2:])
    cut = images.clone()
    cut[:, :, rows, columns] = HOLE_GREY
    return cut


def noisy(images: Tensor, sigma: float) -> Tensor:
    """Gaussian noise of standard deviation `sigma`, pixels in [-1, 1], then clipped to that range.

    The noise of an image follows from its split's pixels alone: it is the same in every run, and
    none of it in another split.
    """
    chunks = []
    for number, chunk in enumerate(images.split(NOISE_CHUNK)):
        draw = generator_for(NOISE_SEED, number, int(chunk.long().sum()))
        noise = torch.randn(chunk.shape, generator=draw)
        chunks.append((chunk.float() + 127.5 * sigma * noise).round().clamp(0, 255).byte())
    return torch.cat(chunks)


def foreground(images: Tensor) -> Tensor:
    """(N, 1, H, W): 255 where the luminance lies above each image's own threshold, else 0.

    The threshold parts its pixels into two groups with the largest variance between them
    (Otsu 1979, IEEE Trans. SMC 9); the brighter group is the foreground. An even image has none.
    """
    pixels = grey(images)
    thresholds = [_otsu(chunk.flatten(1)) for chunk in pixels.split(NOISE_CHUNK)]
    return (pixels > torch.cat(thresholds).view(-1, 1, 1, 1)).byte() * 255


def _otsu(pixels: Tensor) -> Tensor:
    """(N, P) uint8 -> (N,) the highest level of the darker group."""
    counts = torch.zeros(len(pixels), 256, dtype=torch.float64)
    counts.scatter_add_(1, pixels.long(), torch.ones(pixels.shape, dtype=torch.float64))
    levels = torch.arange(256, dtype=torch.float64)
    below, sums = counts.cumsum(1), (counts * levels).cumsum(1)
    above = below[:, -1:] - below
    apart = sums / below.clamp(min=1) - (sums[:, -1:] - sums) / above.clamp(min=1)
    between = torch.where((below > 0) & (above > 0), below * above * apart.square(), 0.0)
    even = between.amax(1) == 0
    return torch.where(even, 255, between.argmax(1))


TaskName = Literal["invert", "rotate", "tint", "edges", "hole", "denoise", "colourise", "mask"]
TASKS = {
    "invert": Task(same, inverted),
    "rotate": Task(same, rotated, turns=True),
    "tint": Task(grey, tinted, source_channels=1, target_channels=3),
    "edges": Task(edges, same, source_channels=1),
    "hole": Task(holed, same),
    "denoise": Task(same, same),  # its noise has a level: see task_named
    "colourise": Task(grey, same, source_channels=1, needs_colour=True),
    "mask": Task(same, foreground, target_channels=1, is_mask=True),
}


def task_named(name: str, shape: tuple[int, ...], sigma: float) -> Task:
    """The task for images of `shape`; sigma is the level of noise that `denoise` adds.

    Raises: UserError for a task that does not exist or that such images do not allow.
    """
    if name not in TASKS:
        raise UserError(
            f"data.task={name} is no task.{nearest(name, TASKS)} Use one of {', '.join(TASKS)}."
        )
    task = TASKS[name]
    if len(shape) != 3:
        raise UserError(
            f"data.task={name} needs images, and the data it is to be derived from are points. "
            "Use data@data.base=digits, or another set of images."
        )
    if task.needs_colour and shape[0] != 3:
        raise UserError(
            f"data.task={name} needs colour images, and these have {shape[0]} channel. Take a "
            "set in colour, as data@data.base=cifar10, or data.task=tint, which gives grey "
            "images a colour."
        )
    if task.turns and shape[1] != shape[2]:
        raise UserError(f"data.task={name} needs square images, not {shape[1]}x{shape[2]}.")
    if name != "denoise":
        return task
    if not sigma > 0:
        raise UserError(
            f"data.sigma={sigma} is no level of noise: use a positive one, as data.sigma=0.5, "
            "the standard deviation where pixels lie in [-1, 1]."
        )
    return Task(lambda images: noisy(images, sigma), same)
