"""StyleGAN2: Karras et al. 2020, arXiv:1912.04958. Written from the paper.

Lazy regularisation (Section 3.1): R1 joins D's loss on every `penalty_interval`-th step and the
path lengths G's on every `path_interval`-th of its steps, each as many times as strong.
Departures: the lazy terms join the loss of a step (the authors take a step of their own for them,
and adjust the optimizers' moments for it); the crossover of style mixing is drawn for each sample;
path lengths are those of unmixed styles, compared with the mean before them, which begins with the
first one measured (the authors' begins at 0, which flattens the images in a short run); the moving
average begins with a shorter half-life (models/averages.py).
"""

import itertools
import math
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Count, Decay, Range, Share, WeightInTime
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.style import Discriminator, Generator, Synthesis
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, Memories, PlayerLoss
from gansweep.terms.clock import Clock
from gansweep.terms.collectives import average
from gansweep.terms.schedules import value_at

MEAN_OF = 10_000  # latents whose w are averaged


class PathMean(nn.Module):
    """The long-running mean a of the path lengths, a scalar; 0 until there is a first one."""

    value: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(()))

    def penalty(self, lengths: Tensor) -> Tensor:
        """Mean squared distance of lengths (N,) from the mean; 0 while there is none."""
        return (lengths - self.value).square().mean() * (self.value > 0)

    def followed(self, length: Tensor, decay: float) -> Tensor:
        """The mean after a new length, both scalars."""
        length = length.to(self.value)
        return torch.where(self.value > 0, length.lerp(self.value, decay), length)


MOST_SIZES = 10_000  # that are tried for a refusal


class StyleGAN2(GAN):
    """The two players of layers/style.py.

    mixing: share of the samples that follow two latents, from a random layer on the second.
    path_weight: of the path length penalty; 2 is the paper's ln 2 / (r^2 (ln r - ln 2)) at a side
        of r, for lengths that are divided by r and by the root of the number of styles.
    path_interval: steps of G from one penalty to the next.   path_decay: of the mean length.
    path_share: images of the penalty for each image of a batch, rounded down for the batch of all
        processes.
    """

    takes_points = False
    psi = 1.0  # share of the distance from the mean w that samples keep
    generator: Generator
    discriminator: Discriminator

    def __init__(
        self,
        *,
        mixing: Share,
        path_weight: WeightInTime,
        path_interval: Count,
        path_decay: Decay,
        path_share: Annotated[float, Range(0, 1, above=True)],
        **two_player: Any,
    ) -> None:
        super().__init__(**two_player)
        self.mixing = mixing
        self.path_weight = path_weight
        self.path_interval = path_interval
        self.path_decay = path_decay
        self.path_share = path_share
        self.path_mean = PathMean()

    @property
    def memory(self) -> dict[str, nn.Module]:
        return super().memory | {"path_mean": self.path_mean}

    def path_factor(self, clock: Clock) -> int:
        """What to multiply the path penalty's weight by; 0 where it is left out."""
        if value_at(self.path_weight, clock) == 0:
            return 0
        return clock.factor(self.path_interval, self.n_critic, self.n_generator)

    def scheduled(self, clock: Clock) -> dict[str, float]:
        own = {"path/weight": value_at(self.path_weight, clock)}
        return super().scheduled(clock) | (own if callable(self.path_weight) else {})

    def latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        """(n, latent_dim + noise_numbers): the latent and the noise maps of each sample."""
        noise = draws.normal(n, self.generator.synthesis.noise_numbers, dtype=dtype)
        return torch.cat([super().latents(draws, n, dtype), noise], 1)

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        """Also a second latent, the layer from which its style takes over, and due path noise."""
        n, dtype = len(batch), batch.images.dtype
        drawn = super().draw(draws, batch, clock)
        drawn["other"] = super().latents(draws, n, dtype)
        n_styles = self.generator.synthesis.n_styles
        layer = (draws.uniform(n, dtype=dtype) * (n_styles - 1)).long() + 1
        mixed = draws.uniform(n, dtype=dtype) < self.mixing
        drawn["crossover"] = torch.where(mixed, layer, n_styles)
        # refused at the first step, whenever a schedule begins with the penalty
        rows = self.path_rows(n, draws.world) if self.path_weight != 0 else 0
        if self.path_factor(clock):
            drawn["path.z"] = self.latents(draws, rows, dtype)
            drawn["path.y"] = draws.normal(rows, *self.sample_shape, dtype=dtype)
            if self.conditional:  # the batch's would follow from how it is divided
                drawn["path.labels"] = draws.classes(rows, self.class_ends)
        return drawn

    def path_rows(self, n: int, world: int) -> int:
        """Images of the path penalty on each of `world` processes with n images each.

        Raises: UserError if the slices of the processes cannot have equally many.
        """
        batch_size, parts = n * world, world * self.accumulate

        def total(size: int) -> int:
            return max(1, int(self.path_share * size))

        if total(batch_size) % parts == 0:
            return total(batch_size) // world
        step = parts * self.judged_together
        sizes = itertools.count(step * (batch_size // step + 1), step)
        tried = itertools.islice(sizes, MOST_SIZES)
        fits = next((f"batch_size={n}, or " for n in tried if total(n) % parts == 0), "")
        raise UserError(
            f"model.path_share={self.path_share:g} of {batch_size} images is {total(batch_size)} "
            f"for path lengths, which {parts} parts ({world} process(es) x "
            f"accumulate={self.accumulate}) cannot share equally. Use {fits}"
            "model.path_share=1."
        )

    @property
    def draws_classes(self) -> bool:
        return super().draws_classes or (self.conditional and self.path_weight != 0)

    def make(self, batch: Batch, drawn: Drawn, clock: Clock) -> Tensor:
        others, crossover, labels = drawn["other"], drawn["crossover"], self.classes_of(batch)
        return self.generator.mixed(drawn["z"], others, crossover, labels)

    def classes_of(self, batch: Batch) -> Tensor | None:
        """The labels that both networks are given; None where the game has no classes."""
        return batch.labels if self.conditional else None

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """The loss, in the generator's lazy steps with path-length regularisation (Karras et al.
        2020, Section 3.2)."""
        terms = super().player_loss(player, batch, drawn, fakes, clock)
        factor = self.path_factor(clock)
        if player == "generator" and factor:
            w, noise = self.generator.styles(drawn["path.z"], drawn.get("path.labels"))
            lengths = path_lengths(self.generator.synthesis, w, noise, drawn["path.y"])
            penalty = self.path_mean.penalty(lengths)
            weight = value_at(self.path_weight, clock)
            terms.loss = terms.loss + weight * factor * penalty
            terms.parts["penalty/path"] = penalty.detach()
            terms.parts["path_length"] = terms.found["path_length"] = lengths.detach().mean()
        return terms

    def remembered(self, player: str, slices: Sequence[PlayerLoss]) -> Memories:
        found = super().remembered(player, slices)
        lengths = [terms.found["path_length"] for terms in slices if "path_length" in terms.found]
        if not lengths:
            return found
        length = average(torch.stack(lengths).mean())
        return {**found, "path_mean": {"value": self.path_mean.followed(length, self.path_decay)}}

    def truncate(self, value: float | None) -> None:
        """psi, from 0, all samples of a class alike but for the noise, to 1, no truncation.

        Source: Karras et al. 2019, arXiv:1812.04948, Appendix B.
        """
        if value is None:
            self.psi, self.truncated = 1.0, ""
            return
        if not 0 <= value <= 1:
            raise UserError(
                f"truncation={value:g}: for this model it is psi, the share of the distance from "
                "the mean w that samples keep, from 0 (all alike) to 1 (none). Use truncation=0.7."
            )
        self.psi = value
        self.truncated = f"psi={value:g} in w"

    def generate(
        self, generator: nn.Module, z: Tensor, labels: Tensor | None, clock: Clock
    ) -> Tensor:
        """G(z), with styles moved towards the mean w where `truncate` said so."""
        if self.psi == 1:
            return super().generate(generator, z, labels, clock)
        assert isinstance(generator, Generator)
        given = labels if self.conditional else None
        w, noise = generator.styles(z, given)
        return generator.synthesis(self.truncated_w(generator, w, given), noise)

    def truncated_w(self, generator: Generator, w: Tensor, labels: Tensor | None) -> Tensor:
        """w (N, K, latent_dim) of samples, moved towards the mean w where `truncate` said so.

        labels: (N,), which w was made with; None for none.
        """
        return w if self.psi == 1 else torch.lerp(self.mean_w(generator, labels), w, self.psi)

    def mean_w(self, generator: Generator, labels: Tensor | None) -> Tensor:
        """The mean w of a generator, (1, 1, latent_dim), or of each label's class, (N, 1, ...).

        Departure: the authors keep a moving average of w beside the weights, all classes together.
        Here it is measured when it is needed, from latents of a fixed seed: it is that of the
        weights that make the samples, and training has nothing to keep.
        """
        weight = next(generator.parameters())
        z = super().latents(Draws(0, torch.device("cpu")), MEAN_OF, torch.float32).to(weight)
        if labels is None:
            return generator.mapping(z).mean(0)[None, None]
        classes, rows = labels.unique(return_inverse=True)
        means = [generator.mapping(z, k.expand(MEAN_OF)).mean(0) for k in classes]
        return torch.stack(means)[rows][:, None]

    def compile_networks(self) -> None:
        """Compile the mapping alone: the penalties differentiate the other networks twice."""
        self.generator.mapping.compile()


def path_lengths(synthesis: Synthesis, w: Tensor, noise: Tensor, y: Tensor) -> Tensor:
    """|J_w^T y| / side of each sample, (N,), differentiable once more.

    w: (N, n_styles, D).   y: (N, C, H, W), standard normal.
    The square root of the mean over the styles of the squared 2-norms of their gradients.
    Source: Karras et al. 2020, Section 3.2, Eq. 4, and Appendix B.
    """
    with torch.autocast(device_type=w.device.type, enabled=False):
        w = w.to(y.dtype)  # autocast may have made it
        images = synthesis(w, noise)
        (gradients,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)
    # the norm of a zero has slope 0, and not inf as its square root: of samples that are saturated
    norms = torch.linalg.vector_norm(gradients, dim=(1, 2))
    return norms / math.sqrt(w.shape[1]) / y.shape[-1]
