"""Batch normalisation whose gain and bias follow a condition.

The statistics are those of the whole batch, whatever its classes.
Source: Dumoulin et al. 2017, arXiv:1610.07629, Eq. 5 (gain and bias of a style); de Vries et al.
2017, arXiv:1707.00683, Section 3 (predicted from a code); both in the generators of Miyato &
Koyama 2018, arXiv:1802.05637, and of Brock et al. 2019, arXiv:1809.11096.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConditionalBatchNorm2d(nn.Module):
    """(N, channels, H, W) and labels (N,) int64 -> the same shape; gain 1 and bias 0 at first."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        # tables, not nn.Embedding: spectral normalisation must leave gains and biases alone
        self.gain = nn.Parameter(torch.ones(n_classes, channels))
        self.bias = nn.Parameter(torch.zeros(n_classes, channels))

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        gain, bias = F.embedding(labels, self.gain), F.embedding(labels, self.bias)
        return _modulated(self.norm(maps), gain, bias)


class CodeBatchNorm2d(nn.Module):
    """(N, channels, H, W) and codes (N, code_dim) -> the same shape.

    The gain is 1 and the bias 0, each plus a linear map of the code without a constant.
    """

    def __init__(self, channels: int, code_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(code_dim, channels, bias=False)
        self.bias = nn.Linear(code_dim, channels, bias=False)

    def forward(self, maps: Tensor, code: Tensor) -> Tensor:
        return _modulated(self.norm(maps), 1 + self.gain(code), self.bias(code))


def _modulated(maps: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    return torch.addcmul(bias[:, :, None, None], maps, gain[:, :, None, None])
