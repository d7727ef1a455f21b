"""The Frechet distance between two sets of features, each taken as one Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,) and covariance (d, d) in float64.

    count: samples they were estimated from, which bounds the covariance's rank; None if exact.
    """

    mean: Tensor
    cov: Tensor
    count: int | None = None

    @cached_property
    def factor(self) -> Tensor:
        """(d, d) R with R R^T = cov, worked out once."""
        values, vectors = torch.linalg.eigh(self.cov)
        return vectors * values.clamp_min(0).sqrt()

    def to(self, device: torch.device | str) -> Gaussian:
        return Gaussian(self.mean.to(device), self.cov.to(device), self.count)


def frechet_distance(real: Gaussian, fake: Gaussian) -> Tensor:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), a 0-dim float64 tensor.

    Tr (S1 S2)^(1/2) is the sum of the roots of the eigenvalues of R^T S2 R with S1 = R R^T, which
    is symmetric: no complex part to drop, no matrix square root, and R is kept for the real side.
    Source: Heusel et al. 2017, arXiv:1706.08500, Eq. 6.
    """
    inner = real.factor.T @ fake.cov @ real.factor
    # n samples span at most n - 1 directions: the other eigenvalues are rounding errors,
    # whose roots (1e-16 -> 1e-8 each) would add up
    rank = min([len(inner), *(g.count - 1 for g in (real, fake) if g.count is not None)])
    values = torch.linalg.eigvalsh(inner)[len(inner) - rank :].clamp_min(0)
    mean_term = (real.mean - fake.mean).square().sum()
    return mean_term + real.cov.trace() + fake.cov.trace() - 2 * values.sqrt().sum()


class Moments(Metric):
    """Mean and covariance of features that arrive in batches; sums in float64 over all processes.

    dim: d, the width of the features.   kwargs: torchmetrics' own, such as sync_on_compute.
    """

    higher_is_better: bool | None = None
    is_differentiable = False
    full_state_update = False
    count: Tensor
    total: Tensor
    outer: Tensor

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("outer", torch.zeros(dim, dim, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, features: Tensor) -> None:
        """features: (n, d) of any float type."""
        features = features.double()
        self.count += len(features)
        self.total += features.sum(0)
        self.outer += features.T @ features

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and unbiased covariance (d, d)."""
        mean = self.total / self.count
        cov = (self.outer - self.count * torch.outer(mean, mean)) / (self.count - 1)
        return mean, cov


class FrechetDistance(Moments):
    """Frechet distance of all features seen to a fixed real side, whose factor is kept."""

    higher_is_better = False

    def __init__(self, real: Gaussian, **kwargs: Any) -> None:
        super().__init__(len(real.mean), **kwargs)
        self.real = real

    def compute(self) -> Tensor:  # type: ignore[override]
        """0-dim float64, 0 for equal distributions; biased upwards by few samples."""
        mean, cov = super().compute()
        return frechet_distance(self.real, Gaussian(mean, cov, int(self.count)))
