"""The conditions of generated samples: labels, and rows of real data."""

from dataclasses import replace

import torch

from gansweep.data.batch import Batch, joined
from gansweep.data.source import DataSource

ROWS_KEPT = 4096  # images and sources, which take memory; all labels are kept


class Conditions:
    """Labels and real rows from the training split, as conditions for generated samples.

    Labels are drawn from the whole split, images and sources from a fixed random subset: the label
    of a row need not be the label of its image.
    """

    def __init__(self, data: DataSource) -> None:
        self._rows = joined(list(data.batches("train", limit=ROWS_KEPT)))
        self._labels = data.labels_of("train")
        self._classes = None if self._labels is None else self._labels.unique()

    def draw(self, n: int, rng: torch.Generator, balanced: bool = False) -> Batch:
        """n rows, drawn with replacement by the CPU generator `rng`.

        balanced: all classes have the same probability; else that of the training split.
        """
        # draw labels from a copy, so that later draws from `rng` do not depend on them
        own = torch.Generator()
        own.set_state(rng.get_state())
        rows = torch.randint(len(self._rows), (n,), generator=rng)
        batch = self._rows.each(lambda tensor: tensor[rows])
        among = self._classes if balanced else self._labels
        labels = None if among is None else among[torch.randint(len(among), (n,), generator=own)]
        return replace(batch, labels=labels)
