"""An encoder and a decoder with a bridge between them at every size.

Source: Isola et al. 2017, arXiv:1611.07004, Appendix 6.1.1; at 256x256 this is its U-Net.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Width
from gansweep.errors import UserError
from gansweep.layers.dcgan import LEAK, initialize
from gansweep.layers.normalization import NormName, normalization

DEEPEST = 8  # halvings, 256 pixels down to one
WIDEST = 8  # times `width`
NOISY = 3  # decoder levels with dropout, from the smallest map on
DROPPED = 0.5


def _halvings_of(height: int, width: int) -> int:
    """How often both sides can be halved, 8 times at most: 3 at 8x8, 2 at 28x28, 8 at 256x256.

    Raises: UserError where a side is odd.
    """
    if height % 2 or width % 2:
        raise UserError(
            f"A U-Net halves the image, and a side of {height}x{width} pixels is odd. Use an "
            "even data.image_size, at best a power of two."
        )
    both = math.gcd(height, width)
    return min(DEEPEST, (both & -both).bit_length() - 1)


class UNet(nn.Module):
    """Sources (N, C', H, W) and dropout's uniform noise (N, n_dropped) or None -> (N, C, H, W).

    width: channels at half the image's side, doubled at each further halving up to eight times.
    n_dropped: the features that dropout may drop, in the smallest three maps of the decoder except
        the image itself: those whose noise is below 1/2; without noise none.
    """

    def __init__(
        self,
        source_shape: tuple[int, ...],
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        norm: NormName = "batch",
    ) -> None:
        super().__init__()
        height, across = source_shape[1:]
        halvings = _halvings_of(height, across)
        widths = [width * min(WIDEST, 1 << level) for level in range(halvings)]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, (n_in, n_out) in enumerate(pairwise([source_shape[0], *widths])):
            # neither the image nor the innermost map, one pixel at best, is normalised
            inner = 0 < level < halvings - 1
            self.down.append(_convolution(nn.Conv2d, n_in, n_out, norm if inner else "none"))
        self._dropped: list[tuple[int, int, int]] = []
        for level in reversed(range(1, halvings)):
            n_in = widths[level] * (1 if level == halvings - 1 else 2)
            self.up.append(_convolution(nn.ConvTranspose2d, n_in, widths[level - 1], norm))
            if len(self._dropped) < NOISY:
                self._dropped.append((widths[level - 1], height >> level, across >> level))
        n_in = widths[0] * (1 if halvings == 1 else 2)
        self.to_image = nn.ConvTranspose2d(n_in, sample_shape[0], 4, stride=2, padding=1)
        self.n_dropped = sum(math.prod(shape) for shape in self._dropped)
        initialize(self)

    def forward(self, source: Tensor, noise: Tensor | None = None) -> Tensor:
        """Down to the smallest map, and up again beside the maps of the way down."""
        maps, bridges = source, []
        for level, layer in enumerate(self.down):
            maps = layer(maps if level == 0 else F.leaky_relu(maps, LEAK))
            bridges.append(maps)
        maps = bridges.pop()
        masks = self._masks(noise)
        for level, layer in enumerate(self.up):
            maps = layer(F.relu(maps))
            if level < len(masks):
                maps = maps * masks[level]
            maps = torch.cat([maps, bridges.pop()], dim=1)
        return torch.tanh(self.to_image(F.relu(maps)))

    def _masks(self, noise: Tensor | None) -> list[Tensor]:
        """Factors 0 or 2 for the maps that dropout acts on."""
        if noise is None:
            return []
        parts = noise.split([math.prod(shape) for shape in self._dropped], dim=1)
        return [
            (part >= DROPPED).to(part.dtype).div(1 - DROPPED).unflatten(1, shape)
            for part, shape in zip(parts, self._dropped, strict=True)
        ]


def _convolution(kind: type[nn.Module], n_in: int, n_out: int, norm: str) -> nn.Sequential:
    """Halves or doubles the map; a normalisation has a bias of its own."""
    layer = kind(n_in, n_out, 4, stride=2, padding=1, bias=norm != "batch")
    return nn.Sequential(layer, normalization(norm, n_out))
