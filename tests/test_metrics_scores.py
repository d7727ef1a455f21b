"""Inception score and kernel distance against torch-fidelity and against what is known exactly."""

import math

import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from gansweep.metrics.inception_score import inception_score
from gansweep.metrics.kernel import KernelDistance, subset_sums


def features(n: int, d: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [200, 317])
def test_inception_score_equals_torch_fidelity(n: int) -> None:
    logits = 3 * features(n, 10)
    mean, std = inception_score(logits)
    theirs = isc_features_to_metric(logits)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_sure_and_even_predictions_score_the_number_of_classes() -> None:
    logits = 100.0 * torch.eye(4).repeat_interleave(25, 0)
    assert inception_score(logits, splits=1)[0] == pytest.approx(4)
    assert inception_score(torch.zeros(100, 4))[0] == pytest.approx(1)


def test_a_class_that_never_occurs_does_not_spoil_the_score() -> None:
    logits = torch.full((40, 3), -2000.0).scatter(1, torch.arange(40)[:, None] % 2, 2000.0)
    assert inception_score(logits, splits=1)[0] == pytest.approx(2)


@pytest.mark.parametrize("subset_size", [50, 120])
@pytest.mark.parametrize("subsets", [5, 60])
def test_kernel_distance_equals_torch_fidelity(subset_size: int, subsets: int) -> None:
    fake, real = features(120) + 0.2, features(150, seed=1)
    mean, std = KernelDistance(real, len(fake), subsets, subset_size).compute(fake)
    theirs = kid_features_to_metric(
        fake,
        real,
        kid_subsets=subsets,
        kid_subset_size=subset_size,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
        rng_seed=2020,
        verbose=False,
    )
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3, abs=1e-6)


def test_both_ways_to_sum_a_kernel_agree() -> None:
    x, y = features(2100).double(), features(70, seed=1).double()
    draw = torch.Generator().manual_seed(2)
    x_rows = torch.stack([torch.randperm(2100, generator=draw)[:60] for _ in range(50)])
    y_rows = torch.stack([torch.randperm(70, generator=draw)[:60] for _ in range(50)])
    once = subset_sums(x, x_rows, y, y_rows)  # 147,000 entries at once, in three chunks
    each = torch.cat(
        [subset_sums(x, x_rows[i : i + 1], y, y_rows[i : i + 1]) for i in range(len(x_rows))]
    )
    torch.testing.assert_close(once, each)


def test_kernel_distance_of_two_points_sets_worked_out_by_hand() -> None:
    # d = 1, real {0, 0}, fake {1, 1}: k(0,0) = k(0,1) = 1, k(1,1) = 8; 8 + 1 - 2 = 7
    real, fake = torch.zeros(2, 1), torch.ones(2, 1)
    assert KernelDistance(real, 2, 3, 2).compute(fake) == (pytest.approx(7), pytest.approx(0))


def test_scores_leave_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    inception_score(features(40))
    KernelDistance(features(40), 40, 4, 20).compute(features(40, seed=1))
    assert torch.equal(before, torch.get_rng_state())
    assert math.isfinite(inception_score(features(40))[0])
