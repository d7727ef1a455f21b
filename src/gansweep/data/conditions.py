"""What a generator is asked for when it is sampled: rows of real data."""

from __future__ import annotations

import torch

from gansweep.data.batch import Batch, joined
from gansweep.data.source import DataSource

ROWS_KEPT = 4096


class Conditions:
    """Real rows whose labels and sources say what samples should be.

    A generator without conditions reads only how many there are; a conditional one is asked for
    the labels in the proportions of the training set.
    """

    def __init__(self, data: DataSource) -> None:
        self._rows = joined(list(data.batches("train", limit=ROWS_KEPT)))

    def draw(self, n: int, rng: torch.Generator) -> Batch:
        """n rows, drawn with replacement by the CPU generator `rng`."""
        rows = torch.randint(len(self._rows), (n,), generator=rng)
        return self._rows.each(lambda tensor: tensor[rows])
