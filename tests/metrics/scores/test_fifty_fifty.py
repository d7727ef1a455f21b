"""The 50:50 test: 0.5 for equal distributions, more for different ones, and reproducible."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gansweep.data.images import Digits
from gansweep.data.toy import Ring
from gansweep.metrics.scores.fifty_fifty import fifty_fifty, wilson_interval


def images(n: int, seed: int, mean: float = 0.0) -> Tensor:
    """(n, 1, 8, 8) in [-1, 1], noise around `mean`."""
    rng = torch.Generator().manual_seed(seed)
    return (torch.randn(n, 1, 8, 8, generator=rng) * 0.3 + mean).clamp(-1, 1)


def ring(n: int, seed: int, sigma: float = 0.01) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    means = Ring().mixture.means.float()
    return means[torch.randint(8, (n,), generator=rng)] + sigma * torch.randn(n, 2, generator=rng)


@pytest.mark.slow
@pytest.mark.parametrize("make", [images, ring])
def test_samples_of_one_distribution_cannot_be_distinguished(
    make: Callable[[int, int], Tensor],
) -> None:
    """Of ten 95 % intervals at least eight contain 1/2, and all are close to it."""
    results = [
        fifty_fifty(make(400, 2 * seed), make(400, 2 * seed + 1), steps=25, seed=seed)
        for seed in range(10)
    ]
    assert sum(result.low <= 0.5 <= result.high for result in results) >= 8
    assert all(abs(result.accuracy - 0.5) < 0.1 for result in results)
    assert {result.n_test for result in results} == {400}


def test_real_digits_cannot_be_distinguished_from_other_real_digits() -> None:
    digits = torch.cat([chunk for chunk, _ in Digits().arrays("train")])
    rows = torch.randperm(len(digits), generator=torch.Generator().manual_seed(3))
    result = fifty_fifty(digits[rows[:600]], digits[rows[600:1200]], steps=100)
    assert result.low <= 0.5 <= result.high


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        (images(300, 0), images(300, 1, mean=0.3)),
        (images(300, 0), images(200, 1).flip(0).cumsum(3).clamp(-1, 1)),
        (ring(1000, 0), ring(1000, 1) * 0.7),
    ],
    ids=["shifted", "other texture", "a smaller ring"],
)
def test_different_distributions_are_distinguished(real: Tensor, fake: Tensor) -> None:
    result = fifty_fifty(real, fake, steps=100)
    assert result.accuracy > 0.9 and result.low > 0.85
    assert result.low < result.accuracy < result.high or result.accuracy == 1


def test_the_smaller_side_decides_how_many_are_used() -> None:
    assert fifty_fifty(ring(101, 0), ring(300, 1), steps=1).n_test == 100


def test_the_result_depends_on_nothing_but_samples_and_seed() -> None:
    real, fake = images(100, 0), images(100, 1, mean=0.05)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = fifty_fifty(real, fake, steps=20, seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        again = fifty_fifty(real.clone(), fake.clone(), steps=20, seed=4)
    assert again == first


def test_rounding_of_real_images_does_not_give_them_away() -> None:
    stored, generated = ((images(100, s) + 1).mul(127.5).round().byte() for s in (0, 1))
    exact = fifty_fifty(stored, images(100, 1), steps=5)
    assert exact == fifty_fifty(stored, generated, steps=5)


def test_interval_by_hand() -> None:
    """80 of 100: (0.8 + 2/100 +- 2 sqrt(0.16/100 + 1/10000)) / 1.04 with z = 2."""
    low, high = wilson_interval(80, 100, z=2)
    reach = 2 * math.sqrt(0.0016 + 0.0001) / 1.04
    assert (low, high) == pytest.approx((0.82 / 1.04 - reach, 0.82 / 1.04 + reach))
    low, high = wilson_interval(100, 100)
    assert 0.95 < low < 1 and high == pytest.approx(1)


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (images(100, 0), images(19, 0), "19 fake samples are too few"),
        (images(100, 0), images(100, 0) * 127, "127.*floats in"),
        (images(100, 0), images(100, 0) * math.nan, "not finite"),
        (images(100, 0), ring(100, 0), "of one shape"),
    ],
    ids=["few", "range", "nan", "shape"],
)
def test_unfit_samples_are_refused(real: Tensor, fake: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fifty_fifty(real, fake, steps=1)
