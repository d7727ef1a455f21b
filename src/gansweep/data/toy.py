"""Toy distributions of Gaussians: on a ring or a grid in the plane, or in many dimensions."""

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from gansweep.config.ranges import Count, Modes, Positive, Range, Weight
from gansweep.data.order import generator_for
from gansweep.data.resident import ResidentSource
from gansweep.data.source import Arrays, Mixture, Split
from gansweep.errors import UserError

N_HELD_OUT = 10_000  # validation samples, and test samples
SPLIT_SEEDS: dict[Split, int] = {"train": 1, "test": 2, "validation": 3}
GOOD_SHARE = 1 - math.exp(-4.5)  # share of a 2-D Gaussian within 3 sigma: 98.89 %


class MixtureSource(ResidentSource):
    """Fixed samples of isotropic Gaussians. The label is the number of the mode.

    Every run trains on the same samples. They are not scaled to [-1, 1]. Validation samples are
    drawn separately, not taken from the training samples.
    weights: how likely each mode is, relative to the others; None: equally likely.
    Raises: UserError unless there is one weight above 0 for each mode.
    Protocol: Lin et al. 2018 (PacGAN), arXiv:1712.04086, Section 4.1.
    """

    has_validation = True

    def __init__(
        self,
        means: Tensor,
        sigma: float,
        n_train: int,
        max_sigmas: float = 3.0,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self._n = {"train": n_train, "validation": N_HELD_OUT, "test": N_HELD_OUT}
        self._equal = weights is None
        given = [1.0] * len(means) if weights is None else list(weights)
        if len(given) != len(means) or not all(0 < weight < math.inf for weight in given):
            raise UserError(
                f"data.weights={given} fits no mixture of {len(means)} modes. Give a number above "
                "0 for each mode, or null."
            )
        shares = torch.tensor(given, dtype=torch.float64)
        self.mixture: Mixture = Mixture(means, sigma, shares / shares.sum(), max_sigmas)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.mixture.means.shape[1],)

    @property
    def class_names(self) -> list[str]:
        return [f"mode {k}" for k in range(len(self.mixture.means))]

    def read(self, split: Split) -> Arrays:
        generator = generator_for(SPLIT_SEEDS[split])
        means = self.mixture.means
        n = self._n[split]
        if self._equal:
            modes = torch.randint(len(means), (n,), generator=generator)
        else:
            modes = torch.multinomial(self.mixture.weights, n, True, generator=generator)
        noise = self.noise(len(modes), generator)
        return (means[modes] + self.mixture.sigma * noise).float(), modes

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, D) float64 with standard deviation 1 in each direction of a mode."""
        return torch.randn(n, *self.shape, generator=generator, dtype=torch.float64)


class Ring(MixtureSource):
    """Gaussians at equal angles on a circle, the first at (radius, 0)."""

    name = "ring"

    def __init__(
        self,
        modes: Modes = 8,
        radius: Positive = 1.0,
        sigma: Positive = 0.01,
        n_train: Count = 100_000,
        weights: Sequence[Positive] | None = None,
    ) -> None:
        angles = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
        means = radius * torch.stack([angles.cos(), angles.sin()], 1)
        super().__init__(means, sigma, n_train, weights=weights)


class Grid(MixtureSource):
    """Gaussians on a square of side x side points, centred on 0: {-4, -2, 0, 2, 4}^2 by default."""

    name = "grid"

    def __init__(
        self,
        side: Annotated[int, Range(1, 100)] = 5,
        spacing: Weight = 2.0,
        sigma: Positive = 0.05,
        n_train: Count = 100_000,
        weights: Sequence[Positive] | None = None,
    ) -> None:
        line = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
        super().__init__(torch.cartesian_prod(line, line), sigma, n_train, weights=weights)


class Dirac(MixtureSource):
    """One point on a line, 0: the data of the Dirac-GAN.

    sigma: in units of which the scores of modes measure the distance from it.
    Source: Mescheder et al. 2018, arXiv:1801.04406, Section 2.
    """

    name = "dirac"

    def __init__(self, sigma: Positive = 1e-3, n_train: Count = 16) -> None:
        super().__init__(torch.zeros(1, 1, dtype=torch.float64), sigma, n_train)

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(n, 1, dtype=torch.float64)


class FlatMixture(MixtureSource):
    """Gaussians of `inner_dim` dimensions in one random subspace ("flat") of `dim` dimensions.

    Means and subspace are drawn once: standard normal means in the subspace, about
    sqrt(2 inner_dim) apart, and a subspace of uniformly random direction.
    With 700 dimensions the distance from the mean is 26.5 +- 0.7 sigma, and the paper's threshold,
    10 sigma, holds with a probability of 1e-167. Ours is the radius that contains 98.89 % of true
    samples, as 3 sigma do in the plane: 28.08 sigma for 700 dimensions, a chi quantile.
    Source: Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761, Table 1, which gives dimensions
        and number of modes; means, sigma and the number of samples are ours.
    """

    def __init__(
        self,
        modes: Modes = 10,
        inner_dim: Annotated[int, Range(1, 4_096)] = 700,
        dim: Annotated[int, Range(1, 4_096)] = 1200,
        sigma: Positive = 0.05,
        n_train: Annotated[int, Range(1, 200_000)] = 20_000,
    ) -> None:
        if inner_dim > dim:
            raise UserError(f"data.inner_dim={inner_dim} exceeds data.dim={dim}: set 1 to {dim}.")
        self.name = f"mixture_{dim}d"
        draw = generator_for(SPLIT_SEEDS["train"], inner_dim, dim)
        self._flat = _random_flat(dim, inner_dim, draw)
        centres = torch.randn(modes, inner_dim, generator=draw, dtype=torch.float64)
        means = _on_a_fine_grid(centres @ self._flat.T)
        super().__init__(means, sigma, n_train, radius_holding(GOOD_SHARE, inner_dim))

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        inner = torch.randn(n, self._flat.shape[1], generator=generator, dtype=torch.float64)
        return _on_a_fine_grid(inner @ self._flat.T)


def radius_holding(share: float, dim: int) -> float:
    """The radius, in sigma, that contains this share of a standard Gaussian in `dim` dimensions."""
    from scipy.special import gammaincinv

    return math.sqrt(2 * gammaincinv(dim / 2, share))


def _random_flat(dim: int, inner_dim: int, draw: torch.Generator) -> Tensor:
    """(dim, inner_dim) float64 with orthonormal columns, which keeps distances."""
    columns = torch.randn(dim, inner_dim, generator=draw, dtype=torch.float64)
    flat, upper = torch.linalg.qr(columns)
    return flat * upper.diagonal().sign()  # else the signs depend on the linear algebra library


def _on_a_fine_grid(values: Tensor) -> Tensor:
    """Rounded to multiples of 2^-12.

    The last digits of sums differ between machines, but the fingerprint of the data must not.
    """
    return (values * 2**12).round() / 2**12
