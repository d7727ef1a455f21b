"""A GAN whose generator is also paid for different images of different latents."""

from typing import Any

from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.gan import GAN
from gansweep.models.player_loss import PlayerLoss
from gansweep.terms.clock import Clock


class ModeSeekingGAN(GAN):
    """L_G = the game's own + diversity * E|z_1 - z_2| / E|G(z_1) - G(z_2)|.

    diversity: weight of the ratio, the paper's lambda_ms, 0 or more.
    Neighbours in the batch are the pairs. Source: Mao et al. 2019, arXiv:1903.05628, Eq. 3.
    """

    sliceable = False  # a ratio of two means is no mean over samples

    def __init__(self, *, diversity: float, **game: Any) -> None:
        if diversity < 0:
            raise UserError(f"model.diversity={diversity} would reward collapse. Use 1, or 0.")
        super().__init__(**game)
        self.diversity = diversity

    def generator_loss(
        self, batch: Batch, drawn: dict[str, Tensor], fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        found = super().generator_loss(batch, drawn, fakes, clock)
        z = drawn["z"]
        between_images = (fakes[1:] - fakes[:-1]).abs().mean()
        ratio = (z[1:] - z[:-1]).abs().mean() / (between_images + 1e-5)
        found.loss = found.loss + self.diversity * ratio
        found.parts["diversity"] = ratio.detach()  # a curve of the run
        return found
