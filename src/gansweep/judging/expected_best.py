"""The best score that a search with a given budget is expected to find.

Source: Lucic et al. 2018, arXiv:1711.10337, Figure 5: the best of k trials that are drawn with
replacement from all trials (the bootstrap). They sampled the draws; here the mean and percentiles
over all draws are computed exactly, from the order of the values.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from gansweep.judging.statistics import all_known
from gansweep.judging.trials import Trial
from gansweep.records.notation import plural

MIN_TRIALS = 3
TAIL = 0.05  # of all draws, left out at each end of the band


@dataclass(frozen=True)
class Curve:
    """The best of k = 1, 2, ..., n trials over all draws.

    mean: its expectation.   low, high: its 5th and 95th percentile, low <= high.
    """

    mean: list[float]
    low: list[float]
    high: list[float]


def expected_best(values: Sequence[float], direction: str | None) -> Curve:
    """The best of k draws with replacement from these values, for k = 1 to their number n.

    With y_1, ..., y_n from worst to best, the best of k draws is y_i or worse with probability
    (i / n)^k, so it is y_i with probability (i / n)^k - ((i - 1) / n)^k.
    """
    n = len(values)
    ordered = sorted(values, reverse=direction != "maximize")
    mean, unlucky, lucky = [], [], []
    for k in range(1, n + 1):
        reached = [(i / n) ** k for i in range(n + 1)]
        steps = (after - before for before, after in zip(reached, reached[1:], strict=False))
        mean.append(math.fsum(y * step for y, step in zip(ordered, steps, strict=True)))
        unlucky.append(ordered[_percentile(reached, TAIL)])
        lucky.append(ordered[_percentile(reached, 1 - TAIL)])
    if direction == "maximize":
        return Curve(mean, unlucky, lucky)
    return Curve(mean, lucky, unlucky)


def _percentile(reached: Sequence[float], share: float) -> int:
    """The index of the value that the best of k draws does not exceed with this probability."""
    return bisect.bisect_left(reached, share, lo=1, hi=len(reached) - 1) - 1


@dataclass(frozen=True)
class Family:
    """The trials of one model: their scores and their cost, in the order in which they were tried.

    spent: kimg of each trial, over all its seeds.   lost: how many have no score of their own and
    count with the worst one.   seconds: mean of a trial over all its seeds; None where a record has
    none.
    """

    model: str
    values: list[float]
    spent: list[float]
    lost: int
    seconds: float | None

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def kimg(self) -> float:
        """Mean of a trial."""
        return fmean(self.spent)

    def so_far(self, direction: str | None) -> list[float]:
        """The best of the first 1, 2, ..., n trials, as the search went."""
        return list(itertools.accumulate(self.values, max if direction == "maximize" else min))


def families(
    trials: Sequence[Trial], metric: str, direction: str | None, at: str
) -> tuple[list[Family], dict[str, str]]:
    """The models with enough trials, and for each other model the reason it is left out.

    A pruned trial counts with its last score, at its small cost. A trial that diverged, collapsed,
    never learned, failed or broke a constraint has spent its budget: it counts with the worst value
    of all these trials. An unfinished trial is left out.
    """
    ended = [trial for trial in trials if trial.ended]
    outcomes = {t: t.value(metric, at) if t.has_score else None for t in ended}
    known = [value for value in outcomes.values() if value is not None]
    if not known:
        return [], {}
    worst = min(known) if direction == "maximize" else max(known)
    found, missing = [], {}
    for model in dict.fromkeys(trial.model for trial in trials):
        members = [trial for trial in ended if trial.model == model]
        scored = [outcomes[trial] for trial in members]
        lost = scored.count(None)
        if len(members) < MIN_TRIALS:
            missing[model] = f"{plural(len(members), 'trial')} ended, of at least {MIN_TRIALS}"
        elif lost == len(members):
            missing[model] = f"none of its {len(members)} trials came to a score"
        else:
            values = [worst if value is None else value for value in scored]
            spent = [trial.kimg for trial in members]
            times = all_known(trial.seconds for trial in members)
            found.append(Family(model, values, spent, lost, fmean(times) if times else None))
    return found, missing
