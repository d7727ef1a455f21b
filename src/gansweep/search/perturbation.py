"""Settings near others: how a population explores."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from gansweep.search.domains import Choice, Domain, Fixed, Interval, Scalar, Steps
from gansweep.search.space import Space


def explored(
    space: Space,
    params: Mapping[str, Scalar],
    factors: Sequence[float],
    resample: float,
    rng: random.Random,
) -> dict[str, Scalar]:
    """Each setting drawn afresh with probability `resample`, else perturbed by one of `factors`.

    params: name -> stored value.   space: without conditions, so that all of its entries are there.
    """
    found: dict[str, Scalar] = {}
    for parameter in space.parameters:
        domain = parameter.domain
        if isinstance(domain, Fixed):
            continue
        afresh, factor = rng.random() < resample, rng.choice(list(factors))
        value = drawn(domain, rng) if afresh else perturbed(domain, params[parameter.name], factor)
        found[parameter.name] = value
    return found


def drawn(domain: Domain, rng: random.Random) -> Scalar:
    """A stored value, uniformly over the domain; over its logarithm, where that is its scale."""
    if not isinstance(domain, Interval):
        return rng.choice(domain.options() or [])
    margin = 0.5 if domain.integer else 0.0  # so that the ends are as likely as the others
    low, high = domain.low - margin, domain.high + margin
    if domain.log:
        value = math.exp(rng.uniform(math.log(low), math.log(high)))
    else:
        value = rng.uniform(low, high)
    return _inside(domain, round(value) if domain.integer else value)


def perturbed(domain: Domain, stored: Scalar, factor: float) -> Scalar:
    """The stored value times `factor`, within the domain.

    An integer moves by 1 at least, and a listed number to the next one in the factor's direction.
    What is no number stays.
    """
    if isinstance(domain, Interval):
        assert isinstance(stored, (int, float))
        if not domain.integer:
            return _inside(domain, stored * factor)
        moved = round(stored * factor)
        return _inside(domain, moved if moved != stored else stored + _direction(factor))
    if isinstance(domain, Steps):
        order = sorted(range(len(domain.values)), key=lambda k: domain.values[k])
        return _neighbour(order, stored, factor)
    assert isinstance(domain, Choice)
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in domain.values):
        return stored
    return _neighbour(sorted(domain.values), stored, factor)


def _inside(domain: Interval, value: float) -> int | float:
    inside = min(max(value, domain.low), domain.high)
    return int(inside) if domain.integer else inside


def _neighbour(order: Sequence[Scalar], stored: Scalar, factor: float) -> Scalar:
    position = order.index(stored) + _direction(factor)
    return order[min(max(position, 0), len(order) - 1)]


def _direction(factor: float) -> int:
    return (factor > 1) - (factor < 1)
