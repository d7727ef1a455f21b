"""Sheets of a model's output: grids of samples, columns of classes, sources beside results."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gansweep.data.batch import Batch, joined
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource, Split
from gansweep.models.adversarial import Adversarial
from gansweep.records.sheets import ENLARGED_SIDE, Layout, as_webp, enlarged

POINTS_PER_IMAGE = 10  # points shown in place of one image
SEARCHED = 2000  # images that are sorted or searched for a sheet
RETRIEVED = 7


@dataclass(frozen=True)
class Sheet:
    """A picture, every pixel of its images once, and its layout."""

    picture: Image.Image
    layout: Layout

    def as_webp(self) -> bytes:
        """The file of a record, lossless, with its layout."""
        return as_webp(self.picture, self.layout)

    def enlarged(self) -> Image.Image:
        """The picture for people, enlarged by an integer factor without smoothing."""
        return enlarged(self.picture)


def sheet(
    module: Adversarial, data: DataSource, conditions: Conditions, count: int, seed: int
) -> Sheet:
    """A sheet of about `count` samples of the averaged weights, from noise fixed by the seed.

    What it shows depends on the model:
    - several kinds of samples: a column for each kind, with the same noise along a row;
    - made from sources: each source, the result, and the true image if the data have it;
    - judged by anomalies or retrieval: see `anomalies` and `retrieved`;
    - judged by reconstruction: images and their reconstructions;
    - any other: a square of samples. Points: a map of them among real points.
    """
    rng = torch.Generator().manual_seed(seed)
    if data.is_points:
        wanted = conditions.draw(POINTS_PER_IMAGE * count, rng)
        return point_map(wanted.images, _made(module, wanted, rng))
    # not the test split first: a person who looks at the sheets may steer the run
    splits: tuple[Split, ...] = ("validation", "test", "train")
    split = next(split for split in splits if data.count(split))
    if data.normal_class is not None and "auroc_reconstruction" in module.judged_by:
        return anomalies(module, _rows(data, split, SEARCHED), count)
    if "retrieval" in module.judged_by:
        return retrieved(module, _rows(data, split, count // 8), _rows(data, "train", SEARCHED))
    if data.source_shape is None and "psnr" in module.judged_by:
        again = _rows(data, split, count // 2)
        made = translations(module, replace(again, source=again.images), rng, with_truth=False)
        return replace(made, layout=replace(made.layout, kind="reconstructions"))
    if data.source_shape is not None:
        wanted = _rows(data, split, count // 3)
        if starts_from_sources(module, wanted):
            return translations(module, wanted, rng, with_truth=data.is_paired(split))
    if module.kinds is not None and module.kinds <= count:
        whole = round(count / module.kinds) * module.kinds
        return every_kind(module, data, conditions, whole, seed)
    noise = getattr(module, "latent_dim", None)
    return grid(_made(module, conditions.draw(count, rng), rng), noise=noise)


def every_kind(
    module: Adversarial, data: DataSource, conditions: Conditions, count: int, seed: int
) -> Sheet:
    """`count` samples with a column for each kind, the same noise along a row, the last row cut."""
    assert module.kinds is not None
    rows = math.ceil(count / module.kinds)
    columns = [
        of_kind(module, kind, conditions, rows, torch.Generator().manual_seed(seed))
        for kind in range(module.kinds)
    ]
    images = torch.stack(columns, dim=1).flatten(0, 1)[:count]
    names, noise = _names_of_kinds(module, data), getattr(module, "latent_dim", None)
    return grid(images, module.kinds, kind="classes", classes=names, noise=noise)


def _names_of_kinds(module: Adversarial, data: DataSource) -> tuple[str, ...]:
    """The classes of a conditional model, or the values of a code that it has learnt."""
    assert module.kinds is not None
    if module.conditional and data.class_names is not None:
        return tuple(data.class_names)
    return tuple(f"code {value}" for value in range(module.kinds))


def _rows(data: DataSource, split: Split, n: int) -> Batch:
    return joined(list(data.batches(split, max(1, n))))


def anomalies(module: Adversarial, batch: Batch, count: int) -> Sheet:
    """The images that look most normal to the model, and below a gap the strangest ones.

    They are sorted from normal to strange by the error of their reconstruction.
    """
    strangeness = module.answers(batch.to(module.device))["anomaly/reconstruction"]
    order = strangeness.argsort().cpu()
    half = max(1, min(count, len(order)) // 2)
    columns = math.ceil(math.sqrt(2 * half))
    shown = order[: half // columns * columns or half], order[-half:]
    gap = torch.full((columns, *batch.images.shape[1:]), -1.0)
    parts = torch.cat([batch.images[shown[0]], gap, batch.images[shown[1]]])
    return grid(parts, columns, kind="anomalies")


def retrieved(module: Adversarial, asked: Batch, known: Batch) -> Sheet:
    """In each row an image, followed by the known images with the nearest codes."""
    codes, among = (
        module.answers(part.to(module.device))["codes"].float() for part in (asked, known)
    )
    nearest = (
        torch.cdist(codes, among).topk(min(RETRIEVED, len(known)), largest=False).indices.cpu()
    )
    rows = torch.cat([asked.images[:, None], known.images[nearest]], dim=1)
    roles = ("asked", *("nearest" for _ in range(rows.shape[1] - 1)))
    return grid(rows.flatten(0, 1), rows.shape[1], kind="retrieval", roles=roles)


def of_kind(
    module: Adversarial, kind: int, conditions: Conditions, n: int, rng: torch.Generator
) -> Tensor:
    """n samples of one kind of the model's samples: (n, ...) float32 on the CPU."""
    wanted = conditions.draw(n, rng).to(module.device)
    return module.fakes_of(kind, wanted, rng).float().cpu()


def starts_from_sources(module: Adversarial, batch: Batch) -> bool:
    """Whether the model makes an image from each source of the batch."""
    if batch.source is None:
        return False
    few = batch[slice(0, 2)].to(module.device)
    return module.needs_source or "images" in module.answers(few)


def translations(
    module: Adversarial, batch: Batch, rng: torch.Generator, *, with_truth: bool
) -> Sheet:
    """Each source, the model's result and, with `with_truth`, the true image, side by side."""
    assert batch.source is not None
    made = module.answers(batch.to(module.device)).get("images")
    if made is None:
        made = _made(module, batch, rng)
    parts = [batch.source, made.float().cpu(), *([batch.images] if with_truth else [])]
    channels = max(part.shape[1] for part in parts)
    shown = [part.expand(-1, channels, -1, -1) for part in parts]
    # so many groups per row that the sheet is about square
    groups = max(1, round(math.sqrt(len(batch) / len(parts))))
    roles = ("source", "made", "true")[: len(parts)]
    images = torch.stack(shown, dim=1).flatten(0, 1)
    return grid(images, groups * len(parts), kind="translations", roles=roles)


def _made(module: Adversarial, batch: Batch, rng: torch.Generator) -> Tensor:
    return module.fakes(batch.to(module.device), rng).float().cpu()


def grid(
    images: Tensor, columns: int | None = None, *, kind: str = "samples", **about: Any
) -> Sheet:
    """Images (N, C, H, W) in [-1, 1] in rows, with a border of one pixel around each.

    columns: images per row; None for a square.   kind, about: fields of the sheet's layout.
    """
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    pixels = images.nan_to_num(0).clamp(-1, 1).add(1).mul(127.5).round().byte()
    picture = torch.zeros(
        channels, rows * (height + 1) + 1, columns * (width + 1) + 1, dtype=torch.uint8
    )
    for k, image in enumerate(pixels):
        top, left = 1 + (k // columns) * (height + 1), 1 + (k % columns) * (width + 1)
        picture[:, top : top + height, left : left + width] = image
    array = picture.permute(1, 2, 0).numpy()
    drawn = Image.fromarray(array if channels == 3 else array[:, :, 0])
    return Sheet(drawn, Layout(kind, columns, rows, (width, height), count=n, **about))


def point_map(real: Tensor, fake: Tensor) -> Sheet:
    """The first two coordinates of points (n, D): real ones grey, generated ones orange."""
    reach = 1.25 * float(real[:, :2].abs().max())
    canvas = np.full((ENLARGED_SIDE, ENLARGED_SIDE, 3), 255, dtype=np.uint8)
    for points, colour in ((real, (185, 185, 185)), (fake, (213, 94, 0))):
        xy = points[:, :2].nan_to_num(0).clamp(-reach, reach).numpy() / reach
        columns = ((xy[:, 0] + 1) / 2 * (ENLARGED_SIDE - 3)).astype(int)
        rows = ((1 - xy[:, 1]) / 2 * (ENLARGED_SIDE - 3)).astype(int)
        for dy in range(3):
            for dx in range(3):
                canvas[rows + dy, columns + dx] = colour
    side = (ENLARGED_SIDE, ENLARGED_SIDE)
    return Sheet(Image.fromarray(canvas), Layout("points", 1, 1, side, gap=0, count=1))
