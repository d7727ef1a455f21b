"""A generator that changes an image through residual blocks.

Source: Johnson et al. 2016, arXiv:1603.08155, as in Zhu et al. 2017, arXiv:1703.10593, Appendix
7.2: c7s1-64, d128, d256, R256 nine times (six below 256 pixels), u128, u64, c7s1-3; instance
normalisation, reflection padding, weights from N(0, 0.02).
"""

from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Range, Width
from gansweep.errors import UserError
from gansweep.layers.dcgan import initialize
from gansweep.layers.normalization import NormName, normalization

LARGE_SIDE = 256
BLOCKS, LARGE_BLOCKS = 6, 9


class ResidualBlock(nn.Module):
    """(N, W, H, W) -> the same shape: the maps plus two normalised 3x3 convolutions of them."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        bias = norm != "batch"
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias),
                       normalization(norm, width), nn.ReLU()]  # fmt: skip
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.layers(maps)


class ResNet(nn.Module):
    """Sources (N, C', H, W) -> (N, C, H, W) in [-1, 1].

    width: channels at the full size, doubled at each halving.
    blocks: residual blocks; None for 9 from 256 pixels on, else 6.
    halvings: how often the map is halved before the blocks, and doubled after them.
    """

    def __init__(
        self,
        source_shape: tuple[int, ...],
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        norm: NormName = "instance",
        blocks: Annotated[int, Range(0, 1_000)] | None = None,
        halvings: Annotated[int, Range(0, 12)] = 2,
    ) -> None:
        super().__init__()
        sides = source_shape[1:]
        if any(side % (1 << halvings) or side >> halvings < 2 for side in sides):
            raise UserError(
                f"Images of {sides[0]}x{sides[1]} pixels cannot be halved {halvings} times to maps "
                f"of 2 or more. Use a data.image_size that is a multiple of {1 << halvings}, 8 "
                "pixels at least, or a smaller model.generator.halvings."
            )
        if blocks is None:
            blocks = LARGE_BLOCKS if min(sides) >= LARGE_SIDE else BLOCKS
        bias = norm != "batch"
        widths = [width << level for level in range(halvings + 1)]
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(source_shape[0], width, 7, bias=bias),
            normalization(norm, width),
            nn.ReLU(),
        ]
        for n_in, n_out in pairwise(widths):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=bias),
                       normalization(norm, n_out), nn.ReLU()]  # fmt: skip
        layers += [ResidualBlock(widths[-1], norm) for _ in range(blocks)]
        for n_in, n_out in pairwise(widths[::-1]):
            layers += [
                nn.ConvTranspose2d(n_in, n_out, 3, 2, padding=1, output_padding=1, bias=bias),
                normalization(norm, n_out),
                nn.ReLU(),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, sample_shape[0], 7)]
        self.layers = nn.Sequential(*layers)
        initialize(self)

    def forward(self, source: Tensor) -> Tensor:
        return torch.tanh(self.layers(source))
