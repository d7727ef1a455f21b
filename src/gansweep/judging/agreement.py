"""Whether our scores agree with published ones: equivalence with a figure, and the order of rows.

"Cannot tell" is an answer: absence of a difference is no agreement, and few seeds show neither.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gansweep.judging.statistics import ALPHA, are_equal, student_interval, summarize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ranks = NDArray[np.int16]

MOST_ARRANGEMENTS = 20_000  # that are counted one by one; of more, as many are drawn
DRAWN = 20_000
SEED = 20180712  # of the drawn arrangements: the same p each time

Verdict = Literal["agrees", "differs", "cannot tell"]


@dataclass(frozen=True)
class Figure:
    """A published mean.   error: of the kind "sd" over runs or "se" of the mean, of `runs` runs."""

    value: float
    error: float | None = None
    kind: str = "none"
    runs: int | None = None

    @property
    def sd(self) -> float | None:
        """The standard deviation over the paper's runs; None where it is not known."""
        if self.error is None or self.kind == "none":
            return None
        if self.kind == "sd":
            return self.error
        return None if self.runs is None else self.error * math.sqrt(self.runs)

    @property
    def se(self) -> float | None:
        """The standard error of the paper's mean; None where it is not known."""
        if self.error is None or self.kind == "none":
            return None
        if self.kind == "se":
            return self.error
        return None if self.runs is None else self.error / math.sqrt(self.runs)


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided t-tests of our mean against a published one.

    margin: one standard deviation over the paper's runs.   p: the larger of the two tests'.
    differs_p: of the two-sided test that the means are the same.
    difference: nan where we have no value.
    lost: runs that have no score, as those that diverged: then nothing is tested.
    mixed: whether the values are of several protocols: then nothing is tested, either.
    interval: of the difference, at 1 - 2 ALPHA: it lies within the margin exactly where p < ALPHA.
    """

    verdict: Verdict
    difference: float
    margin: float
    p: float | None = None
    differs_p: float | None = None
    interval: tuple[float, float] | None = None
    lost: int = 0
    mixed: bool = False


def equivalence(values: Sequence[float], published: Figure, lost: int = 0) -> Equivalence | None:
    """Whether the mean of our seeds is within the paper's own spread of its mean.

    None where the paper gives no error, or where we have fewer than two seeds and lost none.
    lost: seeds without a score; the others are a selection, of which nothing is tested.
    Welch's form for two means of unequal variances, with the degrees of freedom of Satterthwaite.
    Source: Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15(6).
    """
    ours, margin, their_error = summarize(values), published.sd, published.se
    if not margin or not their_error:
        return None
    if lost:
        gap = math.nan if ours is None else ours.mean - published.value
        return Equivalence("cannot tell", gap, margin, lost=lost)
    if ours is None or ours.error is None:
        return None
    difference = ours.mean - published.value
    error, freedom = _welch(ours.error, ours.n, their_error, published.runs)
    below, above = (
        _tail((difference + margin) / error, freedom),
        _tail((margin - difference) / error, freedom),
    )
    p, differs = max(below, above), 2 * _tail(abs(difference) / error, freedom)
    interval = student_interval(difference, error, freedom, 2 * ALPHA)
    verdict: Verdict = "cannot tell"
    if p < ALPHA:
        verdict = "agrees"
    elif differs < ALPHA:
        verdict = "differs"
    return Equivalence(verdict, difference, margin, p, min(1.0, differs), interval)


def within(
    values: Sequence[float], value: float, tolerance: float, lost: int = 0
) -> Equivalence | None:
    """Whether each of our values is within a tolerance of a figure that was calculated.

    lost: seeds without a score, beside which no agreement can be told. None without any seed.
    """
    if not values and not lost:
        return None
    errors = [v - value for v in values]
    worst = max(errors, key=lambda e: math.inf if math.isnan(e) else abs(e), default=math.nan)
    verdict: Verdict = "cannot tell" if lost else "agrees"
    if errors and not abs(worst) <= tolerance:
        verdict = "differs"
    return Equivalence(verdict, worst, tolerance, lost=lost)


@dataclass(frozen=True)
class Order:
    """A test of the order of rows.

    verdict: "same" and "opposite" where the medians of all rows are so, too; "trend" where the test
        finds the paper's order, and some rows are not in it.
    statistic: the pairs of runs of two rows that are in the paper's order, a tie counted half.
    pairs: how many there are.   p: of so many or more under any order; opposite_p: of so few.
    reversed: the places in `groups` of two rows whose medians are not in the paper's order.
    """

    verdict: Literal["same", "trend", "opposite", "cannot tell"]
    statistic: float
    pairs: int
    p: float
    opposite_p: float
    reversed: tuple[tuple[int, int], ...] = ()


def order_of(groups: Sequence[tuple[float, Sequence[float]]]) -> Order | None:
    """Whether our runs follow the paper's order of the rows: a permutation test of Jonckheere's and
    Terpstra's statistic. Rows with one published value are not compared with each other.

    groups: (published value, our values) of each row.
    None where fewer than two rows with different published values have values of ours.
    Source: Jonckheere 1954, Biometrika 41.
    """
    present = sorted(
        ((place, list(values)) for place, values in groups if values), key=lambda group: group[0]
    )
    places = [place for place, values in present for _ in values]
    values = [value for _, group in present for value in group]
    pairs = sum(a < b for a in places for b in places)
    if not pairs:
        return None
    import numpy as np

    ranks = np.unique(values, return_inverse=True)[1].astype(np.int16)
    found = float(_in_order(ranks[None], places)[0])
    under = _in_order(_arrangements(ranks, places), places)
    p = _share(int((under >= found).sum()), len(under), places)
    opposite = _share(int((under <= found).sum()), len(under), places)
    turned, opposed = _reversed(groups)
    verdict: Literal["same", "trend", "opposite", "cannot tell"] = "cannot tell"
    # an exact test may reject at its level too: three runs of each of two rows reach 1/20 at best
    if p <= ALPHA:
        verdict = "trend" if turned else "same"
    elif opposite <= ALPHA and opposed:
        verdict = "opposite"
    return Order(verdict, found, pairs, p, opposite, turned)


def _reversed(
    groups: Sequence[tuple[float, Sequence[float]]],
) -> tuple[tuple[tuple[int, int], ...], bool]:
    """(the pairs of rows whose medians are not in the order of their places, whether the medians of
    all pairs are in the opposite one; equal medians are in neither)."""
    medians = [(i, place, statistics.median(v)) for i, (place, v) in enumerate(groups) if v]
    pairs = [(a, b) for a in medians for b in medians if a[1] < b[1]]
    turned = tuple((a[0], b[0]) for a, b in pairs if a[2] >= b[2])
    return turned, all(a[2] > b[2] for a, b in pairs)


def _in_order(arranged: Ranks, places: Sequence[float]) -> NDArray[np.float64]:
    """The statistic of each arrangement of ranks, (arrangements, runs) -> (arrangements,)."""
    import numpy as np

    found, at = np.zeros(len(arranged)), np.array(places)
    for column, place in enumerate(places):
        lower, higher = arranged[:, column, None], arranged[:, at > place]
        found += (lower < higher).sum(axis=1) + 0.5 * (lower == higher).sum(axis=1)
    return found


def _count(places: Sequence[float]) -> int:
    """How many ways there are to give the values to the rows."""
    sizes = [len(list(group)) for _, group in itertools.groupby(sorted(places))]
    return math.factorial(len(places)) // math.prod(map(math.factorial, sizes))


def _arrangements(ranks: Ranks, places: Sequence[float]) -> Ranks:
    """All ways to give the ranks to the rows, or DRAWN of them: (arrangements, runs)."""
    import numpy as np

    if _count(places) > MOST_ARRANGEMENTS:
        return np.random.default_rng(SEED).permuted(np.tile(ranks, (DRAWN, 1)), axis=1)
    sizes = {place: list(places).count(place) for place in dict.fromkeys(places)}
    return np.array(list(_dealt(ranks.tolist(), list(sizes.values()))), dtype=ranks.dtype)


def _dealt(ranks: list[int], sizes: list[int]) -> list[list[int]]:
    if len(sizes) == 1:
        return [ranks]
    found = []
    for chosen in itertools.combinations(range(len(ranks)), sizes[0]):
        rest = [v for i, v in enumerate(ranks) if i not in chosen]
        first = [ranks[i] for i in chosen]
        found += [[*first, *others] for others in _dealt(rest, sizes[1:])]
    return found


def _share(count: int, arrangements: int, places: Sequence[float]) -> float:
    """The p of a count; of drawn arrangements with our own among them (Phipson and Smyth 2010)."""
    if _count(places) > MOST_ARRANGEMENTS:
        return (count + 1) / (arrangements + 1)
    return count / arrangements


def _welch(ours: float, n: int, theirs: float, m: int | None) -> tuple[float, float]:
    """(standard error of the difference, degrees of freedom).   m: None: infinitely many."""
    error = math.hypot(ours, theirs)
    shares = ours**4 / (n - 1) + (theirs**4 / (m - 1) if m is not None and m > 1 else 0.0)
    return error, (error**4 / shares if shares else math.inf)


def _tail(t: float, freedom: float) -> float:
    """P(T > t)."""
    from scipy.special import ndtr, stdtr

    return float(ndtr(-t) if math.isinf(freedom) else stdtr(freedom, -t))


@dataclass(frozen=True)
class Spread:
    """Runs of a cell: the mean over training seeds, and the two sources of its spread apart.

    training: standard deviation over training seeds, without what the noise of evaluation adds to
    that of the runs' own means.   evaluation: of one scoring, pooled over the runs. None where
    there is one run, or one scoring of each.
    """

    mean: float
    interval: tuple[float, float] | None
    training: float | None
    evaluation: float | None
    n: int


def spread_of(
    runs: Sequence[Sequence[float]], possible: tuple[float, float] = (-math.inf, math.inf)
) -> Spread | None:
    """runs: of each training seed, its value under each seed of the noise of evaluation.

    possible: the least and the most that the score can be, at which the interval of the mean ends.
    """
    means = [math.fsum(values) / len(values) for values in runs if values]
    summary = summarize(means)
    if summary is None:
        return None
    several = [values for values in runs if len(values) > 1]
    evaluation = None
    if several:
        squares = [_squares(values) for values in several]
        freedom = sum(len(values) - 1 for values in several)
        evaluation = math.sqrt(math.fsum(squares) / freedom)
    interval = summary.interval
    if interval is not None:
        low, high = possible
        interval = (max(interval[0], low), min(interval[1], high))
    training = summary.std
    if training is not None and evaluation is not None:
        added = evaluation**2 * statistics.fmean(1 / len(values) for values in runs if values)
        training = math.sqrt(max(0.0, training**2 - added))
    return Spread(summary.mean, interval, training, evaluation, summary.n)


def _squares(values: Sequence[float]) -> float:
    if are_equal(values):
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)
