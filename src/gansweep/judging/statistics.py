"""Scores over seeds: mean, spread and interval of a configuration, and tests of two of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from gansweep.records.notation import ROUNDING, bracketed, mean_and_std

ALPHA = 0.05  # probability of a false difference among all comparisons


@dataclass(frozen=True)
class Summary:
    """A score over seeds.

    std: of the sample (n - 1); 0 where the values differ by rounding alone.   error: of the mean.
    Both are None for a single seed.
    """

    mean: float
    std: float | None
    error: float | None
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval of the mean: mean ± t * error, by Student's t of n - 1
        degrees of freedom. None for a single seed, and where the seeds do not differ."""
        return student_interval(self.mean, self.error, self.n - 1) if self.error else None

    @property
    def interval_text(self) -> str:
        """ "[-3.0, 15.0]"; "" where there is none."""
        return bracketed(*self.interval, self.std) if self.interval and self.std else ""

    def __str__(self) -> str:
        """ "6.0 ± 3.6": the mean and the standard deviation, not the error of the mean."""
        return mean_and_std(self.mean, self.std)


def summarize(values: Sequence[float]) -> Summary | None:
    """Mean, standard deviation and standard error of the mean; None for no values."""
    if not values:
        return None
    mean, n = fmean(values), len(values)
    if n == 1:
        return Summary(mean, None, None, tuple(values))
    std = 0.0 if are_equal(values) else math.sqrt(_variance(values))
    return Summary(mean, std, std / math.sqrt(n), tuple(values))


def seeds_text(n: int, lost: int) -> str:
    """ "3", or "1 of 3" where some seeds have no result."""
    return f"{n} of {n + lost}" if lost else str(n)


def all_known(values: Iterable[float | None]) -> list[float] | None:
    """The values; None where one is missing."""
    found = list(values)
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else None


def are_equal(values: Sequence[float], size: float | None = None) -> bool:
    """Whether the values differ by rounding alone.

    size: the magnitude of the numbers that they were computed from; None: their own.
    """
    largest = max(map(abs, values)) if size is None else size
    return max(values) - min(values) <= ROUNDING * largest


@dataclass(frozen=True)
class Comparison:
    """The difference between the means of two configurations, and whether it is significant.

    difference: the other's mean minus the first's.   error: its standard error; 0 where neither
        varies over its seeds, None where one of them has a single seed.
    freedom: degrees of freedom of the t-test.   paired: whether the test pairs equal seeds.
    p: two-sided; corrected after `holm`. None where no test is possible.
    interval: of the difference, at the level at which `holm` tests it: it contains 0 exactly where
        the difference is not significant. None where no test is possible.
    """

    difference: float
    error: float | None
    freedom: float = math.nan
    paired: bool = False
    p: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def apart(self) -> bool:
        """Whether the difference is significant. If neither varies over its seeds, any is."""
        return self.p < ALPHA if self.p is not None else self.error == 0 and self.difference != 0


def compare(first: Mapping[Any, float], other: Mapping[Any, float]) -> Comparison:
    """The t-test of two configurations. Each: seed -> score, one seed at least.

    For equal seeds the paired t-test; else, or where all pairs differ by the same amount, Welch's
    (Welch 1947, Biometrika 34).
    """
    a, b = list(first.values()), list(other.values())
    difference = fmean(b) - fmean(a)
    if min(len(a), len(b)) < 2:
        return Comparison(difference, None)
    if first.keys() == other.keys():
        gaps = [other[seed] - first[seed] for seed in first]
        if not are_equal(gaps, max(map(abs, [*a, *b]))):
            error = math.sqrt(_variance(gaps) / len(gaps))
            return _tested(Comparison(difference, error, len(gaps) - 1, paired=True))
    parts = [0.0 if are_equal(one) else _variance(one) / len(one) for one in (a, b)]
    error = math.sqrt(math.fsum(parts))
    if error == 0:
        return Comparison(0.0 if are_equal([*a, *b]) else difference, 0.0)
    # Satterthwaite 1946
    shares = (part**2 / (len(one) - 1) for part, one in zip(parts, (a, b), strict=True))
    return _tested(Comparison(difference, error, error**4 / math.fsum(shares)))


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons in their order, each p corrected for their number.

    With probability 1 - ALPHA there is no false difference among the significant ones.
    Source: Holm 1979, Scandinavian Journal of Statistics 6(2).
    """
    tested = [place for place, one in enumerate(comparisons) if one.p is not None]
    tested.sort(key=lambda place: comparisons[place].p or 0.0)
    corrected = list(comparisons)
    most, level = 0.0, ALPHA
    for step, place in enumerate(tested):
        one, left = comparisons[place], len(tested) - step
        assert one.p is not None
        if most < ALPHA:  # all after the first that is not significant are tested at its level
            level = ALPHA / left
        most = max(most, min(1.0, left * one.p))
        interval = student_interval(one.difference, one.error or 0.0, one.freedom, level)
        corrected[place] = replace(one, p=most, interval=interval)
    return corrected


def _tested(one: Comparison) -> Comparison:
    from scipy.special import stdtr

    assert one.error
    p = 2 * float(stdtr(one.freedom, -abs(one.difference) / one.error))
    return replace(one, p=p, interval=student_interval(one.difference, one.error, one.freedom))


def student_interval(
    mean: float, error: float, freedom: float, level: float = ALPHA
) -> tuple[float, float]:
    """mean ± t * error by Student's t.   level: the probability that the true value is outside."""
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, 1 - level / 2)) * error
    return mean - reach, mean + reach


def _variance(values: Sequence[float]) -> float:
    mean = fmean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
