"""A discriminator that also names the class: Odena et al. 2017, arXiv:1610.09585, Section 3."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Weight
from gansweep.data.batch import Batch
from gansweep.layers.heads import Auxiliary, auxiliary_outputs
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, PlayerLoss
from gansweep.terms.clock import Clock


class ACGAN(GAN):
    """G(z, labels), and a D that judges samples without their labels, and predicts these.

    With L_S the game of `loss` and L_C = E log P(C = c | x) + E log P(C = c | G(z, c)), D maximises
    L_S + L_C and G maximises L_C - L_S, in which the real samples' share of L_C is constant.

    discriminator: as GAN's, one that ends in a `head` on its `features`.
    class_weight: of L_C beside L_S, 1 in the paper.
    """

    classes = "always"

    def __init__(
        self,
        *,
        discriminator: Callable[..., nn.Module],
        class_weight: Weight,
        n_classes: int | None = None,
        **options: Any,
    ) -> None:
        head = partial(Auxiliary, n_outputs=n_classes or 0)  # GAN refuses data without classes
        network = partial(discriminator, head=head)
        super().__init__(discriminator=network, n_classes=n_classes, **options)
        self.class_weight = class_weight

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """The game's own loss, and `class_weight` times the cross-entropy of the classes.

        G learns classes from fakes alone, D from both kinds (Odena et al. 2017, Section 3).
        """
        terms = super().player_loss(player, batch, drawn, fakes, clock)
        if player == "generator":
            fakes = self.shown(fakes, drawn, "generator", clock)
            loss = self.class_loss(fakes, batch.labels)
            parts = {"class_loss/fake": loss.detach()}
        else:
            images = self.shown(batch.images, drawn, "real", clock)
            real = self.class_loss(images, batch.labels)
            # detach: the discriminator's step must not reach the generator
            fakes = self.shown(fakes.detach(), drawn, "fake", clock)
            loss = real + self.class_loss(fakes, batch.labels)
            parts = {"class_loss/real": real.detach()}
        return replace(terms, loss=terms.loss + self.class_weight * loss, parts=terms.parts | parts)

    def class_loss(self, samples: Tensor, labels: Tensor | None) -> Tensor:
        """-E log P(C = label | sample), a scalar, of samples as D is shown them."""
        assert labels is not None
        return F.cross_entropy(auxiliary_outputs(self.discriminator, samples), labels)

    @torch.no_grad()
    def answers(self, batch: Batch) -> dict[str, Tensor]:
        with evaluating(self.discriminator) as network:
            return {"logits": auxiliary_outputs(network, like_weights(batch.images, network))}
