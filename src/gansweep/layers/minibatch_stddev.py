"""The spread of a batch as one more feature map, by which D sees a generator that repeats itself.

Source: Karras et al. 2018, arXiv:1710.10196, Section 3.
"""

import math

import torch
from torch import Tensor, nn

from gansweep.errors import UserError


class MinibatchStddev(nn.Module):
    """(N, C, H, W) -> (N, C + 1, H, W).

    The standard deviation of each feature over the samples of a group, averaged over features and
    pixels, is a constant map that every sample of the group is given.
    Departure: a group is `group` neighbours of the batch, in the authors' code every N / group-th
    sample: so a process or a slice that holds whole groups is exact.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, maps: Tensor) -> Tensor:
        n, channels, height, width = maps.shape
        self.check(n)
        grouped = maps.reshape(-1, self.group, channels, height, width)
        spread = torch.sqrt(grouped.var(1, correction=0) + 1e-8).mean((1, 2, 3))
        spread = spread.repeat_interleave(self.group).to(maps.dtype)
        return torch.cat([maps, spread.reshape(n, 1, 1, 1).expand(n, 1, height, width)], 1)

    def check(self, n: int) -> None:
        """Raises: UserError where n samples cannot be cut into groups."""
        if n % self.group:
            whole = -(-n // self.group) * self.group
            raise UserError(
                f"{n} samples cannot be cut into groups of {self.group}, as minibatch standard "
                f"deviation needs. Use batch_size={whole} (times the devices, times "
                f"accumulate), or model.discriminator.group={math.gcd(n, self.group)}."
            )
