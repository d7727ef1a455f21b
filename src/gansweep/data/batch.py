"""What every data set hands to every model."""

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
    source: what a translating generator starts from, (N, C', H, W) in [-1, 1], or None.
    labelled: as many samples with labels, where the data tell only a few; `labels` is None then.
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
        """The batch whose every tensor is `change` of this one's."""
        labels, source, labelled = self.labels, self.source, self.labelled
        return Batch(
            change(self.images),
            None if labels is None else change(labels),
            None if source is None else change(source),
            None if labelled is None else labelled.each(change),
        )


def joined(parts: Sequence[Batch]) -> Batch:
    """One batch of the rows of several, in their order; labels and sources that all have."""
    labels = [part.labels for part in parts if part.labels is not None]
    sources = [part.source for part in parts if part.source is not None]
    return Batch(
        torch.cat([part.images for part in parts]),
        torch.cat(labels) if len(labels) == len(parts) else None,
        torch.cat(sources) if len(sources) == len(parts) else None,
    )
