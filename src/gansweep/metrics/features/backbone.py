"""Feature spaces: what turns images into the numbers that scores compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gansweep.errors import UserError


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
        K is 0 for a network that predicts no classes.
        Raises: ValueError for images of another type or shape.
        """
        _require_uint8(images)
        # what the training computes in must not reach the score
        with torch.autocast(self.device.type, enabled=False), full_precision():
            return self.extract(images.to(self.device))

    @abstractmethod
    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`features` of images that are already on the device."""


@contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 in float32: no TF32 and no bfloat16 inside, the settings as before after.

    Within it torch's older switches (`allow_tf32`, `get_float32_matmul_precision`) cannot be read.
    """
    if not hasattr(torch.backends.cudnn, "conv"):  # before torch 2.9
        with _full_precision_by_the_older_switches():
            yield
        return
    backends: Any = torch.backends
    operations = (
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.mkldnn.matmul,
        backends.mkldnn.conv,
    )
    before = [operation.fp32_precision for operation in operations]
    try:
        for operation in operations:
            operation.fp32_precision = "ieee"
        yield
    finally:
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision


@contextmanager
def _full_precision_by_the_older_switches() -> Iterator[None]:
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


def as_rgb(images: Tensor) -> Tensor:
    """Images (N, 3, H, W): grey ones with their channel three times.

    Raises: UserError for other numbers of channels.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise UserError(
            f"The data's images have {channels} channels, and this feature space takes colour (3) "
            "or grey ones (1). Labelled images can be scored by metrics=classifier; metrics=none "
            "trains without scores."
        )
    return images.expand(-1, 3, -1, -1)


def _require_uint8(images: Tensor) -> None:
    if images.dtype == torch.uint8 and images.ndim == 4:
        return
    low, high = (f"{v:g}" for v in images.aminmax()) if images.numel() else ("none", "none")
    raise ValueError(
        "Images are measured as a file would hold them, uint8 (N, C, H, W) in 0..255, but these "
        f"are {str(images.dtype).removeprefix('torch.')} {tuple(images.shape)} from {low} to "
        f"{high}. Turn images in [-1, 1] into such with gansweep.metrics.panel.to_uint8."
    )
