"""The contrast of an image before it is coded: its mean taken away, its spread made that of all."""

from typing import Annotated

from torch import Tensor, nn

from gansweep.config.ranges import Range
from gansweep.errors import UserError

Level = Annotated[float, Range(-1e6, 1e6)]
LEAST_SPREAD = 1e-4  # of pixels: an image of one grey stays one, whatever its mean is rounded to


class ContrastNormalization(nn.Module):
    """(N, C, H, W) -> the same shape: (x - mean) / mean |x - mean| of each image's pixels, then
    `lowest` as 0 and `highest` as 1, beyond which images unlike those of training may lie.

    A factor or a shift of all pixels of an image changes nothing.
    lowest, highest: of the training images, so divided.
    Source: Ruff et al. 2018 (Deep SVDD), ICML, Section 4.2, with the authors' code (scale "l1").
    """

    def __init__(self, *, lowest: Level, highest: Level) -> None:
        super().__init__()
        if lowest >= highest:
            raise UserError(
                f"model.contrast.lowest={lowest:g} is not below model.contrast.highest={highest:g}."
            )
        self.lowest = lowest
        self.highest = highest

    def forward(self, images: Tensor) -> Tensor:
        mean, spread = _mean_and_spread(images)
        return ((images - mean) / spread - self.lowest) / (self.highest - self.lowest)

    def undone(self, levels: Tensor, images: Tensor) -> Tensor:
        """What `forward` makes these levels of, with the mean and the spread of `images`."""
        mean, spread = _mean_and_spread(images)
        return (levels * (self.highest - self.lowest) + self.lowest) * spread + mean


def _mean_and_spread(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1, 1, 1) each."""
    mean = images.mean((1, 2, 3), keepdim=True)
    spread = (images - mean).abs().mean((1, 2, 3), keepdim=True)
    return mean, spread.clamp(min=LEAST_SPREAD)
