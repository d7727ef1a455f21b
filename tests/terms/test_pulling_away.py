"""The pulling-away term of EBGAN by hand, and in its game."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gansweep.terms.clock import Clock
from gansweep.terms.pulling_away import PullingAway
from gansweep.terms.term import Step

NONE = torch.zeros(0)


def value(codes: Tensor) -> float:
    step = Step(
        NONE, codes, None, NONE, lambda x: x, lambda x: x, NONE, NONE, lambda x: x, {}, Clock()
    )
    return PullingAway(weight=0.1).generator(step).item()


def test_parallel_codes_cost_1_and_orthogonal_ones_nothing() -> None:
    assert value(torch.tensor([[1.0, 2.0], [3.0, 6.0], [-1.0, -2.0]])) == pytest.approx(1)
    assert value(torch.eye(4) * torch.tensor([1.0, 5.0, 0.1, 2.0])) == pytest.approx(0, abs=1e-6)


def test_squared_cosines_are_averaged_over_the_pairs() -> None:
    # angles of 60, 90 and 150 degrees: cosines squared of 1/4, 0 and 3/4
    angles = torch.tensor([0.0, 60.0, 150.0]).deg2rad()
    assert value(torch.stack([angles.cos(), angles.sin()], 1)) == pytest.approx(1 / 3, abs=1e-6)


def test_a_lone_fake_costs_nothing() -> None:
    assert value(torch.ones(1, 3)) == pytest.approx(0, abs=1e-6)


def test_it_reads_the_fakes_through_the_features() -> None:
    step = Step(
        NONE,
        torch.eye(2),
        None,
        NONE,
        lambda x: x,
        lambda x: x,
        NONE,
        NONE,
        lambda x: x,
        {},
        Clock(),
    )
    alike = replace(step, features=lambda x: torch.ones(2, 3))
    assert PullingAway(weight=1).generator(alike).item() == pytest.approx(1)
