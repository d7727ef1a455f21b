"""BigGAN: orthogonal regularisation of the generator, and truncated latents to sample with.

Source: Brock et al. 2019, arXiv:1809.11096, Sections 3.1 and 3.2.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Positive, Weight
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, PlayerLoss
from gansweep.terms.clock import Clock


class BigGAN(GAN):
    """A conditional two-player game whose generator keeps its filters apart.

    orthogonal_weight: of the penalty, the paper's beta; 0 for none.
    truncation: the largest entry of the latents of samples to look at and to measure, larger ones
        being redrawn; smaller means cleaner and less varied images. None: all, as in training.
    """

    takes_points = False
    classes = "always"

    def __init__(
        self, *, orthogonal_weight: Weight, truncation: Positive | None = None, **game: Any
    ) -> None:
        super().__init__(**game)
        self.orthogonal_weight = orthogonal_weight
        self.truncation: float | None = None
        self._as_trained = truncation
        self.truncate(None)

    def truncate(self, value: float | None) -> None:
        """The largest entry of the latents of samples; None: as the run was configured."""
        value = self._as_trained if value is None else value
        if value is None:
            self.truncation, self.truncated = None, ""
            return
        if self.latent_distribution != "normal":
            raise UserError(
                f"model.truncation={value:g} cuts off the tails of normal latents: set "
                "model.latent_distribution=normal, or leave truncation= out."
            )
        if value <= 0:
            raise UserError(
                f"truncation={value:g}: for this model it is the largest entry of z, which is "
                "above 0. Use truncation=0.5."
            )
        self.truncation = value
        self.truncated = f"|z| <= {value:g}"

    def generator_loss(self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock) -> PlayerLoss:
        terms = super().generator_loss(batch, drawn, fakes, clock)
        if self.orthogonal_weight == 0:
            return terms
        penalty = orthogonal_penalty(self.generator)
        terms.parts["penalty/orthogonal"] = penalty.detach()
        terms.loss = terms.loss + self.orthogonal_weight * penalty
        return terms

    def sampling_latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        if self.truncation is None:
            return super().sampling_latents(draws, n, dtype)
        uniform = draws.uniform(n, self.latent_dim, dtype=torch.float64)
        return truncated_normal(uniform, self.truncation).to(dtype)


def orthogonal_penalty(generator: nn.Module) -> Tensor:
    """Sum over the weights W of |W W^T, without its diagonal|^2 in the Frobenius norm.

    The rows of W are its filters, flattened, before any spectral normalisation. Class embeddings
    are left out, and the norms of the filters are free: the authors' published code, which adds
    half of this penalty's gradient, so that its strength s is a weight of s / 2 here.
    Returns: scalar, unweighted.   Source: Brock et al. 2019, arXiv:1809.11096, Eq. 3.
    """
    embeddings = [layer for layer in generator.modules() if isinstance(layer, nn.Embedding)]
    left_out = {id(p) for layer in embeddings for p in layer.parameters()}
    weights = [p for p in generator.parameters() if p.ndim >= 2 and id(p) not in left_out]
    with torch.autocast(device_type=weights[0].device.type, enabled=False):
        return torch.stack([_off_diagonal(weight.flatten(1)) for weight in weights]).sum()


def _off_diagonal(filters: Tensor) -> Tensor:
    """|F F^T, without its diagonal|^2 for (rows, columns)."""
    if len(filters) <= filters.shape[1]:
        products = filters @ filters.T
        return (products - products.diagonal().diag()).square().sum()
    # |F F^T| = |F^T F|, the smaller of the two
    return (filters.T @ filters).square().sum() - filters.square().sum(1).square().sum()


def truncated_normal(uniform: Tensor, threshold: float) -> Tensor:
    """Uniform numbers on [0, 1) -> normal ones truncated at the threshold, by the inverse CDF."""
    inside = math.erf(threshold / math.sqrt(2))
    values = math.sqrt(2) * torch.erfinv((2 * uniform - 1) * inside)
    return values.clamp(-threshold, threshold)
