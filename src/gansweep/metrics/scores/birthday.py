"""The birthday test: how many different samples a generator can make.

If n samples are drawn from N equally likely ones, each of the n (n - 1) / 2 pairs is equal (twins)
with probability 1/N. So the number of twins among generated samples estimates N, the support. If
the samples are not equally likely, it estimates their effective number, which is smaller.

The paper finds twins by eye among the closest pairs of a batch. Ours is a threshold: two samples
are twins if they are at most as far apart as the tenth closest pair of real samples. So the real
samples, and a generator as diverse, have a support of one tenth of their pairs in every feature
space. Exact copies among the real samples are left out, and their number is reported.

Source: Arora and Zhang 2017, arXiv:1706.08224, Section 2.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.order import generator_for
from gansweep.metrics.cache import Content, say
from gansweep.metrics.measure import Measure, Setting
from gansweep.metrics.ordered import OrderedSamples, Scores, as_scores
from gansweep.metrics.protocol import Protocol
from gansweep.records.notation import plural

REAL_TWINS = 10
LEAST_REAL = 20
MOST_REAL = 10_000  # 50 million pairs, support 5 million
EVEN_ODDS = math.log(2)  # expected twins if the chance of seeing none is 1/2 (Poisson)
SLACK = 1e-9  # times the features' variance: the rounding error between equal samples
CHUNK = 1024


def birthday(distance: float) -> OrderedSamples:
    """The support of a generator, estimated from the twins among its samples.

    distance: the threshold from `real_twins` in the same feature space.
    Gives "support" and "twins", the number of twin pairs. Without twins the support is a lower
    bound. For equally likely samples its relative standard error is 1 / sqrt(twins).
    """

    def scores(samples: Tensor) -> Scores:
        """Raises: ValueError for fewer than 2 samples."""
        if len(samples) < 2:
            raise ValueError(f"No pair in {plural(len(samples), 'sample')}: give 2 or more.")
        twins = twin_count(samples, distance)
        return as_scores(support=support(twins, len(samples)), twins=twins)

    return OrderedSamples(scores)


class Twins(NamedTuple):
    """The rule for twins, taken from real samples.

    distance: Euclidean, in the feature space of the real samples. Closer samples are twins.
    real_support: the support of the real samples by this rule.
    """

    distance: float
    real_support: float


def real_twins(real: Tensor) -> Twins:
    """The rule from the features (n, d) of real samples; at most 10,000 of them are compared.

    Samples that equal an earlier one, up to rounding, are left out.
    Raises: ValueError for fewer than 20 different samples.
    """
    if len(real) > MOST_REAL:
        real = real[torch.randperm(len(real), generator=generator_for(0))[:MOST_REAL]]
    given = len(real)
    real = real[~_repeated(real)]
    if len(real) < LEAST_REAL:
        copies = f" and {given - len(real)} copies of them" if given > len(real) else ""
        raise ValueError(
            f"{len(real)} different real samples{copies} are too few for the birthday test: give "
            f"at least {LEAST_REAL}."
        )
    closest = torch.full((REAL_TWINS,), math.inf, dtype=torch.float64, device=real.device)
    for squares in _pairs(real):
        closer = squares[squares < closest[-1]]
        closest = torch.cat([closest, closer]).topk(REAL_TWINS, largest=False, sorted=True).values
    return Twins(math.sqrt(closest[-1]), math.comb(len(real), 2) / REAL_TWINS)


def twin_count(samples: Tensor, distance: float) -> int:
    """The number of pairs of rows of `samples` (n, d) that are at most `distance` apart."""
    limit = distance**2 + _rounding(samples)
    return sum(int((squares <= limit).sum()) for squares in _pairs(samples))


def copy_count(chunks: Iterable[Tensor]) -> int:
    """How many samples are exact copies of an earlier one.   chunks: (n, ...) on the CPU."""
    seen: set[bytes] = set()
    total = 0
    for chunk in chunks:
        total += len(chunk)
        seen.update(
            hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in chunk.numpy()
        )
    return total - len(seen)


def support(twins: int, n: int) -> float:
    """The support of a generator if `twins` pairs among its n samples are twins.

    Without twins: the support for which n samples have no twins with probability 1/2, as in the
    paper. Read it as a lower bound.
    """
    return math.comb(n, 2) / max(twins, EVEN_ODDS)


def _repeated(samples: Tensor) -> Tensor:
    """(n,) bool: which rows of `samples` (n, d) equal an earlier one, up to rounding."""
    limit, start = _rounding(samples), 0
    repeated = torch.zeros(len(samples), dtype=torch.bool, device=samples.device)
    for squares in _pairs(samples):
        repeated[start:] |= (squares <= limit).any(0)
        start += len(squares)
    return repeated


def _rounding(samples: Tensor) -> Tensor:
    """The squared distance below which samples (n, d) count as equal."""
    return SLACK * samples.double().var(0).sum()


def _pairs(samples: Tensor) -> Iterator[Tensor]:
    """Squared distances of all pairs of different rows, each pair once, in blocks of float64.

    The other entries of a block are infinite.
    """
    samples = samples.double()
    samples = samples - samples.mean(0)  # shorter vectors: smaller rounding errors below
    lengths = samples.square().sum(1)
    for start in range(0, len(samples), CHUNK):
        rows = samples[start : start + CHUNK]
        squares = torch.addmm(lengths[start:], rows, samples[start:].T, alpha=-2)
        squares += lengths[start : start + CHUNK, None]
        corner = squares[:, : len(rows)]
        corner.masked_fill_(torch.ones_like(corner, dtype=torch.bool).tril(), math.inf)
        yield squares.clamp_min_(0)


class Support(Measure):
    """How many different samples the generator can make, estimated from twins."""

    choices = ("support",)
    words = ("support", "twins")
    smallest = (2, LEAST_REAL)
    needs_features = True

    def build(self, setting: Setting) -> Metric:
        return birthday(self._rule(setting)["distance"])

    def _rule(self, setting: Setting) -> Content:
        data, count = setting.data, setting.real_side.count

        def measure() -> Content:
            copies = copy_count(images for images, _ in data.arrays(setting.split, count))
            if copies:
                say(
                    f"{copies:,} of the {count:,} {setting.split} images of data={data.name} are "
                    "exact copies of others. The birthday test ignores the copies."
                )
            return real_twins(setting.features)._asdict() | {"real_copies": copies}

        return setting.real_side.cached("twins-of-different", measure)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        """real_copies: how many of the real images are exact copies of another."""
        rule = self._rule(setting)
        return {word: rule[word] for word in ("real_support", "real_copies")}
