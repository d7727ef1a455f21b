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
        self._set(joined(list(data.batches("train", limit=ROWS_KEPT))), data.labels_of("train"))

    @classmethod
    def blank(cls, shape: tuple[int, ...]) -> "Conditions":
        """Rows of zeros without labels, for a generator that is told its class and takes nothing
        else of the data. The noise drawn after them is that after real rows."""
        made = cls.__new__(cls)
        made._set(Batch(torch.zeros(1, *shape)), None)
        return made

    def _set(self, rows: Batch, labels: torch.Tensor | None) -> None:
        self._rows, self._labels = rows, labels
        self._classes = None if labels is None else labels.unique()

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
