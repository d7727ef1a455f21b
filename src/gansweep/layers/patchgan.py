"""A discriminator that judges patches of an image, each by itself.

Source: Isola et al. 2017, arXiv:1611.07004, Appendix 6.1.2: C64-C128-C256-C512, 4x4 convolutions,
leaky ReLU 0.2, no normalisation in the first layer, weights from N(0, 0.02), sees 70x70 pixels.
"""

from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Range, Width
from gansweep.errors import UserError
from gansweep.layers.dcgan import LEAK, initialize
from gansweep.layers.normalization import NormName, normalization

PATCHES = {1: 16, 2: 34, 3: 70}  # halvings -> the side of the patch that one score sees
WIDEST = 8  # times `width`


def largest_patch(side: int) -> int:
    """Halvings whose patch fits into the image: 3 from 70 pixels on, 2 from 34 on, else 1."""
    return max((k for k, patch in PATCHES.items() if patch <= side), default=1)


class PatchGAN(nn.Module):
    """(N, C, H, W) -> (N, 1, h, w) unbounded scores, one for each patch.

    width: channels at half the image's side, doubled at each further halving up to eight times.
    halvings: see PATCHES; None takes the largest patch that the image holds. Patches reach beyond
        images below 16 pixels (ours).
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        norm: NormName,
        halvings: Annotated[int, Range(0, 12)] | None = None,
    ) -> None:
        super().__init__()
        side = min(sample_shape[1:])
        halvings = largest_patch(side) if halvings is None else halvings
        if halvings not in PATCHES or side >> halvings < 3:
            raise UserError(
                f"model.discriminator.halvings={halvings} does not fit images of side {side}: use "
                f"null, which takes {largest_patch(side)}, and a side of 8 pixels or more."
            )
        widths = [width * min(WIDEST, 1 << level) for level in range(halvings + 1)]
        bias = norm != "batch"  # which has a bias of its own
        layers: list[nn.Module] = [
            nn.Conv2d(sample_shape[0], widths[0], 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
        ]
        for level, (n_in, n_out) in enumerate(pairwise(widths), start=1):
            stride = 2 if level < halvings else 1
            layers += [
                nn.Conv2d(n_in, n_out, 4, stride=stride, padding=1, bias=bias),
                normalization(norm, n_out),
                nn.LeakyReLU(LEAK),
            ]
        layers.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)
        initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def mean_score(patches: Tensor) -> Tensor:
    """(N, 1, h, w) -> (N,): what a PatchGAN says of a whole image."""
    return torch.mean(patches, dim=(1, 2, 3))
