"""The best score that a search of a given size is expected to find.

As Lucic et al. 2018 (arXiv:1711.10337, Figure 5) compare GANs: k trials are drawn from those that
were run, with replacement (the bootstrap), and the best of them is noted. They drew; here the mean
and the percentiles over all draws are computed exactly, from the order of the values.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from gansweep.judging.trials import Trial
from gansweep.records.notation import plural

MIN_TRIALS = 3
TAIL = 0.05  # the band leaves out the luckiest and the unluckiest twentieth of all draws


@dataclass(frozen=True)
class Curve:
    """The best of k = 1, 2, ..., n trials over all draws.

    mean: its expectation.   low, high: its 5th and 95th percentile, by size of the value.
    """

    mean: list[float]
    low: list[float]
    high: list[float]


def expected_best(values: Sequence[float], direction: str | None) -> Curve:
    """The best of k draws with replacement from these values, for k = 1 to their number n.

    With y_1, ..., y_n from worst to best, the best of k draws is y_i or worse with probability
    (i / n)^k, so it is y_i with probability (i / n)^k - ((i - 1) / n)^k.   direction: "maximize",
    or anything else to minimise.
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
    """The index of the first value that the best of k draws stays at or below with this share."""
    return bisect.bisect_left(reached, share, lo=1, hi=len(reached) - 1) - 1


@dataclass(frozen=True)
class Family:
    """The trials of one model: what each came to, in `values`, and what it cost.

    values: in the order in which the trials were tried.   spent: the kimg that each took, over all
    its seeds.   lost: how many came to no score and count with the worst one.
    seconds: mean of a trial over all its seeds; None where a record has none.
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
        return math.fsum(self.spent) / self.n

    def so_far(self, direction: str | None) -> list[float]:
        """The best of the first 1, 2, ..., n trials, as the search went."""
        return list(itertools.accumulate(self.values, max if direction == "maximize" else min))


def families(
    trials: Sequence[Trial], metric: str, direction: str | None, at: str
) -> tuple[list[Family], dict[str, str]]:
    """The models that can be drawn, and why the others cannot.

    A trial that was stopped early has its last score, for the little that it cost. One that
    diverged, collapsed, never learned or failed has spent its budget: it counts with the worst
    value that any of these trials ended with. What is still under way is left out.
    """
    told = [trial for trial in trials if trial.told]
    outcomes = {t: t.value(metric, at) if t.has_score else None for t in told}
    known = [value for value in outcomes.values() if value is not None]
    if not known:
        return [], {}
    worst = min(known) if direction == "maximize" else max(known)
    found, missing = [], {}
    for model in dict.fromkeys(trial.model for trial in trials):
        members = [trial for trial in told if trial.model == model]
        scored = [outcomes[trial] for trial in members]
        lost = scored.count(None)
        if len(members) < MIN_TRIALS:
            missing[model] = f"{plural(len(members), 'trial')} ended, of at least {MIN_TRIALS}"
        elif lost == len(members):
            missing[model] = f"none of its {len(members)} trials came to a score"
        else:
            values = [worst if value is None else value for value in scored]
            spent = [trial.kimg for trial in members]
            found.append(Family(model, values, spent, lost, _mean_seconds(members)))
    return found, missing


def _mean_seconds(trials: Sequence[Trial]) -> float | None:
    known = [seconds for trial in trials if (seconds := trial.seconds) is not None]
    return math.fsum(known) / len(known) if len(known) == len(trials) else None
