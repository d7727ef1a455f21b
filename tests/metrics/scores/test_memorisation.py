import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from gansweep.metrics.scores.memorisation import memorisation, share_below


def normal(n: int, seed: int, d: int = 16) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


TRAIN, TEST = normal(1000, 1), normal(400, 2)


def measured(fakes: Tensor) -> tuple[float, float]:
    metric = memorisation(TRAIN, TEST)
    metric.update(torch.arange(len(fakes)), fakes)
    found = metric.compute()
    return float(found["memorisation"]), float(found["memorisation_std"])


def test_fresh_samples_of_the_data_are_as_near_as_held_out_ones() -> None:
    share, error = measured(normal(500, 3))
    assert abs(share - 0.5) < 3 * error and 0.01 < error < 0.03


def test_the_held_out_samples_themselves_tie_at_one_half() -> None:
    assert measured(TEST)[0] == pytest.approx(0.5, abs=1e-12)


def test_copies_of_training_samples_score_one() -> None:
    assert measured(TRAIN[:300]) == (1.0, 0.0)
    nearly, _ = measured(TRAIN[:300] + 0.01 * normal(300, 4))
    assert nearly == 1.0


def test_noise_far_from_all_real_samples_scores_zero() -> None:
    assert measured(6 * normal(300, 5))[0] < 0.01


def test_a_few_copies_among_fresh_samples_raise_the_score_by_their_share() -> None:
    fresh, _ = measured(normal(400, 6))
    mixed, _ = measured(torch.cat([normal(400, 6), TRAIN[:100]]))
    assert mixed == pytest.approx(0.8 * fresh + 0.2, abs=1e-9)


def test_the_share_is_mann_whitneys_u_over_the_number_of_pairs() -> None:
    a = torch.randint(0, 30, (200,), generator=torch.Generator().manual_seed(7)).double()
    b = torch.randint(5, 35, (90,), generator=torch.Generator().manual_seed(8)).double()
    u = mannwhitneyu(b.numpy(), a.numpy()).statistic
    assert float(share_below(a, b)[0]) == pytest.approx(u / (200 * 90), abs=1e-12)


def test_a_hand_worked_share_with_a_tie_and_its_error() -> None:
    # pairs a < b: (1, 2) (1, 3) (2, 3) and the tie (2, 2); of a: 1 and 3/4, of b: 3/4 and 1
    share, error = share_below(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]))
    assert float(share) == 3.5 / 4
    assert float(error) == pytest.approx((2 * (1 / 32) / 2) ** 0.5)


def test_the_error_is_the_spread_over_repeated_draws() -> None:
    draws = [measured(0.9 * normal(300, seed)) for seed in range(100, 140)]
    # the held-out samples are fixed: only the fakes' part of the error varies
    spread = float(torch.tensor([share for share, _ in draws]).std())
    assert 0.3 * draws[0][1] < spread < draws[0][1]


def test_too_few_samples_and_unequal_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="16 numbers a sample, test_features 8"):
        memorisation(TRAIN, normal(50, 1, d=8))
    with pytest.raises(ValueError, match="1000 training and 1 held-out samples are too few"):
        memorisation(TRAIN, TEST[:1])
    metric = memorisation(TRAIN, TEST)
    metric.update(torch.arange(1), TEST[:1])
    with pytest.raises(ValueError, match="No standard error of 1 generated sample:"):
        metric.compute()
