"""The variational autoencoder: Kingma and Welling 2014, arXiv:1312.6114.

With beta other than 1 it is the beta-VAE of Higgins et al. 2017 (ICLR).
"""

import math
from typing import Any

from torch import Tensor

from gansweep.config.ranges import Positive, Weight
from gansweep.data.batch import Batch
from gansweep.models.autoencoder import Coder, Reconstruction, WithPrior
from gansweep.models.player_loss import Drawn, PlayerLoss
from gansweep.terms.clock import Clock
from gansweep.terms.full_precision import in_full


class VAE(WithPrior):
    """One player, which maximises a bound on the likelihood of what it is to make.

    The encoder gives the mean and the log-variance of q(z|x), the decoder the mean of p(x|z):
    Bernoulli for reconstruction=bce, normal for mse, Laplace for l1. The prior is N(0, I).

    beta: weight of the divergence from the prior; 1 is the bound itself.
    spread: the standard deviation of p(x|z) for mse and its scale for l1, in units of the data,
        where black is -1 and white 1.
    """

    outputs_per_code = 2

    def __init__(
        self,
        *,
        beta: Weight = 1.0,
        spread: Positive = 0.5,
        reconstruction: Reconstruction = "bce",
        **coding: Any,
    ) -> None:
        super().__init__(reconstruction=reconstruction, **coding)
        self.beta = beta
        self.spread = spread
        self.reconstruction = reconstruction

    def make(self, batch: Batch, drawn: Drawn, clock: Clock) -> Tensor:
        mean, log_variance = self.coder.encoder(self.input(batch, drawn)).chunk(2, dim=1)
        # z = mu + sigma eps, Eq. 10
        return self.coder.decoder(mean + (log_variance / 2).exp() * drawn["z"])

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """-log p(x|z) + beta KL(q(z|x) | p(z)), means over the batch, in nats a sample (Eq. 10)."""
        posterior = self.coder.encoder(self.input(batch, drawn))
        unlikely = self.negative_log_likelihood(fakes, batch.images).mean()
        divergence = kl_from_prior(*posterior.chunk(2, dim=1)).mean()
        parts = {"vae/elbo": -(unlikely + divergence).detach()}
        parts |= {"vae/reconstruction": unlikely.detach(), "vae/kl": divergence.detach()}
        return PlayerLoss(unlikely + self.beta * divergence, parts)

    def negative_log_likelihood(self, made: Tensor, wanted: Tensor) -> Tensor:
        """-log p(x|z) of each sample, (N,), in nats; `made` is the mean of p(x|z)."""
        size = made[0].numel()
        error = size * self.error(made, wanted)
        if self.reconstruction == "mse":
            scale = 0.5 * size * math.log(2 * math.pi * self.spread**2)
            return error / (2 * self.spread**2) + scale
        if self.reconstruction == "l1":
            return error / self.spread + size * math.log(2 * self.spread)
        return error

    def code_of(self, outputs: Tensor) -> Tensor:
        return outputs.chunk(2, dim=1)[0]

    def latent_answers(self, outputs: Tensor, coder: Coder) -> dict[str, Tensor]:
        return {"anomaly/latent": kl_from_prior(*outputs.chunk(2, dim=1))}


def kl_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) | N(0, I)) in nats: (N, L), (N, L) -> (N,).

    Source: Kingma and Welling 2014, arXiv:1312.6114, Appendix B.
    """
    mean, log_variance = in_full(mean), in_full(log_variance)
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
