"""Whether the seeds tell one configuration from others: t-tests, corrected by Holm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gansweep.judging.statistics import are_equal

ALPHA = 0.05  # of calling any difference real that is none


@dataclass(frozen=True)
class Comparison:
    """The difference between the means of two configurations, and whether it is beyond chance.

    difference: of the other's mean from the first's.   error: its standard error; 0 where neither
        varies over its seeds, None where one of them has a single seed.
    freedom: degrees of freedom of the t-test.   paired: whether the test pairs equal seeds.
    p: two-sided; after `holm` corrected. None where no test can be made.
    interval: of the difference, at the level at which `holm` tests it: it holds 0 exactly where
        the test does not tell the two apart. None where no test can be made.
    """

    difference: float
    error: float | None
    freedom: float = math.nan
    paired: bool = False
    p: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def apart(self) -> bool:
        """Whether the difference is beyond chance. Of two that do not vary over several seeds
        each, any difference is."""
        return self.p < ALPHA if self.p is not None else self.error == 0 and self.difference != 0


def compare(first: Mapping[Any, float], other: Mapping[Any, float]) -> Comparison:
    """The t-test of two configurations. Each: seed -> score, one seed at least.

    Where both have the same seeds it is the paired t-test, else Welch's (Welch 1947, Biometrika
    34): also where all pairs differ by the same, which says nothing of chance.
    """
    a, b = list(first.values()), list(other.values())
    difference = math.fsum(b) / len(b) - math.fsum(a) / len(a)
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
    shares = [
        part**2 / (len(one) - 1) for part, one in zip(parts, (a, b), strict=True)
    ]  # Satterthwaite 1946
    return _tested(Comparison(difference, error, error**4 / math.fsum(shares)))


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons in their order, each p corrected for how many there are.

    With probability 1 - ALPHA no difference is called real that is none.
    Source: Holm 1979, Scandinavian Journal of Statistics 6(2).
    """
    tested = [place for place, one in enumerate(comparisons) if one.p is not None]
    tested.sort(key=lambda place: comparisons[place].p or 0.0)
    corrected = list(comparisons)
    most, level = 0.0, ALPHA
    for step, place in enumerate(tested):
        one, left = comparisons[place], len(tested) - step
        assert one.p is not None
        if most < ALPHA:  # behind the first that is not told apart, all are tested as it was
            level = ALPHA / left
        most = max(most, min(1.0, left * one.p))
        corrected[place] = replace(one, p=most, interval=_interval(one, level))
    return corrected


def _tested(one: Comparison) -> Comparison:
    from scipy.special import stdtr

    assert one.error
    p = 2 * float(stdtr(one.freedom, -abs(one.difference) / one.error))
    return replace(one, p=p, interval=_interval(one, ALPHA))


def _interval(one: Comparison, level: float) -> tuple[float, float]:
    """level: the probability that the true difference is outside."""
    from scipy.special import stdtrit

    assert one.error
    reach = float(stdtrit(one.freedom, 1 - level / 2)) * one.error
    return one.difference - reach, one.difference + reach


def _variance(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
