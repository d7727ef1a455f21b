"""The batch that every data set gives to every model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class Batch:
    """One batch of real data.

    images: (N, C, H, W) float in [-1, 1], or (N, D) float points of a toy distribution.
    labels: (N,) int64 class numbers, or None.
    source: (N, C', H, W) in [-1, 1], the input of a generator that translates images, or None.
    labelled: N labelled samples if only a few labels are known (`labels` is None then), or None.
    """

    images: Tensor
    labels: Tensor | None = None
    source: Tensor | None = None
    labelled: Batch | None = None

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        return self.each(lambda tensor: tensor.to(device))

    def __getitem__(self, rows: slice) -> Batch:
        return self.each(lambda tensor: tensor[rows])

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """A batch with `change` applied to every tensor."""
        labels, source = (x if x is None else change(x) for x in (self.labels, self.source))
        labelled = None if self.labelled is None else self.labelled.each(change)
        return Batch(change(self.images), labels, source, labelled)


def widened(batch: Batch, times: int, together: int = 1) -> Batch:
    """Every row `times` times.

    together: neighbours that stay neighbours, N being a multiple of it: (a, b) twice is (a, b, a,
        b) for 2. So the slices of a batch, widened, are the slices of the widened batch.
    """
    if times == 1:
        return batch
    return batch.each(
        lambda rows: rows.unflatten(0, (-1, together)).repeat_interleave(times, 0).flatten(0, 1)
    )


def joined(parts: Sequence[Batch]) -> Batch:
    """Concatenate batches. Labels and sources are kept only if all batches have them."""
    labels = [part.labels for part in parts if part.labels is not None]
    sources = [part.source for part in parts if part.source is not None]
    return Batch(
        torch.cat([part.images for part in parts]),
        torch.cat(labels) if len(labels) == len(parts) else None,
        torch.cat(sources) if len(sources) == len(parts) else None,
    )
