"""Inception, mode and kernel scores against torch-fidelity and against exact values."""

import math
from functools import partial

import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.scores.inception_score import (
    inception_score,
    mode_metric,
    mode_score,
)
from gansweep.metrics.scores.kernel import KernelDistance, subset_sums

THREE = torch.tensor([0, 1, 2])


def features(n: int, d: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n", [200, 317])
def test_inception_score_equals_torch_fidelity(n: int) -> None:
    logits = 3 * features(n, 10)
    mean, std = (value.item() for value in inception_score(logits).values())
    theirs = isc_features_to_metric(logits)
    assert mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert std == pytest.approx(theirs["inception_score_std"], rel=1e-9)


def test_sure_and_even_predictions_score_the_number_of_classes() -> None:
    logits = 100.0 * torch.eye(4).repeat_interleave(25, 0)
    assert inception_score(logits, splits=1)["is"].item() == pytest.approx(4)
    assert inception_score(torch.zeros(100, 4))["is"].item() == pytest.approx(1)


def test_a_class_that_never_occurs_does_not_spoil_the_score() -> None:
    logits = torch.full((40, 3), -2000.0).scatter(1, torch.arange(40)[:, None] % 2, 2000.0)
    assert inception_score(logits, splits=1)["is"].item() == pytest.approx(2)


@pytest.mark.parametrize("subset_size", [50, 120])
@pytest.mark.parametrize("subsets", [5, 60])
def test_kernel_distance_equals_torch_fidelity(subset_size: int, subsets: int) -> None:
    fake, real = features(120) + 0.2, features(150, seed=1)
    mean, std = KernelDistance(real, len(fake), subsets, subset_size).scores(fake).values()
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
    assert mean.item() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert std.item() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3, abs=1e-6)


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


def test_both_ways_to_sum_a_kernel_within_one_set_agree() -> None:
    x = features(300).double()
    draw = torch.Generator().manual_seed(2)
    rows = torch.stack([torch.randperm(300, generator=draw)[:60] for _ in range(50)])
    once = subset_sums(x, rows, x, rows)  # half of 90,000 entries, in three chunks
    each = torch.cat([subset_sums(x, some, x, some.clone()) for some in rows.split(1)])
    torch.testing.assert_close(once, each)


def test_kernel_distance_of_two_points_sets_worked_out_by_hand() -> None:
    # d = 1, real {0, 0}, fake {1, 1}: k(0,0) = k(0,1) = 1, k(1,1) = 8; 8 + 1 - 2 = 7
    real, fake = torch.zeros(2, 1), torch.ones(2, 1)
    found = KernelDistance(real, 2, 3, 2).scores(fake)
    assert [value.item() for value in found.values()] == [pytest.approx(7), pytest.approx(0)]


def test_scores_leave_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    inception_score(features(40))
    KernelDistance(features(40), 40, 4, 20).scores(features(40, seed=1))
    assert torch.equal(before, torch.get_rng_state())
    assert math.isfinite(inception_score(features(40))["is"].item())


def shuffled(n: int) -> list[torch.Tensor]:
    """The numbers 0 to n - 1 in random order, in batches of different sizes."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    return list(order.split([1, n // 3, n - n // 3 - 1]))


def test_samples_are_put_in_the_order_of_their_numbers() -> None:
    values = features(50, 3)
    metric = OrderedSamples()
    for part in shuffled(50):
        metric.update(part, values[part].double())
    assert torch.equal(metric.ordered(), values)


def test_a_number_given_twice_is_refused() -> None:
    metric = OrderedSamples()
    metric.update(torch.tensor([4, 7]), features(2))
    metric.update(torch.tensor([7]), features(1))
    with pytest.raises(ValueError, match="Sample 7 was given twice"):
        metric.ordered()


def test_unusable_samples_are_refused_with_the_fix() -> None:
    with pytest.raises(ValueError, match="one number for each row"):
        OrderedSamples().update(torch.arange(3), features(2))
    with pytest.raises(ValueError, match="No samples were given"):
        OrderedSamples().ordered()
    metric = OrderedSamples()
    metric.update(THREE, torch.tensor([[0.0], [math.nan], [math.inf]]))
    with pytest.raises(ValueError, match="2 of 3 samples have features that are not finite"):
        metric.ordered()


def test_metrics_equal_their_functions_in_any_order_of_arrival() -> None:
    logits, real = 3 * features(90, 10), features(80, 10, seed=1)
    shares = torch.arange(1.0, 11)
    inception, mode = OrderedSamples(partial(inception_score, splits=5)), mode_metric(shares)
    distance = KernelDistance(real, 90, subsets=7, subset_size=30)
    kernel = OrderedSamples(distance.scores)
    for part in shuffled(90):
        for metric in (inception, mode, kernel):
            metric.update(part, logits[part])
    assert inception.compute() == inception_score(logits, 5)
    assert mode.compute() == {"mode_score": mode_score(logits, shares)}
    assert kernel.compute() == distance.scores(logits)


def test_too_few_samples_for_the_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="9 samples are too few for 10 splits"):
        inception_score(features(9))


def test_another_count_than_the_kernel_subsets_were_drawn_for_is_refused() -> None:
    distance = KernelDistance(features(10), 4, subsets=2, subset_size=3)
    with pytest.raises(ValueError, match="3 samples were given, .* for n_fake=4"):
        distance.scores(features(3))


def test_sure_predictions_in_the_real_shares_reach_the_number_of_classes() -> None:
    sure = 100.0 * torch.eye(4).repeat_interleave(25, 0)
    assert mode_score(sure, torch.ones(4)) == pytest.approx(4)
    assert mode_score(torch.zeros(100, 4), torch.ones(4)) == pytest.approx(1)


def test_missing_modes_lower_the_mode_score_below_the_inception_score() -> None:
    # two of four classes with certainty: KL(p(y|x) || p(y)) = log 2, KL(p(y) || p*) = log 2
    halves = 100.0 * torch.eye(4)[:2].repeat_interleave(25, 0)
    assert mode_score(halves, torch.ones(4)) == pytest.approx(1)
    assert inception_score(halves, splits=1)["is"].item() == pytest.approx(2)


def test_mode_score_as_first_printed_is_the_inception_score() -> None:
    logits, real = 2 * features(60, 5).double(), torch.arange(1.0, 6).double() / 15
    p = logits.softmax(1)
    marginal = p.mean(0)
    to_real = (p * (p / real).log()).sum(1).mean() - (marginal * (marginal / real).log()).sum()
    assert to_real.exp().item() == pytest.approx(inception_score(logits, splits=1)["is"].item())
    to_own = (p * (p / marginal).log()).sum(1).mean() - (marginal * (marginal / real).log()).sum()
    assert to_own.exp().item() == pytest.approx(mode_score(logits, real))


def test_a_class_without_real_samples_has_no_mode_score() -> None:
    with pytest.raises(ValueError, match=r"Class 1 has no real sample \(2 such classes\)"):
        mode_metric(torch.tensor([3, 0, 2, 0]))
