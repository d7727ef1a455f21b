"""The standard error of FID, and FID at infinitely many samples.

d: width of the features.   n: number of samples.   The real side is fixed: a Gaussian is known.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.order import generator_for
from gansweep.metrics.measure import Measure, Setting
from gansweep.metrics.moments import CHUNK, Gaussian, rank
from gansweep.metrics.ordered import OrderedSamples, Scores
from gansweep.metrics.scores.frechet import sum_of_roots

INFINITY_SIZES = 15  # as published
SAMPLES_PER_DIMENSION = 5000 / 2048  # the smallest published size over its d
GROUPS = 20  # of the jackknife; each is left out once
# per dimension; with fewer, the remaining bias is not small compared with the interval
INTERVAL_SAMPLES = 10
STUDENT_95 = 2.093  # for GROUPS - 1 degrees of freedom
SEED = 20_200_614  # of the random order from which sizes and groups are taken


def frechet_infinity(real: Gaussian, x: Tensor) -> tuple[Tensor, Tensor]:
    """The distance at infinitely many samples, from a line in 1/n through 15 sizes up to n.

    x: (n, d), n >= 30.
    Returns: the value of the line at 1/n = 0, which can be negative for equal distributions, and
        the root mean square of the 15 residuals. The relation is linear only for n well above d.
        For smaller n the limit comes out too low, and the residual shows a part of this error.

    The sizes are evenly spaced and start at n / 10, as published. Ours: they start at no less than
    the published ratio of 5,000 samples at d = 2048 (but at most at n / 2), and each contains the
    smaller ones in one fixed random order, where the published code draws new samples.
    Raises: ValueError for fewer than 30 samples.
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
    samples = _Projected(real, x)
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

    x: (n, d).   Returns: low and high, 0-dim float64; low can be negative.
    The jackknife over 20 groups removes the bias in 1/n. On both halves of the samples the bias in
    1/n^2 is four times as large, which removes that too. The interval is Student's t times the
    jackknife's standard error; the real side counts as exact. In simulations with normal features
    (d = 64 to 512, n = 10 d to 20 d) 90 to 100 % of the intervals contained the true distance.
    Source: Shao and Wu 1989, Annals of Statistics 17(3); the second order is ours.
    """
    n, d = x.shape
    if n < max(INTERVAL_SAMPLES * d, 2 * GROUPS):
        return None
    samples = _Projected(real, x)
    bounds = [group * n // GROUPS for group in range(GROUPS + 1)]
    middle = GROUPS // 2
    first, error = _without_bias(real, samples, bounds)
    halves = [
        _without_bias(real, samples, part)[0] for part in (bounds[: middle + 1], bounds[middle:])
    ]
    limit = first + (first - torch.stack(halves).mean()) / 3
    return limit - STUDENT_95 * error, limit + STUDENT_95 * error


def _without_bias(
    real: Gaussian, samples: _Projected, bounds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The distance without its bias in 1/n, and its standard error.   bounds: of the groups."""
    whole, groups = samples.sums(bounds[0], bounds[-1]), len(bounds) - 1
    pseudo = groups * whole.distance(real) - (groups - 1) * _leave_one_out(real, samples, bounds)
    return pseudo.mean(), (pseudo.var() / groups).sqrt()


def _leave_one_out(real: Gaussian, samples: _Projected, bounds: Sequence[int]) -> Tensor:
    """(g,): the distances without each of the g groups between `bounds`."""
    whole, groups = samples.sums(bounds[0], bounds[-1]), zip(bounds, bounds[1:], strict=False)
    return torch.stack([(whole - samples.sums(*group)).distance(real) for group in groups])


def frechet_error(real: Gaussian, x: Tensor) -> Tensor:
    """Standard error of `frechet_to_samples`, 0-dim float64, by leaving out each of 20 groups.

    x: (n, d), n >= 40.
    It is the spread over draws of n samples. An interval from it covers their mean distance, not
    the distance at infinitely many samples: the bias is many times larger at small n.
    A bootstrap would draw only 63 % different samples, which adds bias and doubles or triples the
    spread near FID 0.
    Raises: ValueError for fewer than 40 samples.
    Source: Shao and Wu 1989, Annals of Statistics 17(3): (g - 1) / g times the sum of
    squared deviations of the g leave-one-out values.
    """
    n = len(x)
    if n < 2 * GROUPS:
        raise ValueError(
            f"{n} samples are too few for the standard error of FID: give at least {2 * GROUPS}, "
            "or leave fid_error out."
        )
    bounds = [group * n // GROUPS for group in range(GROUPS + 1)]
    values = _leave_one_out(real, _Projected(real, x), bounds)
    return ((GROUPS - 1) * values.var(correction=0)).sqrt()


@dataclass(frozen=True)
class _Sums:
    """The sums over some samples that the distance needs; they can be added and subtracted.

    shift: (d,), squares: 0-dim: sums of x - m and |x - m|^2, where m is the real mean.
    projected: (w,), outer: (w, w): sums of y and y y^T, where y = (x - m) R, and R is the real
        side's factor.
    """

    count: int
    shift: Tensor
    squares: Tensor
    projected: Tensor
    outer: Tensor

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*map(operator.add, vars(self).values(), vars(other).values()))

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(*map(operator.sub, vars(self).values(), vars(other).values()))

    def distance(self, real: Gaussian) -> Tensor:
        n = self.count
        mean_term = (self.shift / n).square().sum()
        trace = (self.squares - n * mean_term) / (n - 1)
        inner = (self.outer - torch.outer(self.projected, self.projected) / n) / (n - 1)
        roots = sum_of_roots(inner, min(rank(len(inner), real), n - 1))
        return mean_term + real.cov.trace() + trace - 2 * roots


class _Projected:
    """Samples in a fixed random order, projected by the real side's factor.

    The distance of any part of them then needs no product with the real covariance.
    """

    def __init__(self, real: Gaussian, x: Tensor) -> None:
        order = torch.randperm(len(x), generator=generator_for(SEED))
        self.x, self.mean = x[order.to(x.device)], real.mean
        parts = [(part.double() - real.mean) @ real.factor for part in self.x.split(CHUNK)]
        self.y = torch.cat(parts)
        if len(self.y) < self.y.shape[1]:  # fewer samples than columns: same products, width n
            self.y = torch.linalg.qr(self.y.T, mode="r").R.T

    def sums(self, start: int, end: int) -> _Sums:
        shift, y = self.x[start:end].double() - self.mean, self.y[start:end]
        return _Sums(end - start, shift.sum(0), shift.square().sum(), y.sum(0), y.T @ y)


def infinity_scores(real: Gaussian, features: Tensor) -> Scores:
    """`frechet_infinity` of features (n, d): fid_infinity and fid_infinity_residual.

    With enough samples also fid_infinity_low and fid_infinity_high: the ends of
    `infinity_interval`, extended to the line's own value if that lies outside.
    """
    limit, residual = frechet_infinity(real, features)
    found = {"fid_infinity": limit, "fid_infinity_residual": residual}
    interval = infinity_interval(real, features)
    if interval is not None:
        found["fid_infinity_low"] = torch.minimum(interval[0], limit)
        found["fid_infinity_high"] = torch.maximum(interval[1], limit)
    return found


class FidError(Measure):
    """The standard error of FID, from which the panel gives FID its interval."""

    choices = words = ("fid_error",)
    smallest = (GROUPS, 2)

    def build(self, setting: Setting) -> Metric:
        real = setting.real_side.gaussian
        return OrderedSamples(lambda features: {"fid_error": frechet_error(real, features)})


class FidInfinity(Measure):
    """The FID extrapolated to infinitely many samples, and the residual of the fit."""

    choices = ("fid_infinity",)
    words = ("fid_infinity", "fid_infinity_residual")
    smallest = (INFINITY_SIZES, 2)

    def build(self, setting: Setting) -> Metric:
        return OrderedSamples(partial(infinity_scores, setting.real_side.gaussian))
