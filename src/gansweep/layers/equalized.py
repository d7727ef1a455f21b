"""Layers whose weights all learn at the same speed: the equalised learning rate.

The stored weight is standard normal and is multiplied by gain / sqrt(fan-in) at every use, so that
Adam, whose steps do not depend on the size of a gradient, moves every layer by the same share.
Source: Karras et al. 2018, arXiv:1710.10196, Section 4.1; the multiplier of the learning rate:
Karras et al. 2019, arXiv:1812.04948, Appendix C.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.2
GAIN = math.sqrt(2)


class Linear(nn.Module):
    """(N, n_in) -> (N, n_out).

    gain: spread of the outputs for inputs of spread 1, before the bias.   bias: its first value.
    lr_multiplier: how fast weight and bias learn, relative to the other layers.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        gain: float = GAIN,
        bias: float = 0.0,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((n_out,), bias / lr_multiplier))
        self.scale = gain / math.sqrt(n_in) * lr_multiplier
        self.lr_multiplier = lr_multiplier

    def forward(self, features: Tensor) -> Tensor:
        return F.linear(features, self.weight * self.scale, self.bias * self.lr_multiplier)


class Conv2d(nn.Module):
    """(N, n_in, H, W) -> (N, n_out, H', W'); H' = H and W' = W at stride 1 with padding=None."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        gain: float = GAIN,
        bias: bool = True,
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        self.scale = gain / math.sqrt(n_in * kernel * kernel)
        self.stride = stride
        self.padding = kernel // 2 if padding is None else padding

    def forward(self, maps: Tensor) -> Tensor:
        weight = self.weight * self.scale
        return F.conv2d(maps, weight, self.bias, self.stride, self.padding)


def pixel_norm(features: Tensor) -> Tensor:
    """Each pixel's features (N, C, ...) over their root mean square, which becomes 1.

    Source: Karras et al. 2018, Section 4.2.
    """
    return features * torch.rsqrt(features.square().mean(1, keepdim=True) + 1e-8)


def leaky(features: Tensor) -> Tensor:
    return F.leaky_relu(features, LEAK)
