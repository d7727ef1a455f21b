"""Feature spaces: what turns images into the numbers that scores compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor


class Backbone(ABC):
    """A fixed network that gives features and class logits of images in one pass.

    name: stands in the name of every score measured with it.
    weights_hash: 16 hex digits over the weights.   resizer: how images get to its input size.
    extras: further facts for the protocol.   batch_size: images that a pass takes at once.
    n_classes: of the data set's own classes that the logits stand for, None for other logits.
    """

    name: str
    weights_hash: str
    resizer: str
    extras: dict[str, Any]
    batch_size: int
    n_classes: int | None = None

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @torch.no_grad()
    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, d) and logits (N, K), float32 on the backbone's device.

        images: uint8 (N, C, H, W) of any device, at their own size.
        """
        assert images.dtype == torch.uint8, images.dtype
        # a lower precision around the call must not reach the score
        with torch.autocast(self.device.type, enabled=False):
            return self.extract(images.to(self.device))

    @abstractmethod
    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`features` of images that are already on the device."""
