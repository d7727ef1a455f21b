"""Mean and covariance of features: the Gaussian that the Frechet distance uses.

d: width of the features.   n: samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.records.notation import plural

CHUNK = 4096  # rows turned to float64 at once


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,) and covariance (d, d) in float64.

    count: the number of samples they were estimated from, which bounds the rank of the covariance;
        None if they are exact.
    """

    mean: Tensor
    cov: Tensor
    count: int | None = None

    @cached_property
    def cholesky(self) -> Tensor | None:
        """(d, d) lower triangular L with L L^T = cov; None if cov is not positive definite."""
        if self.count is not None and self.count <= len(self.mean):
            return None
        lower, info = torch.linalg.cholesky_ex(self.cov)
        return None if int(info) else lower

    @cached_property
    def factor(self) -> Tensor:
        """(d, r) matrix R with R R^T = cov, computed once."""
        if self.cholesky is not None:
            return self.cholesky
        values, vectors = torch.linalg.eigh(self.cov)
        return (vectors * values.clamp_min(0).sqrt())[:, -rank(len(values), self) :]

    def to(self, device: torch.device | str) -> Gaussian:
        return Gaussian(self.mean.to(device), self.cov.to(device), self.count)


def gaussian_of(x: Tensor) -> Gaussian:
    """Mean and unbiased covariance of x (n, d).   Raises: ValueError for n < 2."""
    if len(x) < 2:
        raise ValueError(f"No covariance of {plural(len(x), 'sample')}: give at least 2.")
    mean = torch.stack([part.double().sum(0) for part in x.split(CHUNK)]).sum(0) / len(x)
    cov = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=x.device)
    for part in x.split(CHUNK):
        centered = part.double() - mean
        cov.addmm_(centered.T, centered)
    return Gaussian(mean, cov / (len(x) - 1), len(x))


def rank(width: int, *gaussians: Gaussian) -> int:
    """The largest rank of a (width, width) product of their covariances.

    n samples span at most n - 1 directions. The other eigenvalues are rounding errors, and the
    sum of their roots (1e-16 -> 1e-8 each) would be visible.
    """
    return min([width, *(g.count - 1 for g in gaussians if g.count is not None)])


class Moments(Metric):
    """Mean and covariance of features that come in batches, as float64 sums over all processes.

    dim: d, the width of the features.   kwargs: of torchmetrics, such as sync_on_compute.
    """

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
