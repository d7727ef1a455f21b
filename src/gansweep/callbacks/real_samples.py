"""Real samples in memory that callbacks show to a discriminator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gansweep.data.batch import Batch, joined
from gansweep.data.order import generator_for
from gansweep.data.source import DataSource, Split
from gansweep.models.adversarial import Adversarial

ORDER_SEED = 20190619


@dataclass(frozen=True, slots=True)
class Rows:
    """Samples of one split as they are stored.

    images: uint8 (n, C, H, W) or points, float32 (n, D).   labels: (n,), if there are any.
    source: the inputs of a translator, float32 (n, C', H, W), if there are any.
    """

    images: Tensor
    labels: Tensor | None
    source: Tensor | None = None

    @classmethod
    def of(cls, data: DataSource, split: Split, limit: int) -> Rows:
        """At most `limit` samples of a split, always the same ones."""
        chunks = list(data.arrays(split, limit))
        labels = [label for _, label in chunks if label is not None]
        return cls(
            torch.cat([images for images, _ in chunks]),
            torch.cat(labels) if labels else None,
            None if data.source_shape is None else joined(list(data.batches(split, limit))).source,
        )

    def __len__(self) -> int:
        return len(self.images)

    def halves(self) -> tuple[Rows, Rows]:
        """Two disjoint random halves, always the same. They are random as a split may be sorted."""
        order = torch.randperm(len(self), generator=generator_for(ORDER_SEED))
        return self._chosen(order[: len(self) // 2]), self._chosen(order[len(self) // 2 :])

    def _chosen(self, rows: Tensor) -> Rows:
        parts = (self.images, self.labels, self.source)
        images, labels, source = (None if part is None else part[rows] for part in parts)
        assert images is not None
        return Rows(images, labels, source)

    def batch(self, rows: Tensor, module: Adversarial) -> Batch:
        """The rows as input of `module`: on its device, in its dtype, images in [-1, 1]."""
        chosen = self._chosen(rows)
        dtype = next(module.parameters()).dtype
        images = chosen.images.to(module.device, dtype)
        if chosen.images.dtype == torch.uint8:
            images = images.div_(127.5).sub_(1)
        labels = None if chosen.labels is None else chosen.labels.to(module.device)
        source = None if chosen.source is None else chosen.source.to(module.device, dtype)
        return Batch(images, labels, source)

    def draw(self, n: int, rng: torch.Generator, module: Adversarial) -> Batch:
        """n rows, drawn with replacement by the CPU generator `rng`."""
        return self.batch(torch.randint(len(self), (n,), generator=rng), module)
