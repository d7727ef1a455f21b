"""Exact toy distributions in the plane: a ring and a grid of Gaussians."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gansweep.data.order import generator_for
from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import Mixture, Split
from gansweep.errors import UserError

N_TEST = 10_000
SPLIT_SEEDS: dict[Split, int] = {"train": 1, "test": 2}


class MixtureSource(ResidentSource):
    """Fixed samples of equally likely round Gaussians; the label is the mode drawn from.

    The samples do not depend on a run's seed: every run trains on the same ones.
    Samples are points as they are, not scaled into [-1, 1].
    Protocol: Lin et al. 2018 (PacGAN), arXiv:1712.04086, Section 4.1.
    """

    def __init__(self, means: Tensor, sigma: float, n_train: int) -> None:
        super().__init__()
        if not (sigma > 0 and math.isfinite(sigma)):
            raise UserError(f"data.sigma={sigma} is no standard deviation: set it above 0.")
        if n_train < 1:
            raise UserError(f"data.n_train={n_train} leaves nothing to train on: set 1 or more.")
        self._n = {"train": n_train, "test": N_TEST}
        modes = len(means)
        self._mixture = Mixture(means, sigma, torch.full((modes,), 1 / modes, dtype=torch.float64))

    @property
    def mixture(self) -> Mixture:
        return self._mixture

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._mixture.means.shape[1],)

    @property
    def class_names(self) -> list[str]:
        return [f"mode {k}" for k in range(len(self._mixture.means))]

    def read(self, split: Split) -> Arrays:
        generator = generator_for(SPLIT_SEEDS[split])
        means = self._mixture.means
        modes = torch.randint(len(means), (self._n[split],), generator=generator)
        noise = torch.randn(len(modes), *self.shape, generator=generator, dtype=torch.float64)
        return (means[modes] + self._mixture.sigma * noise).float(), modes


class Ring(MixtureSource):
    """Gaussians at equal angles on a circle, the first at (radius, 0), none of them twice."""

    name = "ring"

    def __init__(
        self, modes: int = 8, radius: float = 1.0, sigma: float = 0.01, n_train: int = 100_000
    ) -> None:
        if modes < 1:
            raise UserError(f"data.modes={modes} leaves no mode on the ring: set 1 or more.")
        angles = torch.arange(modes, dtype=torch.float64) * (2 * math.pi / modes)
        super().__init__(radius * torch.stack([angles.cos(), angles.sin()], 1), sigma, n_train)


class Grid(MixtureSource):
    """Gaussians on a square of side x side points, centred on 0: {-4, -2, 0, 2, 4}^2 by default."""

    name = "grid"

    def __init__(
        self, side: int = 5, spacing: float = 2.0, sigma: float = 0.05, n_train: int = 100_000
    ) -> None:
        if side < 1:
            raise UserError(f"data.side={side} leaves no mode on the grid: set 1 or more.")
        line = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
        super().__init__(torch.cartesian_prod(line, line), sigma, n_train)
