"""What a generator is asked for when it is sampled: labels, and rows of real data."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gansweep.data.batch import Batch, joined
from gansweep.data.source import DataSource

ROWS_KEPT = 4096  # of images and sources, which take memory; the labels are all kept


class Conditions:
    """Labels and real rows that say what samples should be.

    A generator without conditions reads only how many there are. One that follows labels is asked
    for those of the whole training split, one that starts from a source or an image for a fixed
    random choice of them. Of a larger split the label of a row is not that of its image.
    """

    def __init__(self, data: DataSource) -> None:
        self._rows = joined(list(data.batches("train", limit=ROWS_KEPT)))
        self._labels = data.labels_of("train")
        self._classes = None if self._labels is None else self._labels.unique()

    def draw(self, n: int, rng: torch.Generator, balanced: bool = False) -> Batch:
        """n rows, drawn with replacement by the CPU generator `rng`.

        balanced: each class that the training split holds is as likely as any other; else as
            likely as in the split.
        """
        # the labels from a copy: what is drawn from `rng` afterwards does not depend on them
        own = torch.Generator()
        own.set_state(rng.get_state())
        rows = torch.randint(len(self._rows), (n,), generator=rng)
        batch = self._rows.each(lambda tensor: tensor[rows])
        return replace(batch, labels=self._labels_of(n, own, balanced))

    def _labels_of(self, n: int, rng: torch.Generator, balanced: bool) -> Tensor | None:
        among = self._classes if balanced else self._labels
        return None if among is None else among[torch.randint(len(among), (n,), generator=rng)]
