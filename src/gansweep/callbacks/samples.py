"""Sample grids from fixed noise, so that pictures of different moments can be compared."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.data.conditions import Conditions
from gansweep.models.adversarial import Adversarial

GRID_SIDE = 512
NOISE_SEED = 20140610


class Samples(ImageClockWatcher):
    """A square PNG of samples; for points, a map of where they fall among real ones.

    count: images in the grid; points are drawn ten times as many.
    """

    conditions: Conditions

    def __init__(self, every_kimg: float, count: int = 64) -> None:
        super().__init__(every_kimg)
        self.count = count

    def work(self, module: Adversarial) -> None:
        rng = torch.Generator().manual_seed(NOISE_SEED)
        is_points = self.conditions.draw(1, torch.Generator()).images.ndim == 2
        wanted = self.conditions.draw(self.count * (10 if is_points else 1), rng)
        made = module.fakes(wanted.to(module.device), rng).float().cpu()
        picture = _point_map(wanted.images, made) if is_points else _grid(made)
        assert self.journal.record is not None
        path = self.journal.record.samples / f"{module.images_seen:09d}.png"
        _save(picture, path)
        self.journal.show("samples", module.images_seen, path)


def _grid(images: Tensor) -> Image.Image:
    """(N, C, H, W) in [-1, 1] as rows of images, enlarged by a whole factor without smoothing."""
    n, channels, height, width = images.shape
    side = math.ceil(math.sqrt(n))
    pixels = images.nan_to_num(0).clamp(-1, 1).add(1).mul(127.5).round().byte()
    sheet = torch.zeros(
        channels, side * (height + 1) + 1, side * (width + 1) + 1, dtype=torch.uint8
    )
    for k, image in enumerate(pixels):
        top, left = 1 + (k // side) * (height + 1), 1 + (k % side) * (width + 1)
        sheet[:, top : top + height, left : left + width] = image
    array = sheet.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array if channels == 3 else array[:, :, 0])
    factor = max(1, GRID_SIDE // picture.width)
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _point_map(real: Tensor, fake: Tensor) -> Image.Image:
    """The first two coordinates: real points grey, generated ones orange."""
    reach = 1.25 * float(real[:, :2].abs().max())
    canvas = np.full((GRID_SIDE, GRID_SIDE, 3), 255, dtype=np.uint8)
    for points, colour in ((real, (185, 185, 185)), (fake, (213, 94, 0))):
        xy = points[:, :2].nan_to_num(0).clamp(-reach, reach).numpy() / reach
        columns = ((xy[:, 0] + 1) / 2 * (GRID_SIDE - 3)).astype(int)
        rows = ((1 - xy[:, 1]) / 2 * (GRID_SIDE - 3)).astype(int)
        for dy in range(3):
            for dx in range(3):
                canvas[rows + dy, columns + dx] = colour
    return Image.fromarray(canvas)


def _save(picture: Image.Image, path: Path) -> None:
    draft = path.with_name(f".{path.name}")
    picture.save(draft, format="PNG")
    draft.replace(path)
