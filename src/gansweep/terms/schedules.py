"""Schedules on the clock of images seen: of learning rates, and of other numbers.

The functions return a factor in [0, 1], a `Ramp` the number itself; both arguments are in thousands
of images. A budget_kimg that grows on resuming stretches the schedules that depend on it.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal

from gansweep.config.ranges import Decay, Kimg, Range, Scheduled, Share, Value
from gansweep.terms.clock import Clock

Schedule = Callable[[float, float], float]  # (kimg, budget_kimg) -> factor


class Ramp(Scheduled[Value]):
    """A number that goes from `start` to `end` in `until_kimg`, along half a cosine or a line.

    In a configuration it stands in place of a number: a penalty's weight, a beta of an optimizer,
    the half-life of the averages, the p of an augmentation.
    until_kimg: thousands of images; None: the whole budget.
    Source: Huang et al. 2024, arXiv:2501.05441, whose settings follow half a cosine.
    """

    def __init__(
        self,
        *,
        start: Value,
        end: Value,
        until_kimg: Kimg | None = None,
        shape: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        self.start, self.end, self.until_kimg, self.shape = start, end, until_kimg, shape

    def __call__(self, kimg: float, budget_kimg: float) -> float:
        passed = min(1.0, kimg / (self.until_kimg or budget_kimg))
        share = passed if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * passed))
        return (1 - share) * self.start + share * self.end


def value_at(number: float | Schedule, clock: Clock) -> float:
    """The number itself, or what its schedule makes of it at that moment."""
    return number(clock.kimg, clock.budget_kimg) if callable(number) else number


def linear_decay(kimg: float, budget_kimg: float, *, start: Decay = 0.0) -> float:
    """1 until the share `start` of the budget, then straight down to 0 at its end.

    start = 0: Miyato et al. 2018, arXiv:1802.05957; start = 0.5: Zhu et al. 2017,
    arXiv:1703.10593, Section 4.
    """
    share = kimg / budget_kimg
    return 1.0 if share < start else max(0.0, (1 - share) / (1 - start))


def cosine(kimg: float, budget_kimg: float) -> float:
    """Half a cosine from 1 down to 0 over the budget: Loshchilov and Hutter 2017."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, kimg / budget_kimg)))


def halving(kimg: float, budget_kimg: float, *, every_kimg: Kimg, floor: Share = 0.0) -> float:
    """Halved after each `every_kimg`, never below `floor` (Berthelot et al. 2017, Section 4.1)."""
    return float(max(floor, 0.5 ** _passed(kimg, every_kimg)))


def geometric(
    kimg: float,
    budget_kimg: float,
    *,
    factor: Annotated[float, Range(0, 1, above=True)],
    every_kimg: Kimg,
    floor: Share = 0.0,
) -> float:
    """Times `factor` after each `every_kimg`, never below `floor`.

    The share of fakes in top-k training has a factor of 0.99 an epoch and a floor of 0.5 (Sinha
    et al. 2020, arXiv:2002.06224, Section 3).
    """
    return float(max(floor, factor ** _passed(kimg, every_kimg)))


def _passed(kimg: float, every_kimg: float) -> int:
    """How many times `every_kimg` is over: 3 for 0.3 and 0.1, whose quotient is 3 less 4e-16."""
    return math.floor(kimg / every_kimg + 1e-9)
