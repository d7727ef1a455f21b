"""What every data set hands to every model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class Batch:
    """One batch of real data.

    images: (N, C, H, W) float in [-1, 1], or (N, D) float points of a toy distribution.
    labels: (N,) int64 class numbers, or None.
    source: what a translating generator starts from, (N, C', H, W) in [-1, 1], or None.
    """

    images: Tensor
    labels: Tensor | None = None
    source: Tensor | None = None

    def __len__(self) -> int:
        return self.images.shape[0]

    def to(self, device: torch.device | str) -> Batch:
        return self._each(lambda tensor: tensor.to(device))

    def __getitem__(self, rows: slice) -> Batch:
        return self._each(lambda tensor: tensor[rows])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        labels, source = self.labels, self.source
        return Batch(
            change(self.images),
            None if labels is None else change(labels),
            None if source is None else change(source),
        )
