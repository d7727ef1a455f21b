"""A score over the seeds of a configuration: mean, spread and confidence interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gansweep.records.notation import ROUNDING, bracketed, mean_and_std


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
        if not self.error:
            return None
        from scipy.special import stdtrit

        reach = float(stdtrit(self.n - 1, 0.975)) * self.error
        return self.mean - reach, self.mean + reach

    @property
    def interval_text(self) -> str:
        """ "[-3.0, 15.0]"; "" where there is none."""
        return bracketed(*self.interval, self.std) if self.interval and self.std else ""

    def __str__(self) -> str:
        """ "6.0 ± 3.6": the mean and the standard deviation, not the error of the mean."""
        return mean_and_std(self.mean, self.std)


def summarize(values: Sequence[float]) -> Summary | None:
    """Mean, standard deviation and standard error of the mean; None for no values."""
    n = len(values)
    if n == 0:
        return None
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(mean, None, None, tuple(values))
    if are_equal(values):
        return Summary(mean, 0.0, 0.0, tuple(values))
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Summary(mean, std, std / math.sqrt(n), tuple(values))


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
