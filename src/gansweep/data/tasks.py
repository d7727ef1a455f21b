"""Translation tasks that can be made from any image set, without a download.

Each task makes a pair from an image of the set: the source, which a model gets, and the target,
which it should make. Shapes: N images, C channels, H and W pixels, all uint8.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gansweep.data.order import generator_for
from gansweep.errors import UserError

GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601
TINT_DARK, TINT_LIGHT = (20, 30, 80), (255, 205, 120)  # navy shadows, amber lights
HOLE_GREY = 128
NOISE_SEED = 20080705
NOISE_CHUNK = 1000  # images with one stream of noise


@dataclass(frozen=True)
class Task:
    """How sources and targets are made from images of the set.

    source, target: consecutive images of a split, uint8 (N, C, H, W) -> uint8 (N, C', H, W).
    source_channels, target_channels: C' of each; None: C.
    is_mask: the target's pixels are 0 or 255.   needs_colour: the set must have three channels.
    turns: the task rotates, so that pairs cannot be mirrored.
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
    """255 - x: black becomes white."""
    return 255 - images


def rotated(images: Tensor) -> Tensor:
    """Rotated by 90 degrees, anticlockwise."""
    return images.rot90(1, (2, 3)).contiguous()


def grey(images: Tensor) -> Tensor:
    """(N, 1, H, W): the luminance of ITU-R BT.601; images of one channel do not change."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(GREY_WEIGHTS).view(1, 3, 1, 1)
    return (images.float() * weights).sum(1, keepdim=True).round().byte()


def tinted(images: Tensor) -> Tensor:
    """(N, 3, H, W): a blend of two colours by luminance, from navy at 0 to amber at 255."""
    dark, light = (torch.tensor(c).float().view(1, 3, 1, 1) for c in (TINT_DARK, TINT_LIGHT))
    return (dark + (light - dark) * (grey(images).float() / 255)).round().byte()


def edges(images: Tensor) -> Tensor:
    """(N, 1, H, W): the norm of Sobel's gradient of the luminance; a step of 255 gives 255."""
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    kernels = torch.stack([across, across.T]).unsqueeze(1)
    framed = F.pad(grey(images).float(), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(framed, kernels).norm(dim=1, keepdim=True).clamp(max=255).round().byte()


def hole_span(side: int) -> slice:
    """The pixels of the hole along a side: centred, half the side minus a 32nd at both ends.

    That is 56 of 128 pixels, as in the released context encoder, and 4 of 8.
    """
    length = side // 2 - 2 * (side // 32)
    start = (side - length) // 2
    return slice(start, start + length)


def holed(images: Tensor) -> Tensor:
    """With a grey square in the middle, which covers a fifth to a quarter of the image."""
    rows, columns = (hole_span(side) for side in images.shape[2:])
    cut = images.clone()
    cut[:, :, rows, columns] = HOLE_GREY
    return cut


def noisy(images: Tensor, sigma: float) -> Tensor:
    """With Gaussian noise, clipped to the range of pixels.   sigma: for pixels in [-1, 1].

    The noise is seeded by the pixels of the split: it is the same in every run.
    """
    chunks = []
    for number, chunk in enumerate(images.split(NOISE_CHUNK)):
        draw = generator_for(NOISE_SEED, number, int(chunk.long().sum()))
        noise = torch.randn(chunk.shape, generator=draw)
        chunks.append((chunk.float() + 127.5 * sigma * noise).round().clamp(0, 255).byte())
    return torch.cat(chunks)


def foreground(images: Tensor) -> Tensor:
    """(N, 1, H, W): 255 where the luminance is above the threshold of the image, else 0.

    The threshold maximises the variance between the pixels above and below it (Otsu 1979, IEEE
    Trans. SMC 9). An image of one grey value has no foreground.
    """
    pixels = grey(images)
    thresholds = [_otsu(chunk.flatten(1)) for chunk in pixels.split(NOISE_CHUNK)]
    return (pixels > torch.cat(thresholds).view(-1, 1, 1, 1)).byte() * 255


def _otsu(pixels: Tensor) -> Tensor:
    """(N, P) uint8 -> (N,) thresholds: the highest value of the darker group."""
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
    "denoise": Task(same, same),  # task_named adds the noise
    "colourise": Task(grey, same, source_channels=1, needs_colour=True),
    "mask": Task(same, foreground, target_channels=1, is_mask=True),
}


def task_named(name: TaskName, shape: tuple[int, ...], sigma: float) -> Task:
    """The task for images of `shape`.   sigma: standard deviation of the noise of `denoise`.

    Raises: UserError for a task that does not fit the shape.
    """
    task = TASKS[name]
    if len(shape) != 3:
        raise UserError(
            f"data.task={name} needs images, but data.base has points. Use data@data.base=digits."
        )
    if task.needs_colour and shape[0] != 3:
        raise UserError(
            f"data.task={name} needs colour images, but these have {shape[0]} channel. Use "
            "data@data.base=cifar10, or data.task=tint, which colours grey images."
        )
    if task.turns and shape[1] != shape[2]:
        raise UserError(
            f"data.task={name} needs square images, not {shape[1]}x{shape[2]}. Use another task."
        )
    if name != "denoise":
        return task
    if sigma == 0:
        raise UserError(
            f"data.sigma={sigma} is not a standard deviation of noise: use a positive value, such "
            "as data.sigma=0.5 (for pixels in [-1, 1])."
        )
    return Task(lambda images: noisy(images, sigma), same)
