"""Sheets of generated images with their nearest real images."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gansweep.callbacks.samples import NOISE_SEED
from gansweep.callbacks.sheet import Sheet
from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.config.ranges import Count, Kimg, Range
from gansweep.data.conditions import Conditions
from gansweep.data.order import generator_for
from gansweep.data.source import DataSource
from gansweep.metrics.panel import Panel, to_uint8
from gansweep.metrics.reference import real_side
from gansweep.metrics.scores.prdc import nearest
from gansweep.models.adversarial import Adversarial
from gansweep.records.record import content_of
from gansweep.records.sheets import Block, Layout, Rank, Twins, layout_of

MOST_REAL_BYTES = 2**28  # of pixels in memory
GAUGE_SAMPLES = 500  # real images that give the typical distance between real neighbours

TILE = 56  # pixels at least: small images are enlarged by an integer factor
GAP = 4
LABELS = 84  # pixels for the words to the left of the images
LINE = 19
INK, QUIET, PAPER = (29, 33, 38), (91, 99, 109), (255, 255, 255)
MADE = (213, 94, 0)  # frames generated images; the same colour as in the map of points
GENERATED = ("samples", "classes", "translations", "reconstructions")  # kinds of sample sheets
# for each k that the option allows
ORDINALS = ("nearest real", "2nd nearest", "3rd nearest", "4th nearest", "5th nearest")


class Neighbours(ImageClockWatcher):
    """A sheet of the samples that are farthest from any real image and those nearest to one.

    Each is shown above its nearest real training images in the feature space of the scores. The
    farthest show over-generalisation: images unlike the data. The nearest show memorisation, if a
    sample and its neighbour are the same image. Below them stand the nearest real images of each
    generated image of the sample sheet, if one was written at the same moment.

    count: samples of each kind.   k: real neighbours of each, 1 to 5.
    n_fake: samples to choose from, always from the same noise.
    n_real: the largest number of training images, a fixed random subset. Their features are
        computed once and cached with the reference statistics of the scores.

    Points have no such sheet; the map of the samples shows them among real ones.
    """

    panel: Panel
    conditions: Conditions
    data: DataSource

    def __init__(
        self,
        every_kimg: Kimg,
        count: Annotated[int, Range(1, 1_000)] = 10,
        k: Annotated[int, Range(1, 5)] = 3,
        n_fake: Count = 500,
        n_real: Count = 10_000,
    ) -> None:
        super().__init__(every_kimg)
        self.count, self.k, self.n_fake, self.n_real = count, k, n_fake, n_real
        self._real: _Real | None = None

    def work(self, module: Adversarial) -> None:
        """Write neighbours/IMAGES_SEEN.webp and show it in the tracker.

        Does nothing for points, for scores without a feature space, and after a verdict.
        """
        if self.data.is_points or self.journal.verdict is not None:
            return
        self.panel.prepare(module.device)
        if self.panel.backbone is None:  # no score uses a feature space
            return
        if self._real is None:
            self._real = self._measure_real()
        samples = self._samples(module)
        if samples is None:
            return
        made = self._sheet(*samples, self._real, self._shown(module))
        assert self.journal.record is not None
        path = self.journal.record.sheets / f"{module.images_seen:09d}.webp"
        path.parent.mkdir(exist_ok=True)
        self.journal.record.write(path, made.as_webp())
        self.journal.show("neighbours", module.images_seen, made.picture, made.layout.kind)

    def _measure_real(self) -> _Real:
        assert self.panel.backbone is not None
        bytes_each = self.data.shape[0] * self.data.shape[1] * self.data.shape[2]
        most = min(self.n_real, MOST_REAL_BYTES // bytes_each)
        measures = self.panel.measures
        if self.panel.split == "train" and any(measure.needs_features for measure in measures):
            limit = self.panel.n_real  # the reference of the scores, which is cached already
        else:
            limit = most if most < self.data.n_train else None
        side = real_side(self.data, "train", limit, self.panel.backbone, with_features=True)
        assert side.features is not None
        rows = torch.randperm(side.count, generator=generator_for(NOISE_SEED))[:most].sort().values
        features = side.features[rows].to(self.panel.device)
        some = features[:: max(1, len(features) // GAUGE_SAMPLES)]
        # the first of the two nearest is the image itself or an exact copy
        apart = nearest(some, features, min(2, len(features)))[0][:, -1].median()
        return _Real(self._images(rows, limit), features, float(apart))

    def _images(self, rows: Tensor, limit: int | None) -> Tensor:
        """The training images of those rows, which are in increasing order."""
        chosen, start = [], 0
        for images, _ in self.data.arrays("train", limit):
            inside = rows[(rows >= start) & (rows < start + len(images))]
            chosen.append(images[inside - start])
            start += len(images)
        return torch.cat(chosen)

    @torch.no_grad()
    def _samples(self, module: Adversarial) -> tuple[Tensor, Tensor] | None:
        """uint8 images on the CPU and their features; None if an image is not finite."""
        assert self.panel.backbone is not None
        rng = torch.Generator().manual_seed(NOISE_SEED)
        images, features = [], []
        for start in range(0, self.n_fake, self.panel.backbone.batch_size):
            n = min(self.panel.backbone.batch_size, self.n_fake - start)
            made = module.fakes(self.conditions.draw(n, rng).to(module.device), rng)
            if not made.isfinite().all():
                return None
            pixels = to_uint8(made)
            images.append(pixels.cpu())
            features.append(self.panel.backbone.features(pixels)[0])
        return torch.cat(images), torch.cat(features)

    @torch.no_grad()
    def _shown(self, module: Adversarial) -> _Shown | None:
        """What the sample sheet of this moment shows; None if there is no such sheet."""
        assert self.journal.record is not None and self.panel.backbone is not None
        try:
            content = content_of(self.journal.record.samples / f"{module.images_seen:09d}.webp")
        except OSError:
            return None
        layout = layout_of(content)
        channels, height, width = self.data.shape
        if layout is None or layout.kind not in GENERATED or layout.cell != (width, height):
            return None
        with Image.open(io.BytesIO(content)) as picture:
            pixels = np.array(picture.convert("L" if channels == 1 else "RGB"))
        whole = torch.from_numpy(pixels).view(*pixels.shape[:2], channels).permute(2, 0, 1)
        cells = layout.showing("made")
        images = torch.stack([whole[:, top : top + height, left : left + width]
                              for left, top in map(layout.corner, cells)])  # fmt: skip
        batches = images.to(self.panel.device).split(self.panel.backbone.batch_size)
        features = torch.cat([self.panel.backbone.features(batch)[0] for batch in batches])
        columns = layout.columns // max(1, len(layout.roles))
        return _Shown(tuple(cells), columns, features)

    def _sheet(self, fakes: Tensor, features: Tensor, real: _Real, shown: _Shown | None) -> Sheet:
        k = min(self.k, len(real.images))
        distances, rows = nearest(features, real.features, k)
        distances, rows = distances.cpu(), rows.cpu()
        order = distances[:, 0].argsort()
        chosen = {
            "Farthest from any real image": order.flip(0)[: self.count],
            "Nearest to a real image: copies?": order[: self.count],
        }
        blocks = [
            _block(title, fakes[some], real.images[rows[some]], distances[some])
            for title, some in chosen.items()
        ]
        n_real, n_train = len(real.images), self.data.n_train
        of = f"{n_real:,}" if n_real == n_train else f"{n_real:,} of {n_train:,}"
        lines = [
            f"{len(fakes):,} samples against {of} real training images, distances under "
            f"{self.panel.backbone.name if self.panel.backbone else ''}.",
            f"A real image's own nearest neighbour is {_number(real.apart)} away (median).",
        ]
        parts = [picture for picture, _ in blocks]
        ranks = [] if shown is None else shown.ranks(real, k)
        parts += [picture for picture, _ in ranks]
        picture, tops = _stacked(parts, lines)
        placed = tuple(block.moved(top) for (_, block), top in zip(blocks, tops, strict=False))
        height, width = fakes.shape[2:]
        factor = _factor(height, width)
        layout = Layout(
            "neighbours",
            columns=len(placed[0].distances),
            rows=1 + k,
            cell=(factor * width, factor * height),
            gap=GAP,
            scale=factor,
            left=GAP + LABELS,
            blocks=placed,
            twins=None if shown is None else shown.twins(ranks, tops[len(blocks) :]),
            notes=tuple(lines),
        )
        return Sheet(picture, layout)


@dataclass(frozen=True)
class _Real:
    """images: uint8 (n, C, H, W) on the CPU.   features: (n, d).

    apart: the median distance from a real image to the nearest other one.
    """

    images: Tensor
    features: Tensor
    apart: float


@dataclass(frozen=True)
class _Shown:
    """The generated images of a sample sheet: their cells, those of a row, features (n, d)."""

    cells: tuple[int, ...]
    columns: int
    features: Tensor

    def ranks(self, real: _Real, k: int) -> list[tuple[Image.Image, tuple[float, ...]]]:
        """The nearest real image of each, the second nearest, ..., and their distances."""
        apart, rows = (part.cpu() for part in nearest(self.features, real.features, k))
        return [
            (_twins(real.images[rows[:, rank]], self.columns, rank), _rounded(apart[:, rank]))
            for rank in range(k)
        ]

    def twins(
        self, ranks: Sequence[tuple[Image.Image, tuple[float, ...]]], tops: Sequence[int]
    ) -> Twins:
        """What `ranks` gave, at those places of the whole sheet."""
        first, *further = (
            Rank(top + LINE, distances) for (_, distances), top in zip(ranks, tops, strict=True)
        )
        return Twins(first.top, self.columns, self.cells, first.distances, tuple(further))


def _block(
    title: str, fakes: Tensor, neighbours: Tensor, distances: Tensor
) -> tuple[Image.Image, Block]:
    """A row of samples, their distances to the nearest real image, and rows of the real images.

    fakes: (n, C, H, W).   neighbours: (n, k, C, H, W).   distances: (n, k).
    """
    n, k = distances.shape
    height, width = fakes.shape[2:]
    factor = _factor(height, width)
    across, down = factor * width + GAP, factor * height + GAP
    size = (LABELS + n * across, LINE + down + LINE + k * down)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((0, 0), title, INK, _font(13))
    tops = [LINE, *(LINE + down + LINE + down * row for row in range(k))]
    for top, label in zip(tops, ("generated", *ORDINALS), strict=False):
        draw.text((0, top + (down - GAP) // 2), label, INK, _font(11), anchor="lm")
    draw.text((0, LINE + down + LINE // 2 - GAP // 2), "distance", QUIET, _font(11), anchor="lm")
    for column in range(n):
        left = LABELS + column * across
        for top, image in zip(tops, [fakes[column], *neighbours[column]], strict=True):
            sheet.paste(_enlarged(image, factor), (left, top))
        frame = (left - 1, LINE - 1, left + factor * width, LINE + factor * height)
        draw.rectangle(frame, outline=MADE)
        middle = (left + factor * width // 2, LINE + down + LINE // 2 - GAP // 2)
        draw.text(middle, _number(float(distances[column, 0])), QUIET, _font(11), anchor="mm")
    first, *further = (_rounded(apart) for apart in distances.T)
    return sheet, Block(title, tops[0], tuple(tops[1:]), first, tuple(further))


def _rounded(distances: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{d:.4g}") for d in distances.tolist())


def _twins(images: Tensor, columns: int, rank: int) -> Image.Image:
    """uint8 images (n, C, H, W) in rows, below a title.   rank: 0 for the nearest."""
    height, width = images.shape[2:]
    factor = _factor(height, width)
    across, down = factor * width + GAP, factor * height + GAP
    size = (LABELS + columns * across, LINE + math.ceil(len(images) / columns) * down)
    sheet = Image.new("RGB", size, PAPER)
    which = f"{ORDINALS[rank]}{' image' if rank == 0 else ' real image'}"
    title = f"The {which} of each image of the sample sheet, at its place"
    ImageDraw.Draw(sheet).text((0, 0), title, INK, _font(13))
    for k, image in enumerate(images):
        place = (LABELS + k % columns * across, LINE + k // columns * down)
        sheet.paste(_enlarged(image, factor), place)
    return sheet


def _stacked(parts: list[Image.Image], lines: list[str]) -> tuple[Image.Image, list[int]]:
    """The parts below each other, then lines of text; and the top of each part."""
    text = [_font(11).getlength(line) for line in lines]
    width = 2 * GAP + max([*(part.width for part in parts), *(int(t) + 1 for t in text)])
    height = 2 * GAP + sum(part.height + 10 for part in parts) + LINE * len(lines)
    sheet = Image.new("RGB", (width, height), PAPER)
    top, tops = GAP, []
    for part in parts:
        sheet.paste(part, (GAP, top))
        tops.append(top)
        top += part.height + 10
    draw = ImageDraw.Draw(sheet)
    for line in lines:
        draw.text((GAP, top), line, QUIET, _font(11))
        top += LINE
    return sheet, tops


def _factor(height: int, width: int) -> int:
    """How much the pixels of an image are enlarged, so that it is at least a TILE large."""
    return max(1, -(-TILE // max(height, width)))


def _enlarged(image: Tensor, factor: int) -> Image.Image:
    """uint8 (C, H, W), with every pixel enlarged to a square of `factor` x `factor`."""
    array = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array if len(image) == 3 else array[:, :, 0]).convert("RGB")
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _number(distance: float) -> str:
    return f"{distance:#.3g}".rstrip(".")
