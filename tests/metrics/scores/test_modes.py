"""Mode coverage against exact values for true data, and on artificial failures."""

import math

import pytest
import torch
from scipy.stats import binom

from gansweep.data.resident import ResidentSource
from gansweep.data.source import Mixture
from gansweep.data.stacked import StackedDigits
from gansweep.data.toy import FlatMixture, Grid, Ring
from gansweep.metrics.scores.missing import missing_words
from gansweep.metrics.scores.modes import (
    ModeCoverage,
    class_modes,
    class_shares,
    confident_modes,
    divergence,
    mixture_modes,
    reverse_kl_floor,
)

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
    "source",
    [
        Ring(n_train=200_000),
        Grid(n_train=200_000),
        FlatMixture(modes=3, inner_dim=20, dim=30, n_train=200_000),
        pytest.param(FlatMixture(n_train=4000), marks=pytest.mark.slow),
    ],
    ids=["ring", "grid", "30 dimensions", "1200 dimensions"],
)
def test_the_same_share_of_every_true_sample_is_good(source: ResidentSource) -> None:
    points = torch.cat([chunk for chunk, _ in source.arrays("train")])
    coverage = mixture_modes(points, source.mixture)
    share = 1 - math.exp(-4.5)
    error = math.sqrt(share * (1 - share) / len(points))
    assert coverage.high_quality == pytest.approx(share, abs=4 * error)
    assert coverage.in_no_mode == pytest.approx(1 - coverage.high_quality)
    assert coverage.captured == len(source.mixture.means)


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


@pytest.mark.parametrize("n", [1, 3, 300, 2500])
def test_reverse_kl_floor_is_the_exact_mean(n: int) -> None:
    shares = [0.5, 0.25, 0.125, 0.12, 0.005]
    exact = sum(
        binom.pmf(c, n, w) * c / n * math.log(c / (n * w)) for w in shares for c in range(1, n + 1)
    )
    assert reverse_kl_floor(torch.tensor([*shares, 0]).double(), n) == pytest.approx(exact)


def test_a_class_that_the_data_do_not_have_is_no_mode_to_be_found() -> None:
    """As all but one of a set for anomaly detection."""
    assert ModeCoverage([5, 4, 0], [0.6, 0.0, 0.4], 9).captured == 1


def test_reverse_kl_of_the_rarest_mode_is_exact_in_double_precision() -> None:
    found = ModeCoverage([0, 0, 3], [0.7, 0.2, 0.1], 3).reverse_kl
    assert found == pytest.approx(math.log(10), rel=1e-14)


def test_reverse_kl_floors_are_the_published_ones() -> None:
    def equal(modes: int, n: int) -> float:
        return reverse_kl_floor(torch.full((modes,), 1 / modes, dtype=torch.float64), n)

    assert equal(8, 2500) == pytest.approx(0.0014, abs=5e-6)
    assert equal(25, 2500) == pytest.approx(0.0048, abs=1e-5)
    assert equal(1000, 26_000) == pytest.approx(0.0193, abs=5e-5)
    assert equal(1000, 50_000) == pytest.approx(0.0100, abs=5e-5)
    assert equal(1, 10) == 0


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


def test_every_sample_counts_as_its_most_probable_class() -> None:
    logits = torch.tensor([[9.0, 0, 0], [8, 0, 0], [0, 9, 0], [0.1, 0, 0.2]])
    coverage = class_modes(logits, torch.tensor([20, 10, 5]))
    assert coverage.counts == [2, 1, 1]
    assert (coverage.captured, coverage.in_no_mode) == (3, 0)
    expected = 1 / 2 * math.log(1 / 2 * 35 / 20) + 1 / 4 * math.log(1 / 4 * 35 / 10)
    expected += 1 / 4 * math.log(1 / 4 * 35 / 5)
    assert coverage.reverse_kl == pytest.approx(expected)


def test_divergence_is_that_of_shares_worked_out_by_hand() -> None:
    found = divergence(torch.tensor([3, 1]), torch.tensor([1.0, 1.0]))
    assert found == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert divergence(torch.tensor([1, 0]), torch.tensor([1, 1])) == pytest.approx(math.log(2))
    assert divergence(torch.tensor([1, 1]), torch.tensor([1, 0])) == math.inf


def test_confident_modes_count_only_what_the_classifier_believes() -> None:
    logits = torch.tensor([[9.0, 0, 0], [8, 0, 0], [0, 9, 0], [0.1, 0, 0.2]])  # the last unsure
    coverage = confident_modes(logits, torch.tensor([20, 10, 5]))
    assert coverage.counts == [2, 1, 0]
    assert coverage.captured == 2
    expected = 2 / 3 * math.log(2 / 3 * 35 / 20) + 1 / 3 * math.log(1 / 3 * 35 / 10)
    assert coverage.reverse_kl == pytest.approx(expected)


def test_stacked_sets_are_compared_with_equal_shares_and_others_with_their_own() -> None:
    counts = torch.tensor([3, 1])
    assert class_shares(Ring(), counts).tolist() == [0.75, 0.25]
    assert class_shares(StackedDigits(), counts).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ([], ""),
        ([8], "no 8 among 2,500 samples"),
        ([8, 9], "no 8 and no 9 among 2,500 samples"),
        ([0, 8, 9], "no 0, no 8 and no 9 among 2,500 samples"),
        (range(1, 7), "no 1, no 2, no 3, no 4, no 5 and no 6 among 2,500 samples"),
        (range(1, 8), "no 1, no 2, no 3, no 4, no 5 and 2 more of 10 modes among 2,500 samples"),
        (range(10), "none of the 10 modes among 2,500 samples"),
    ],
)
def test_missing_modes_are_named(missing: list[int], words: str) -> None:
    counts = [0.0 if k in missing else 250.0 for k in range(10)]
    assert missing_words("0123456789", counts, 2500) == words


def test_missing_modes_without_names_are_numbered_and_a_long_list_is_cut() -> None:
    assert missing_words(None, [4, 0, 6], 10) == "no mode 1 among 10 samples"
    words = missing_words(None, [0] * 417 + [3] * 583, 26_000)
    assert words.endswith("no mode 4 and 412 more of 1,000 modes among 26,000 samples")
