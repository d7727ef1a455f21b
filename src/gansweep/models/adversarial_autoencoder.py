"""The adversarial autoencoder: Makhzani et al. 2016, arXiv:1511.05644."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Weight
from gansweep.data.batch import Batch
from gansweep.models.autoencoder import Coder, WithPrior
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.player_loss import Drawn, PlayerLoss, Scores
from gansweep.terms.clock import Clock
from gansweep.terms.full_precision import in_full
from gansweep.terms.losses import Loss


class AdversarialAutoencoder(WithPrior):
    """Three players: a discriminator tells codes from draws of the prior, N(0, I).

    In the order of their moves: the discriminator; the decoder, which makes the sample of its code
    again; the encoder, which helps it and deceives the discriminator. The paper's encoder moves
    once for each aim (Section 2); here it moves once, along the sum (ours).

    discriminator: a callable that builds the network for points of `latent_dim` coordinates.
    loss: between the discriminator, to whom draws of the prior are the real ones, and the encoder.
    adversarial_weight: of deceiving the discriminator, in the encoder's loss.

    In `Scores` `real` are those of codes and `fake` those of the prior's draws, both negated, so
    that a logit says how surely a code is one of data. If both are 1/2, codes follow the prior.
    """

    makers = ("decoder", "encoder")

    def __init__(
        self,
        *,
        discriminator: Callable[..., nn.Module],
        loss: Loss,
        adversarial_weight: Weight = 0.1,
        **coding: Any,
    ) -> None:
        super().__init__(**coding)
        self.discriminator = discriminator(sample_shape=(self.latent_dim,))
        self.loss = loss
        self.sliceable = "accumulate" in loss.combines_with
        self.adversarial_weight = adversarial_weight

    @property
    def players(self) -> dict[str, nn.Module]:
        return {
            "discriminator": self.discriminator,
            "decoder": self.coder.decoder,
            "encoder": self.coder.encoder,
        }

    def to_sample_with(self) -> Coder:
        return Coder(self.sampler("encoder"), self.sampler("decoder"))

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        if player == "decoder":
            return PlayerLoss(self.error(fakes, batch.images).mean())
        loss = self.discriminator_loss if player == "discriminator" else self.encoder_loss
        return loss(batch, drawn)

    def discriminator_loss(self, batch: Batch, drawn: Drawn) -> PlayerLoss:
        with torch.no_grad():  # the discriminator's step must not reach the encoder
            codes = self.coder.encoder(self.input(batch, drawn))
        prior, coded = in_full(self.discriminator(torch.cat([drawn["z"], codes]))).chunk(2)
        scores = Scores(-coded.detach(), -prior.detach(), self.loss.kind)
        return PlayerLoss(self.loss.discriminator(prior, coded), scores=scores)

    def encoder_loss(self, batch: Batch, drawn: Drawn) -> PlayerLoss:
        """The error of the samples, and `adversarial_weight` times the loss against D.

        Source: Makhzani et al. 2016, Section 2.
        """
        # not of `fakes`: the decoder, through which they were made, has moved since
        codes = self.coder.encoder(self.input(batch, drawn))
        reconstruction = self.error(self.coder.decoder(codes), batch.images).mean()
        prior, coded = in_full(self.discriminator(torch.cat([drawn["z"], codes]))).chunk(2)
        regularisation = self.loss.generator(prior.detach(), coded)
        parts = {
            "aae/reconstruction": reconstruction.detach(),
            "aae/regularisation": regularisation.detach(),
        }
        return PlayerLoss(reconstruction + self.adversarial_weight * regularisation, parts)

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        coder = self.to_sample_with()
        z = torch.randn(len(batch), self.latent_dim, generator=rng)
        with evaluating(coder), evaluating(self.discriminator):
            codes = coder.encoder(like_weights(self.shown(batch), coder))
            prior, coded = self.discriminator(torch.cat([z.to(codes), codes])).chunk(2)
        return Scores(-coded, -prior, self.loss.kind)

    def latent_answers(self, outputs: Tensor, coder: Coder) -> dict[str, Tensor]:
        """The distance from the prior's centre: its contours are spheres."""
        return {"anomaly/latent": outputs.norm(dim=1)}

    def compile_networks(self) -> None:
        super().compile_networks()
        self.discriminator.compile()
