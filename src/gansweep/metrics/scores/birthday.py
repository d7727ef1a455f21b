"""The birthday test: how many different samples a generator can make, from how soon it repeats one.

Of n samples drawn from N equally likely ones, each of the n (n - 1) / 2 pairs is a pair of twins
with chance 1/N: so the number of twins among generated samples gives N. Where samples are not
equally likely it gives their effective number, which is smaller.

The paper finds twins by eye among the closest pairs of a batch. Ours: two samples are twins where
they are closer than real samples ever are, but for the ten closest pairs of them. So real samples
themselves have a support by this rule, one tenth of their pairs, and a generator that makes as
different samples as the data reaches it, whatever the feature space. Exact copies among the real
samples say nothing of how alike different ones are: they are left out of the rule, and counted.

Source: Arora and Zhang 2017, arXiv:1706.08224, Section 2.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gansweep.data.order import generator_for
from gansweep.metrics.ordered import OrderedSamples

REAL_TWINS = 10
LEAST_REAL = 20
MOST_REAL = 10_000  # 50 million pairs, support 5 million
EVEN_ODDS = math.log(2)  # twins expected where seeing none is as likely as seeing some
SLACK = 1e-9  # of the features' variance: what equal samples may differ by in rounding
CHUNK = 1024


class Birthday(OrderedSamples):
    """How many different samples a generator can make, by the twins among those given.

    `compute` gives "support" and the number of pairs of "twins" that it rests on. Without twins
    the support is only known to be at least about so large; with equally likely samples its
    relative standard error is 1 / sqrt(twins).
    distance: of `real_twins` in the same feature space.
    Raises: ValueError, in `compute`, for fewer than 2 samples.
    """

    higher_is_better = True

    def __init__(self, distance: float, **options: Any) -> None:
        super().__init__(**options)
        self.distance = distance

    def compute(self) -> dict[str, Tensor]:
        """{"support", "twins"}, float64.   Raises: ValueError for fewer than 2 samples."""
        samples = self.ordered()
        if len(samples) < 2:
            raise ValueError(f"{len(samples)} samples make no pair to be alike: give 2 or more.")
        twins = twin_count(samples, self.distance)
        values = {"support": support(twins, len(samples)), "twins": float(twins)}
        return {
            word: torch.tensor(value, dtype=torch.float64, device=samples.device)
            for word, value in values.items()
        }


@dataclass(frozen=True, slots=True)
class Twins:
    """When two samples count as one, by the real ones.

    distance: Euclidean, in the feature space of the real samples.
    real_support: the support that different real samples have by this rule, the most that can be
        measured as different from them.
    """

    distance: float
    real_support: float


def real_twins(real: Tensor) -> Twins:
    """The rule for the features (n, d) of real samples, at most 10,000 of which are compared.

    What equals an earlier sample, up to rounding, is left out.
    Raises: ValueError for fewer than 20 different ones.
    """
    if len(real) > MOST_REAL:
        real = real[torch.randperm(len(real), generator=generator_for(0))[:MOST_REAL]]
    given = len(real)
    real = real[~_repeated(real)]
    if len(real) < LEAST_REAL:
        copies = f" and {given - len(real)} copies of them" if given > len(real) else ""
        raise ValueError(
            f"{len(real)} different real samples{copies} are too few to say how alike two may be: "
            f"give {LEAST_REAL}."
        )
    closest = torch.full((REAL_TWINS,), math.inf, dtype=torch.float64, device=real.device)
    for squares in _pairs(real):
        closer = squares[squares < closest[-1]]
        closest = torch.cat([closest, closer]).topk(REAL_TWINS, largest=False, sorted=True).values
    return Twins(math.sqrt(closest[-1]), _n_pairs(len(real)) / REAL_TWINS)


def twin_count(samples: Tensor, distance: float) -> int:
    """Pairs of different rows of (n, d) that are at most `distance` apart."""
    limit = distance**2 + _rounding(samples)
    return sum(int((squares <= limit).sum()) for squares in _pairs(samples))


def copy_count(chunks: Iterable[Tensor]) -> int:
    """How many samples equal an earlier one to the last bit.   chunks: (n, ...) on the CPU."""
    seen: set[bytes] = set()
    total = 0
    for chunk in chunks:
        total += len(chunk)
        seen.update(
            hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in chunk.numpy()
        )
    return total - len(seen)


def support(twins: int, n: int) -> float:
    """Different samples that a generator can make, if `twins` pairs of its n samples are alike.

    Without twins it is the size at which n samples have none in half of all draws, as the paper
    reads a batch: to be understood as "at least about".
    """
    return _n_pairs(n) / max(twins, EVEN_ODDS)


def _repeated(samples: Tensor) -> Tensor:
    """(n,) bool: which rows of (n, d) equal an earlier one, up to rounding."""
    limit, start = _rounding(samples), 0
    repeated = torch.zeros(len(samples), dtype=torch.bool, device=samples.device)
    for squares in _pairs(samples):
        repeated[start:] |= (squares <= limit).any(0)
        start += len(squares)
    return repeated


def _rounding(samples: Tensor) -> Tensor:
    """The squared distance up to which samples (n, d) may be equal."""
    return SLACK * samples.double().var(0).sum()


def _n_pairs(n: int) -> int:
    return n * (n - 1) // 2


def _pairs(samples: Tensor) -> Iterator[Tensor]:
    """Squared distances of all pairs of different rows, once each: blocks of float64.

    Of the other pairs in a block the distance is infinite.
    """
    samples = samples.double()
    samples = samples - samples.mean(0)  # short vectors: little is lost in the difference below
    lengths = samples.square().sum(1)
    for start in range(0, len(samples), CHUNK):
        rows = samples[start : start + CHUNK]
        squares = torch.addmm(lengths[start:], rows, samples[start:].T, alpha=-2)
        squares += lengths[start : start + CHUNK, None]
        corner = squares[:, : len(rows)]
        corner.masked_fill_(torch.ones_like(corner, dtype=torch.bool).tril(), math.inf)
        yield squares.clamp_min_(0)
