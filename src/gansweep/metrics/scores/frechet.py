"""The Frechet distance between two sets of features, each taken as one Gaussian.

d: width of the features.   n: samples.   The real side is fixed and known by its Gaussian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from gansweep.data.order import generator_for
from gansweep.metrics.ordered import OrderedSamples

CHUNK = 4096  # rows turned to float64 at once
TILE = 256  # columns of a triangular product at once
INFINITY_SIZES = 15  # as published
SAMPLES_PER_DIMENSION = 5000 / 2048  # of the smallest published size
GROUPS = 20  # of the spread; each is left out once
# of samples for each dimension: with fewer the bias that is left is not small beside the interval
INTERVAL_SAMPLES = 10
STUDENT_95 = 2.093  # of GROUPS - 1 degrees of freedom
SEED = 20_200_614  # of the order in which samples make up sizes and groups


@dataclass(frozen=True)
class Gaussian:
    """Mean (d,) and covariance (d, d) in float64.

    count: samples they were estimated from, which bounds the covariance's rank; None if exact.
    """

    mean: Tensor
    cov: Tensor
    count: int | None = None

    @cached_property
    def cholesky(self) -> Tensor | None:
        """(d, d) lower triangular L with L L^T = cov; None where there is none for certain."""
        if self.count is not None and self.count <= len(self.mean):
            return None
        lower, info = torch.linalg.cholesky_ex(self.cov)
        return None if int(info) else lower

    @cached_property
    def factor(self) -> Tensor:
        """(d, r) R with R R^T = cov, worked out once."""
        if self.cholesky is not None:
            return self.cholesky
        values, vectors = torch.linalg.eigh(self.cov)
        rank = _rank(len(values), self)
        return (vectors * values.clamp_min(0).sqrt())[:, -rank:]

    def to(self, device: torch.device | str) -> Gaussian:
        return Gaussian(self.mean.to(device), self.cov.to(device), self.count)


def gaussian_of(x: Tensor) -> Gaussian:
    """Mean and unbiased covariance of x (n, d), n >= 2."""
    if len(x) < 2:
        raise ValueError(f"{len(x)} samples have no covariance: give at least 2.")
    mean = torch.stack([part.double().sum(0) for part in x.split(CHUNK)]).sum(0) / len(x)
    cov = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=x.device)
    for part in x.split(CHUNK):
        centered = part.double() - mean
        cov.addmm_(centered.T, centered)
    return Gaussian(mean, cov / (len(x) - 1), len(x))


def frechet_distance(real: Gaussian, fake: Gaussian) -> Tensor:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), a 0-dim float64 tensor.

    Tr (S1 S2)^(1/2) is the sum of the roots of the eigenvalues of R^T S2 R with S1 = R R^T, which
    is symmetric: no complex part to drop, no matrix square root, and R is kept for the real side.
    Source: Heusel et al. 2017, arXiv:1706.08500, Eq. 6.
    """
    if real.cholesky is not None:
        inner = _triangular_congruence(real.cholesky, fake.cov)
    else:
        inner = real.factor.T @ fake.cov @ real.factor
    mean_term = (real.mean - fake.mean).square().sum()
    roots = _sum_of_roots(inner, _rank(len(inner), real, fake))
    return mean_term + real.cov.trace() + fake.cov.trace() - 2 * roots


def frechet_to_samples(real: Gaussian, x: Tensor) -> Tensor:
    """`frechet_distance` to the Gaussian of x (n, d), n >= 2; biased upwards by few samples.

    Up to n = d from the (n, n) side, whose eigenvalues are the same but for zeros: faster, and
    free of the rounding errors of d - n zeros.
    """
    if len(x) < 2 or len(x) > x.shape[1]:
        return frechet_distance(real, gaussian_of(x))
    shift = x.double() - real.mean
    centered = shift - shift.mean(0)
    inner = centered @ real.cov @ centered.T / (len(x) - 1)
    trace = centered.square().sum() / (len(x) - 1)
    roots = _sum_of_roots(inner, min(_rank(len(x), real), len(x) - 1))
    return shift.mean(0).square().sum() + real.cov.trace() + trace - 2 * roots


def frechet_infinity(real: Gaussian, x: Tensor) -> tuple[Tensor, Tensor]:
    """The distance at infinitely many samples, by a line in 1/n through 15 sizes up to x's.

    x: (n, d), n >= 30.
    Returns: where the line meets 1/n = 0, below 0 too for equal distributions, and the root mean
        square of the 15 distances to the line: both in units of the distance. The line holds for n
        well above d; for less it bends, which the residual shows only in part (it comes out low).

    The sizes are evenly spaced, from n / 10 as published, but from no less than the published
    5,000 at d = 2048 gave each dimension, and at most n / 2: below, the bend is the larger error.
    Each size holds the smaller ones, in a fixed random order, where the published code draws anew.
    Source: Chong and Forsyth 2020, arXiv:1911.07023, and its published code.
    """
    n, d = x.shape
    if n < 2 * INFINITY_SIZES:
        raise ValueError(
            f"{n} samples are too few to extrapolate FID: give at least {2 * INFINITY_SIZES}, or "
            "leave fid_infinity out."
        )
    least = min(n / 2, max(n / 10, d * SAMPLES_PER_DIMENSION))
    sizes = torch.linspace(least, n, INFINITY_SIZES, dtype=torch.float64).round().long()
    samples = _Seen(real, x)
    distances, sums = [], samples.sums(0, 0)
    for start, end in zip([0, *sizes.tolist()], sizes.tolist(), strict=False):
        sums += samples.sums(start, end)
        distances.append(sums.distance(real))
    values, inverse = torch.stack(distances), (1 / sizes.double()).to(x.device)
    centered = inverse - inverse.mean()
    slope = (centered * values).sum() / centered.square().sum()
    limit = values.mean() - slope * inverse.mean()
    return limit, (values - limit - slope * inverse).square().mean().sqrt()


def infinity_interval(real: Gaussian, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """95 % interval of the distance at infinitely many samples; None for n < 10 d or n < 40.

    x: (n, d).   Returns: 0-dim float64, low and high; low may be below 0.
    The distance without its bias in 1/n, by the jackknife over 20 groups, and then in 1/n^2, by
    the same over both halves of the samples, where that is four times as large. Plus and minus
    Student's t times the jackknife's standard error.
    In simulations of normal features (d = 64 to 512, n = 10 d to 20 d, spectra flat and in 1/k)
    90 to 100 % of the intervals held the true distance. The real side is taken as exact.
    Source: Shao and Wu 1989, Annals of Statistics 17(3); the second order is ours.
    """
    n, d = x.shape
    if n < max(INTERVAL_SAMPLES * d, 2 * GROUPS):
        return None
    samples = _Seen(real, x)
    bounds = [group * n // GROUPS for group in range(GROUPS + 1)]
    middle = GROUPS // 2
    first, error = _without_bias(real, samples, bounds)
    halves = [
        _without_bias(real, samples, part)[0] for part in (bounds[: middle + 1], bounds[middle:])
    ]
    limit = first + (first - torch.stack(halves).mean()) / 3
    return limit - STUDENT_95 * error, limit + STUDENT_95 * error


def _without_bias(real: Gaussian, samples: _Seen, bounds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The distance less its bias in 1/n, and its standard error.   bounds: of the groups."""
    whole, groups = samples.sums(bounds[0], bounds[-1]), len(bounds) - 1
    left = torch.stack(
        [
            (whole - samples.sums(start, end)).distance(real)
            for start, end in zip(bounds, bounds[1:], strict=False)
        ]
    )
    pseudo = groups * whole.distance(real) - (groups - 1) * left
    return pseudo.mean(), (pseudo.var() / groups).sqrt()


def frechet_error(real: Gaussian, x: Tensor) -> Tensor:
    """Standard error of `frechet_to_samples`, 0-dim float64, by leaving out each of 20 groups.

    x: (n, d), n >= 40.
    It is the spread over other draws of n samples alone: an interval from it holds the mean
    distance of n samples. The bias, which at small n is many times larger, is not in it, and the
    distance at infinitely many samples lies outside: see `infinity_interval`.

    The jackknife, not the bootstrap: a sample drawn with repetition holds but 63 % different ones,
    which adds bias to each draw and, near FID 0, doubles or triples the spread.
    Source: Shao and Wu 1989, Annals of Statistics 17(3): (g - 1) / g times the sum of
    squared deviations of the g leave-one-out values.
    """
    n = len(x)
    if n < 2 * GROUPS:
        raise ValueError(
            f"{n} samples are too few for the standard error of FID: give at least {2 * GROUPS}, "
            "or leave fid_error out."
        )
    samples = _Seen(real, x)
    whole = samples.sums(0, n)
    bounds = [group * n // GROUPS for group in range(GROUPS + 1)]
    values = torch.stack(
        [
            (whole - samples.sums(start, end)).distance(real)
            for start, end in zip(bounds, bounds[1:], strict=False)
        ]
    )
    return ((GROUPS - 1) * values.var(correction=0)).sqrt()


def _rank(width: int, *gaussians: Gaussian) -> int:
    """n samples span at most n - 1 directions.

    The other eigenvalues are rounding errors, whose roots (1e-16 -> 1e-8 each) would add up.
    """
    return min([width, *(g.count - 1 for g in gaussians if g.count is not None)])


def _sum_of_roots(inner: Tensor, rank: int) -> Tensor:
    """Over the `rank` largest eigenvalues of a symmetric matrix, read from its lower triangle."""
    values = torch.linalg.eigvalsh(inner)[len(inner) - rank :]
    return values.clamp_min(0).sqrt().sum()


def _triangular_congruence(lower: Tensor, cov: Tensor) -> Tensor:
    """Lower triangle of L^T S L, L lower triangular, skipping its zeros: a third of the work."""
    inner = torch.zeros_like(cov)
    for start in range(0, len(cov), TILE):
        columns = lower[start:, start : start + TILE]
        inner[start:, start : start + TILE] = lower[start:, start:].T @ (
            cov[start:, start:] @ columns
        )
    return inner


@dataclass(frozen=True)
class _Sums:
    """What the distance needs of some samples, in sums that add and subtract.

    shift: (d,), squares: 0-dim: of x - m and |x - m|^2, with the real mean m.
    seen: (w,), outer: (w, w): of y and y y^T, y being x - m through the real side's factor.
    """

    count: int
    shift: Tensor
    squares: Tensor
    seen: Tensor
    outer: Tensor

    def __add__(self, other: _Sums) -> _Sums:
        return self._with(other, 1)

    def __sub__(self, other: _Sums) -> _Sums:
        return self._with(other, -1)

    def _with(self, other: _Sums, sign: int) -> _Sums:
        return _Sums(
            self.count + sign * other.count,
            self.shift + sign * other.shift,
            self.squares + sign * other.squares,
            self.seen + sign * other.seen,
            self.outer + sign * other.outer,
        )

    def distance(self, real: Gaussian) -> Tensor:
        n = self.count
        mean_term = (self.shift / n).square().sum()
        trace = (self.squares - n * mean_term) / (n - 1)
        inner = (self.outer - torch.outer(self.seen, self.seen) / n) / (n - 1)
        roots = _sum_of_roots(inner, min(_rank(len(inner), real), n - 1))
        return mean_term + real.cov.trace() + trace - 2 * roots


class _Seen:
    """Samples in a fixed random order, as the real side's factor sees them.

    So the distance of any part of them costs no product with the real covariance.
    """

    def __init__(self, real: Gaussian, x: Tensor) -> None:
        order = torch.randperm(len(x), generator=generator_for(SEED))
        self.x, self.mean = x[order.to(x.device)], real.mean
        parts = [(part.double() - real.mean) @ real.factor for part in self.x.split(CHUNK)]
        self.y = torch.cat(parts)
        if len(self.y) < self.y.shape[1]:  # fewer samples than columns: the same products in n
            self.y = torch.linalg.qr(self.y.T, mode="r").R.T

    def sums(self, start: int, end: int) -> _Sums:
        shift, y = self.x[start:end].double() - self.mean, self.y[start:end]
        return _Sums(end - start, shift.sum(0), shift.square().sum(), y.sum(0), y.T @ y)


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


class FrechetScore(OrderedSamples):
    """`frechet_to_samples` of the features of all processes: {"fid"}.

    real: on the metric's device.   update: numbers (n,), features (n, d).
    """

    higher_is_better = False

    def __init__(self, real: Gaussian, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.real = real

    def compute(self) -> dict[str, Tensor]:
        return {"fid": frechet_to_samples(self.real, self.ordered())}


class FrechetInfinity(FrechetScore):
    """`frechet_infinity` of the features of all processes: fid_infinity, fid_infinity_residual.

    Where there are samples enough also the ends of its interval, fid_infinity_low and _high: those
    of `infinity_interval`, reaching to the line's own value where that lies outside.
    """

    def compute(self) -> dict[str, Tensor]:
        samples = self.ordered()
        limit, residual = frechet_infinity(self.real, samples)
        found = {"fid_infinity": limit, "fid_infinity_residual": residual}
        interval = infinity_interval(self.real, samples)
        if interval is not None:
            low, high = interval
            found["fid_infinity_low"] = torch.minimum(low, limit)
            found["fid_infinity_high"] = torch.maximum(high, limit)
        return found


class FrechetSpread(FrechetScore):
    """`frechet_error` of the features of all processes: {"fid_error"}."""

    def compute(self) -> dict[str, Tensor]:
        return {"fid_error": frechet_error(self.real, self.ordered())}


class IntraFrechet(OrderedSamples):
    """The Frechet distance within each class: {"intra_fid", "intra_fid_per_class" (K,)}.

    real: a Gaussian for each of K classes, on the metric's device.
    intra_fid is their mean, each class counting alike.
    Source: Miyato and Koyama 2018, arXiv:1802.05637.
    """

    higher_is_better = False
    state_types = OrderedSamples.state_types | {"labels": torch.int64}
    labels: list[Tensor]

    def __init__(self, real: Sequence[Gaussian], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.real = list(real)

    def update(self, numbers: Tensor, features: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        """numbers: (n,).   features: (n, d).   labels: (n,) integers, 0 to K - 1."""
        if len(labels) != len(features):
            raise ValueError(f"{len(labels)} labels for {len(features)} samples: give one each.")
        super().update(numbers, features)
        self._keep("labels", labels)

    def compute(self) -> dict[str, Tensor]:
        """Raises: ValueError for a class of fewer than 2 samples, or an unknown one."""
        labels, features = dim_zero_cat(self.labels)[self.order()], self.ordered()
        counts = labels.bincount(minlength=len(self.real)).tolist()
        if len(counts) > len(self.real):
            raise ValueError(
                f"Label {len(counts) - 1} has no real side: {len(self.real)} classes are known, "
                f"0 to {len(self.real) - 1}."
            )
        for label, count in enumerate(counts):
            if count < 2:
                raise ValueError(
                    f"Class {label} has {count} generated samples, too few for a distance of its "
                    "own: raise n_fake until each class has at least 2, or leave intra_fid out."
                )
        values = torch.stack(
            [frechet_to_samples(r, features[labels == k]) for k, r in enumerate(self.real)]
        )
        return {"intra_fid": values.mean(), "intra_fid_per_class": values}
