"""Feature spaces: networks that turn images into the numbers that scores compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from gansweep.errors import UserError


class Backbone(ABC):
    """A fixed network that computes features and class logits of images in one pass.

    name: part of the name of every score measured with it.
    weights_hash: 16 hex digits over the weights.   resizer: how images are resized to its input.
    extras: more entries for the protocol.   batch_size: images per pass.
    n_classes: the number of the data set's own classes if the logits predict them, else None.
    """

    name: str
    weights_hash: str
    resizer: str
    extras: Mapping[str, Any] = MappingProxyType({})
    batch_size: int
    n_classes: int | None = None

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @torch.no_grad()
    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, d) and logits (N, K), float32 on the backbone's device.

        images: uint8 (N, C, H, W) on any device, not resized.
        K is 0 for a network that predicts no classes.
        Raises: ValueError for images of another type or shape.
        """
        _require_uint8(images)
        # the precision of the training must not affect the score
        with torch.autocast(self.device.type, enabled=False), full_precision():
            return self.extract(images.to(self.device))

    @abstractmethod
    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `features`, for images that are already on the device."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Inside, float32 products use no TF32 and no bfloat16. Afterwards the settings are restored.

    Inside, torch's older switches (`allow_tf32`, `get_float32_matmul_precision`) cannot be read.
    """
    backends: Any = torch.backends
    with ExitStack() as restored:
        if hasattr(backends.cudnn, "conv"):
            matmuls = (backends.cuda.matmul, backends.mkldnn.matmul)
            for operation in (*matmuls, backends.cudnn.conv, backends.mkldnn.conv):
                restored.callback(setattr, operation, "fp32_precision", operation.fp32_precision)
                operation.fp32_precision = "ieee"
        else:  # before torch 2.9
            matmul, convolution = torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32
            restored.callback(torch.set_float32_matmul_precision, matmul)
            restored.callback(setattr, backends.cudnn, "allow_tf32", convolution)
            torch.set_float32_matmul_precision("highest")
            backends.cudnn.allow_tf32 = False
        yield


def as_rgb(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as (N, 3, H, W); a grey channel is repeated three times.

    Raises: UserError for other numbers of channels than 1 and 3.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise UserError(
            f"The data's images have {channels} channels, but this feature space takes colour (3) "
            "or grey images (1). Use metrics=classifier for labelled images, or metrics=none to "
            "train without scores."
        )
    return images.expand(-1, 3, -1, -1)


def _require_uint8(images: Tensor) -> None:
    if images.dtype == torch.uint8 and images.ndim == 4:
        return
    low, high = (f"{v:g}" for v in images.aminmax()) if images.numel() else ("none", "none")
    raise ValueError(
        "A feature space takes uint8 images (N, C, H, W) in 0..255, but these are "
        f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)} from {low} to {high}. "
        "Convert images in [-1, 1] with gansweep.metrics.panel.to_uint8."
    )
