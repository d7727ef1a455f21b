"""What a generator is asked for when it is sampled: rows of real data."""

from __future__ import annotations

import torch

from gansweep.data.batch import Batch
from gansweep.data.source import DataSource

ROWS_KEPT = 4096


class Conditions:
    """Real rows whose labels and sources say what samples should be.

    A generator without conditions reads only how many there are; a conditional one is asked for
    the labels in the proportions of the training set.
    """

    def __init__(self, data: DataSource) -> None:
        chunks = list(data.arrays("train", limit=ROWS_KEPT))
        rows = torch.cat([images for images, _ in chunks])
        self._images = rows if data.is_points else rows.float().div_(127.5).sub_(1)
        labels = [label for _, label in chunks if label is not None]
        self._labels = torch.cat(labels) if labels else None

    def draw(self, n: int, rng: torch.Generator) -> Batch:
        """n rows, drawn with replacement by the CPU generator `rng`."""
        rows = torch.randint(len(self._images), (n,), generator=rng)
        labels = None if self._labels is None else self._labels[rows]
        return Batch(self._images[rows], labels)
