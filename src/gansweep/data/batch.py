"""What every data set hands to every model."""

from __future__ import annotations

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
        return Batch(*(t if t is None else t.to(device) for t in self._tensors()))

    def __getitem__(self, rows: slice) -> Batch:
        return Batch(*(t if t is None else t[rows] for t in self._tensors()))

    def _tensors(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        return self.images, self.labels, self.source
