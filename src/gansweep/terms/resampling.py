"""Reading images at places between their pixels, differentiable any number of times.

The result is a linear map of the image, so that its gradient is the transposed map and the gradient
of that the map again. Older releases of PyTorch differentiate `grid_sample` once, and a penalty
on a gradient through an augmentation needs more.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def read(images: Tensor, places: Tensor) -> Tensor:
    """(N, C, H, W) at places (N, H', W', 2) -> (N, C, H', W'), bilinear, borders reflected.

    places: (x, y) in [-1, 1] between the outer edges; no gradient reaches them.
    """
    result: Tensor = _Read.apply(images, places)
    return result


def _read(images: Tensor, places: Tensor) -> Tensor:
    return F.grid_sample(images, places, padding_mode="reflection", align_corners=False)


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = images.shape
        return _read(images, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return _Spread.apply(gradients[0], places, ctx.size), None


class _Spread(torch.autograd.Function):
    """The transposed map: each value goes to the pixels that it was read from."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor, size: torch.Size) -> Tensor:
        ctx.save_for_backward(places)
        with torch.enable_grad():
            images = values.new_zeros(size, requires_grad=True)
            (spread,) = torch.autograd.grad(_read(images, places), images, values)
        return spread

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return _Read.apply(gradients[0], places), None, None
