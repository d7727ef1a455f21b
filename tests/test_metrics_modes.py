"""Mode coverage against the exactly known values of true data, and on failures made by hand."""

import math

import pytest
import torch

from gansweep.data.source import Mixture
from gansweep.metrics.modes import class_modes, mixture_modes

ANGLES = 2 * math.pi * torch.arange(8, dtype=torch.float64) / 8
RING = Mixture(torch.stack([ANGLES.cos(), ANGLES.sin()], 1), 0.01, torch.full((8,), 1 / 8).double())
AXIS = torch.tensor([-4.0, -2, 0, 2, 4], dtype=torch.float64)
GRID = Mixture(torch.cartesian_prod(AXIS, AXIS), 0.05, torch.full((25,), 1 / 25).double())


def draw(mixture: Mixture, n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mode = torch.randint(len(mixture.means), (n,), generator=generator)
    noise = torch.randn(n, 2, dtype=torch.float64, generator=generator)
    return mixture.means[mode] + mixture.sigma * noise


@pytest.mark.parametrize("mixture", [RING, GRID])
def test_true_points_are_good_in_98_89_percent(mixture: Mixture) -> None:
    coverage = mixture_modes(draw(mixture, 200_000, 0).float(), mixture)
    assert coverage.high_quality == pytest.approx(1 - math.exp(-4.5), abs=1e-3)
    assert coverage.captured == len(mixture.means)


@pytest.mark.parametrize(
    ("mixture", "floor", "spread"), [(RING, 0.0014, 0.0008), (GRID, 0.0048, 0.0014)]
)
def test_reverse_kl_of_true_points_has_the_known_floor(
    mixture: Mixture, floor: float, spread: float
) -> None:
    values = [mixture_modes(draw(mixture, 2500, s), mixture).reverse_kl for s in range(100)]
    mean = sum(values) / len(values)
    assert floor == pytest.approx((len(mixture.means) - 1) / 5000, abs=5e-5)
    assert mean == pytest.approx(floor, abs=5 * spread / len(values) ** 0.5)


def test_the_border_of_a_mode_lies_at_three_sigma() -> None:
    mean = RING.means[0]
    steps = torch.tensor([[0.0299, 0.0], [0.0301, 0.0], [0.0, -0.0299]], dtype=torch.float64)
    assert mixture_modes(mean + steps, RING).counts == [2, 0, 0, 0, 0, 0, 0, 0]


def test_collapse_onto_one_mode_has_reverse_kl_log_8() -> None:
    coverage = mixture_modes(RING.means[3].expand(100, 2), RING)
    assert coverage.captured == 1
    assert coverage.high_quality == 1
    assert coverage.reverse_kl == pytest.approx(math.log(8))


def test_points_of_no_mode_count_for_no_mode_and_score_worst() -> None:
    coverage = mixture_modes(torch.zeros(100, 2), RING)
    assert (coverage.captured, coverage.high_quality) == (0, 0)
    assert coverage.reverse_kl == pytest.approx(math.log(8))


def test_unequal_weights_are_the_reference() -> None:
    weights = torch.tensor([0.75, 0.25], dtype=torch.float64)
    mixture = Mixture(torch.tensor([[0.0, 0], [9, 9]], dtype=torch.float64), 1.0, weights)
    points = torch.tensor([[0.0, 0], [0, 1], [1, 0], [9, 9]])
    assert mixture_modes(points, mixture).reverse_kl == 0


def test_classes_count_only_what_the_classifier_believes() -> None:
    logits = torch.tensor([[9.0, 0, 0], [8, 0, 0], [0, 9, 0], [0.1, 0, 0.2]])  # the last unsure
    coverage = class_modes(logits, torch.tensor([20, 10, 5]))
    assert coverage.counts == [2, 1, 0]
    assert coverage.captured == 2
    expected = 2 / 3 * math.log(2 / 3 * 35 / 20) + 1 / 3 * math.log(1 / 3 * 35 / 10)
    assert coverage.reverse_kl == pytest.approx(expected)
