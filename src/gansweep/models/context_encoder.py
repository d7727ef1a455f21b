"""The context encoder: what is missing in the middle of an image, from what surrounds it.

Source: Pathak et al. 2016, arXiv:1604.07379, Sections 3.2 and 4; constants of the released code.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Share, Weight
from gansweep.data.batch import Batch
from gansweep.data.tasks import hole_span
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating
from gansweep.models.player_loss import Drawn, PlayerLoss, Scores
from gansweep.models.translation import Translator, source_of
from gansweep.terms.clock import Clock
from gansweep.terms.full_precision import in_full
from gansweep.terms.losses import Loss


class ContextEncoder(Translator):
    """G: image with a hole -> its middle half, and D: middle half -> (N,) scores.

    The middle reaches beyond the hole of the `hole` task by a 32nd of the side, 4 pixels of 128:
    there G sees the truth and must match it, so that the filled hole fits its surroundings.
    generator, discriminator: callables that build the networks, for a whole image and its middle.
    loss: between D and G.
    adversarial_weight: of that loss for G; the squared difference has the rest of 1.
    overlap_weight: how much more a squared difference counts where the truth is seen.
    """

    needs_pairs = True
    makes_without_noise = True

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: Loss,
        adversarial_weight: Share,
        overlap_weight: Weight,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        channels, height, width = self.sample_shape
        if self.source_shape != self.sample_shape:
            raise UserError(
                f"The context encoder fills holes, and here an image of {self.source_shape} is to "
                f"become one of {self.sample_shape}. Use data=paired data.task=hole."
            )
        self.loss = loss
        self.sliceable = "accumulate" in loss.combines_with
        self.adversarial_weight = adversarial_weight
        self.middle = tuple(slice(s // 4, s // 4 + s // 2) for s in (height, width))
        self.hole = hole_span(height), hole_span(width)
        self.generator = generator(sample_shape=self.sample_shape)
        self.discriminator = discriminator(sample_shape=(channels, height // 2, width // 2))
        weights = torch.full(self.sample_shape, float(overlap_weight))
        weights[:, self.hole[0], self.hole[1]] = 1
        self.register_buffer("weights", self.middle_of(weights), persistent=False)

    def middle_of(self, images: Tensor) -> Tensor:
        """(..., H, W) -> (..., H/2, W/2)."""
        return images[..., self.middle[0], self.middle[1]]

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        return {}

    def make(self, batch: Batch, drawn: Drawn, clock: Clock) -> Tensor:
        """The sources with the whole middle guessed."""
        images = source_of(batch).clone()
        self.middle_of(images).copy_(self.generator(source_of(batch)))
        return images

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """Both players look at the middle alone, which is what is missing and made."""
        real, fake = self.middle_of(batch.images), self.middle_of(fakes)
        if player == "generator":
            return self.generator_loss(real, fake)
        # apart: their batch statistics must not mix; detach: D's step must not reach G
        real, fake = (in_full(self.discriminator(x)) for x in (real, fake.detach()))
        scores = Scores(real.detach(), fake.detach(), self.loss.kind)
        return PlayerLoss(self.loss.discriminator(real, fake), scores=scores)

    def generator_loss(self, real: Tensor, fake: Tensor) -> PlayerLoss:
        """real, fake: (N, C, H/2, W/2), the true and the guessed middle."""
        judged = None
        if self.loss.pairs_real:
            with torch.no_grad():
                judged = in_full(self.discriminator(real))
        adversarial = self.loss.generator(judged, in_full(self.discriminator(fake)))
        assert isinstance(self.weights, Tensor)
        l2 = (self.weights * (fake - real).square()).mean()
        parts = {"loss/adversarial": adversarial.detach(), "loss/l2": l2.detach()}
        share = self.adversarial_weight
        return PlayerLoss(share * adversarial + (1 - share) * l2, parts)

    def translate(self, source: Tensor, rng: torch.Generator | None) -> Tensor:
        """The sources with the hole filled; what was seen stays as it was."""
        rows, columns = self.hole
        guess = source.clone()
        with evaluating(self.sampler()) as generator:
            self.middle_of(guess).copy_(generator(source))
        filled = source.clone()
        filled[..., rows, columns] = guess[..., rows, columns]
        return filled

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        fakes = self.middle_of(self.fakes(batch, rng))
        with evaluating(self.discriminator) as judge:
            return Scores(judge(self.middle_of(batch.images)), judge(fakes), self.loss.kind)
