"""Residual blocks that double or halve a feature map.

Source: Gulrajani et al. 2017, arXiv:1704.00028, and Miyato et al. 2018, arXiv:1802.05957, in the
form of the latter: pre-activation, nearest-neighbour doubling, mean pooling, a learned
1x1 shortcut wherever the size or the number of channels changes, Glorot's uniform initialisation
with a gain of sqrt(2) on the residual path.
"""

import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.layers.normalization import NormName, normalization

Norm = NormName | Callable[[int], nn.Module]  # a kind of normalization(), or what makes the layer


def convolution(n_in: int, n_out: int, kernel: int, *, gain: float = 1.0) -> nn.Conv2d:
    """A convolution that keeps the map's size, Glorot's uniform weights times gain, bias 0."""
    layer = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2)
    nn.init.xavier_uniform_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class UpBlock(nn.Module):
    """(N, n_in, H, W) -> (N, n_out, 2H, 2W).

    condition: what the normalisations take beside the maps, as the labels of conditional ones.
    """

    def __init__(self, n_in: int, n_out: int, *, norm: Norm) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm_layer(norm, n_in), _norm_layer(norm, n_out)
        self.conv1 = convolution(n_in, n_out, 3, gain=math.sqrt(2))
        self.conv2 = convolution(n_out, n_out, 3, gain=math.sqrt(2))
        self.shortcut = convolution(n_in, n_out, 1)

    def forward(self, maps: Tensor, *condition: Tensor) -> Tensor:
        residual = self.conv1(_doubled(F.relu(self.norm1(maps, *condition))))
        residual = self.conv2(F.relu(self.norm2(residual, *condition)))
        # a 1x1 convolution and nearest-neighbour doubling commute: four times less work this way
        return residual + _doubled(self.shortcut(maps))


class DownBlock(nn.Module):
    """(N, n_in, H, W) -> (N, n_out, H/2, W/2), or (N, n_out, H, W) with halve=False.

    first: the block that meets the image, which is neither normalised nor rectified.
    wide: n_out channels between its convolutions, as in Zhang et al. 2019, arXiv:1805.08318, and
        Brock et al. 2019, arXiv:1809.11096, where n_in are the rule.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        norm: str,
        halve: bool = True,
        first: bool = False,
        wide: bool = False,
    ) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        n_hidden = n_out if first or wide else n_in
        self.norm1 = nn.Identity() if first else normalization(norm, n_in)
        self.norm2 = nn.Identity() if first else normalization(norm, n_hidden)
        self.conv1 = convolution(n_in, n_hidden, 3, gain=math.sqrt(2))
        self.conv2 = convolution(n_hidden, n_out, 3, gain=math.sqrt(2))
        learned = halve or n_in != n_out
        self.shortcut = convolution(n_in, n_out, 1) if learned else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        residual = maps if self.first else F.relu(self.norm1(maps))
        residual = self.conv2(F.relu(self.norm2(self.conv1(residual))))
        if not self.halve:
            return residual + self.shortcut(maps)
        # pooling commutes with a 1x1 convolution: four times less work in this order
        return F.avg_pool2d(residual, 2) + self.shortcut(F.avg_pool2d(maps, 2))


def _norm_layer(norm: Norm, channels: int) -> nn.Module:
    return normalization(norm, channels) if isinstance(norm, str) else norm(channels)


def _doubled(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0, mode="nearest")
