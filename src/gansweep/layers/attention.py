"""Self-attention over the places of a feature map.

Source: Zhang et al. 2019, arXiv:1805.08318, Section 3, in the authors' published code: keys and
values are pooled to half the side (2x2 maxima), and values have C/2 channels until a last 1x1
convolution; no biases, and the products are not scaled before the softmax.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.errors import UserError

QUERY_REDUCTION, VALUE_REDUCTION = 8, 2


class SelfAttention(nn.Module):
    """(N, C, H, W) -> x + gamma o(x), the same shape; gamma is learned and starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // QUERY_REDUCTION)
        n_values = max(1, channels // VALUE_REDUCTION)
        self.query = _pointwise(channels, inner)
        self.key = _pointwise(channels, inner)
        self.value = _pointwise(channels, n_values)
        self.output = _pointwise(n_values, channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        queries = self.query(maps).flatten(2)  # (N, C/8, HW)
        keys = F.max_pool2d(self.key(maps), 2).flatten(2)  # (N, C/8, HW/4)
        values = F.max_pool2d(self.value(maps), 2).flatten(2)  # (N, C/2, HW/4)
        # written out: a gradient penalty differentiates it twice, which no fused kernel allows
        shares = torch.softmax(queries.transpose(1, 2) @ keys, dim=2)  # (N, HW, HW/4)
        attended = (values @ shares.transpose(1, 2)).unflatten(2, maps.shape[2:])
        return maps + self.gamma * self.output(attended)


def attending_side(attention: int, sides: Sequence[int]) -> int:
    """The largest of the maps' `sides` that is no larger than `attention`, which attends.

    Raises: UserError where all are larger.
    """
    if attention < min(sides):
        raise UserError(
            f"attention={attention} is smaller than every map of this network, whose sides are "
            f"{', '.join(map(str, sides))}. Use attention={min(sides)} or more, or attention=null "
            "for none."
        )
    return max(side for side in sides if side <= attention)


def _pointwise(n_in: int, n_out: int) -> nn.Conv2d:
    layer = nn.Conv2d(n_in, n_out, 1, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
