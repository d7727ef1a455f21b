"""Codes that the samples must tell: Chen et al. 2016, arXiv:1606.03657, Eqs. 5 and 6."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Count, Range, Weight, Width
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.heads import Auxiliary, auxiliary_outputs
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, PlayerLoss
from gansweep.terms.clock import Clock


class InfoGAN(GAN):
    """G(z, c): the generator gets codes c beside noise, and Q reads them from the sample again.

    Both players add -lambda L_I to their losses, where L_I = E log Q(c | G(z, c)) + H(c) is a lower
    bound on the mutual information of codes and samples. Q is a head on the features of D, and
    moves with D, as in the authors' code.

    discriminator: as GAN's, one that ends in a `head` on its `features`.
    latent_dim: numbers of noise, without the codes.
    categories: how many values each categorical code has; the first one's are the `kinds` of
        sample that the model can be asked for.
    continuous: codes that are uniform on [-1, 1); Q is a Gaussian of variance 1 around its guess.
    q_width: of the layer that Q has of its own.
    categorical_weight, continuous_weight: lambda, for either sort of code.
    """

    never_takes = frozenset({"packing"})
    classes = "never"

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        latent_dim: Width,
        categories: Sequence[Annotated[int, Range(2, 10_000)]],
        continuous: Annotated[int, Range(0, 16_384)],
        q_width: Width,
        categorical_weight: Weight,
        continuous_weight: Weight,
        packing: Count = 1,
        **options: Any,
    ) -> None:
        if packing > 1:
            raise UserError(
                f"model.packing={packing} would have Q read the codes of several samples as one: "
                "use packing=1 with model=infogan."
            )
        if not (categories or continuous):
            raise UserError(
                "model.categories=[] and model.continuous=0 leave no code to learn. Use "
                "'model.categories=[10]' model.continuous=2."
            )
        n_codes = sum(categories) + continuous
        head = partial(Auxiliary, n_outputs=n_codes, hidden=q_width)
        super().__init__(
            generator=partial(_with_codes, generator, n_codes),
            discriminator=partial(discriminator, head=head),
            latent_dim=latent_dim,
            **options,
        )
        self.categories = tuple(categories)
        self.continuous = continuous
        self.categorical_weight = categorical_weight
        self.continuous_weight = continuous_weight

    def latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        """(n, latent_dim + n_codes): noise, then each categorical code one-hot, then the others."""
        parts = [super().latents(draws, n, dtype)]
        for size in self.categories:
            # a product rounded up to `size` would name no category
            values = (draws.uniform(n) * size).long().clamp_max(size - 1)
            parts.append(F.one_hot(values, size).to(dtype))
        parts.append(draws.uniform(n, self.continuous, dtype=dtype).mul_(2).sub_(1))
        return torch.cat(parts, dim=1)

    @property
    def latents_in_words(self) -> str:
        parts = [f"the first {self.latent_dim} {super().latents_in_words}"]
        parts += [f"then one of {size} that is 1 and the others 0" for size in self.categories]
        if self.continuous:
            parts.append(f"then {self.continuous} uniform on [-1, 1)")
        return ", ".join(parts)

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """The game's own loss less the weighted bounds on the information that samples keep."""
        terms = super().player_loss(player, batch, drawn, fakes, clock)
        if player == "generator":
            samples = self.shown(fakes, drawn, "generator", clock)
        else:  # detach: the discriminator's step must not reach the generator
            samples = self.shown(fakes.detach(), drawn, "fake", clock)
        categorical, continuous = self.information(drawn["z"], samples)
        gain = self.categorical_weight * categorical + self.continuous_weight * continuous
        terms.parts["information/categorical"] = categorical.detach()
        terms.parts["information/continuous"] = continuous.detach()
        return replace(terms, loss=terms.loss - gain)

    def information(self, z: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """L_I of the categorical codes and of the continuous ones, each summed over codes, in nats.

        z: (N, latent_dim + n_codes) of which `samples` were made, which are as D is shown them.
        At most the sum of log K, and of log 2 - log(2 pi) / 2 = -0.226 for each continuous code,
        since a Gaussian of variance 1 is wider than the code's range.
        """
        sizes = [*self.categories, self.continuous]
        given = z[:, self.latent_dim :].split(sizes, dim=1)
        read = auxiliary_outputs(self.discriminator, samples).split(sizes, dim=1)
        categorical = z.new_zeros(())
        for code, logits in zip(given[:-1], read[:-1], strict=True):
            log_q = (code * logits.log_softmax(dim=1)).sum(dim=1).mean()
            categorical = categorical + log_q + math.log(code.shape[1])
        errors = (given[-1] - read[-1]).square().sum(dim=1).mean()
        # log N(c; mean, 1) = -(c - mean)^2 / 2 - log(2 pi) / 2, and H(c) = log 2
        constant = self.continuous * (math.log(2) - math.log(2 * math.pi) / 2)
        return categorical, constant - errors / 2

    @property
    def kinds(self) -> int | None:
        return self.categories[0] if self.categories else None

    @torch.no_grad()
    def fakes_of(self, kind: int, batch: Batch, rng: torch.Generator) -> Tensor:
        """Samples of the first code's value `kind`, all from one noise vector.

        The first continuous code runs from -1 to 1 over them; of the others continuous codes are 0
        and categorical ones have their first value.
        """
        draws = Draws(0, torch.device("cpu"))
        draws.generator = rng
        z = self.latents(draws, 1, torch.float32).repeat(len(batch), 1)
        codes = z[:, self.latent_dim :].zero_()
        start = 0
        for number, size in enumerate(self.categories):
            codes[:, start + (kind if number == 0 else 0)] = 1
            start += size
        if self.continuous:
            codes[:, start] = torch.linspace(-1, 1, len(batch))
        with evaluating(self.sampler()) as generator:
            return self.samples_of(generator, like_weights(z, generator), None)

    @torch.no_grad()
    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """The codes that Q reads: probabilities of categories, and means of continuous codes."""
        with evaluating(self.discriminator) as network:
            read = auxiliary_outputs(network, like_weights(batch.images, network))
        *logits, means = read.split([*self.categories, self.continuous], dim=1)
        return {"codes": torch.cat([*(part.softmax(dim=1) for part in logits), means], dim=1)}


def _with_codes(
    generator: Callable[..., nn.Module],
    n_codes: int,
    *,
    sample_shape: tuple[int, ...],
    latent_dim: int,
) -> nn.Module:
    return generator(sample_shape=sample_shape, latent_dim=latent_dim + n_codes)
