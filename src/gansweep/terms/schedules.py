"""Schedules on the clock of images seen: of learning rates, and of other shares.

Each returns a factor in [0, 1]; both arguments are in thousands of images. A budget_kimg that grows
on resuming stretches the schedules that depend on it.
"""

import math
from collections.abc import Callable
from typing import Annotated

from gansweep.config.ranges import Decay, Kimg, Range, Share

Schedule = Callable[[float, float], float]  # (kimg, budget_kimg) -> factor


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
    return float(max(floor, 0.5 ** int(kimg // every_kimg)))


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
    return float(max(floor, factor ** int(kimg // every_kimg)))
