"""The birthday test with a known support, and on digits with copies."""

import math

import pytest
import torch
from torch import Tensor

from gansweep.data.images import Digits
from gansweep.metrics.scores.birthday import (
    MOST_REAL,
    birthday,
    copy_count,
    real_twins,
    support,
    twin_count,
)


def repeated(n: int, different: int, seed: int = 0) -> Tensor:
    """n draws from points that lie at least 1 apart."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(different, (n, 1), generator=draw).float()


def digits(split: str = "train") -> Tensor:
    return torch.cat([images for images, _ in Digits().arrays(split)]).flatten(1).float()


def twins_of(samples: Tensor, distance: float) -> dict[str, float]:
    metric = birthday(distance)
    metric.update(torch.arange(len(samples)), samples)
    return {word: value.item() for word, value in metric.compute().items()}


def test_a_thousand_equally_likely_points_are_found() -> None:
    found = [twins_of(repeated(2000, 1000, seed), 0.5) for seed in range(20)]
    mean = sum(one["support"] for one in found) / len(found)
    # a draw has about 2,000 twins, so its relative error is 1/sqrt(2000) = 2.2 %
    assert mean == pytest.approx(1000, rel=4 * 0.022 / math.sqrt(20))
    assert all(one["support"] == pytest.approx(1000, rel=0.1) for one in found)


def test_every_second_batch_of_38_from_a_thousand_points_has_twins() -> None:
    draw = torch.Generator().manual_seed(0)
    batches = torch.randint(1000, (4000, 38), generator=draw).sort(1).values
    expected = (batches.diff() == 0).any(1)
    some = sum(twin_count(batch[:, None].float(), 0.5) > 0 for batch in batches[:500])
    assert some == expected[:500].sum()
    chance = 1 - math.prod(1 - k / 1000 for k in range(38))
    assert chance == pytest.approx(0.5, abs=0.01)
    assert expected.float().mean() == pytest.approx(chance, abs=4 * 0.5 / math.sqrt(4000))
    # without twins, the support is the one that the paper states for that batch size
    assert support(0, 38) == pytest.approx(1000, rel=0.02)


def test_support_falls_with_every_pair_of_twins() -> None:
    supports = [support(twins, 100) for twins in range(5)]
    assert supports == sorted(supports, reverse=True)
    assert len(set(supports)) == 5
    assert support(100 * 99 // 2, 100) == 1  # all alike


def test_unequal_chances_give_the_effective_number() -> None:
    chances = torch.tensor([0.5, *[0.5 / 99] * 99])
    draw = torch.Generator().manual_seed(1)
    samples = torch.multinomial(chances, 3000, replacement=True, generator=draw)
    effective = 1 / chances.square().sum().item()  # 4, though there are 100
    assert twins_of(samples[:, None].float(), 0.5)["support"] == pytest.approx(effective, rel=0.1)


def test_twins_are_counted_as_a_slow_loop_counts_them() -> None:
    samples = torch.randn(1100, 4, generator=torch.Generator().manual_seed(0)) + 50
    distances = torch.cdist(samples.double(), samples.double())
    for limit in (0.1, 0.5, 2.0):
        expected = sum(int((distances[k, k + 1 :] <= limit).sum()) for k in range(1100))
        assert twin_count(samples, limit) == expected


def test_the_rule_leaves_ten_real_twins() -> None:
    real = digits()
    twins = real_twins(real)
    assert twin_count(real, twins.distance) == 10
    pairs = torch.pdist(real.double()).sort().values
    assert twins.distance == pytest.approx(pairs[9].item())
    assert twins.real_support == len(pairs) / 10


def test_real_features_beyond_ten_thousand_are_a_fixed_subset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MOST_REAL == 10_000
    monkeypatch.setattr("gansweep.metrics.scores.birthday.MOST_REAL", 1000)
    real = torch.rand(1500, 2, generator=torch.Generator().manual_seed(0))
    twins = real_twins(real)
    assert twins.real_support == 1000 * 999 / 20
    assert real_twins(real) == twins


def test_a_generator_with_a_hundred_digits_is_detected_despite_noise() -> None:
    real, held_out = digits(), digits("test")
    twins = real_twins(real)
    draw = torch.Generator().manual_seed(0)
    hundred = real[torch.randint(100, (1000,), generator=draw)]
    blurred = hundred + 4 * torch.randn(1000, 64, generator=draw)
    assert twins_of(hundred, twins.distance)["support"] == pytest.approx(100, rel=0.1)
    assert twins_of(blurred, twins.distance)["support"] == pytest.approx(100, rel=0.1)
    fresh = twins_of(held_out, twins.distance)
    assert fresh["support"] > 10_000
    assert fresh["twins"] <= 5


def test_copies_among_the_real_samples_do_not_move_the_rule() -> None:
    real = digits()
    with_copies = torch.cat([real[:700], real[:15], real[3:4].repeat(9, 1), real[700:]])
    assert real_twins(with_copies).distance == pytest.approx(real_twins(real).distance)
    assert real_twins(with_copies).real_support == real_twins(real).real_support
    draw = torch.Generator().manual_seed(0)
    five_hundred = real[torch.randint(500, (1000,), generator=draw)]
    blurred = five_hundred + 4 * torch.randn(1000, 64, generator=draw)
    exact = twin_count(five_hundred, 0.0)
    assert exact == pytest.approx(1000 * 999 / 2 / 500, rel=0.1)
    assert twin_count(blurred, real_twins(with_copies).distance) == pytest.approx(exact, rel=0.05)


def test_copies_are_equal_to_the_last_bit_and_counted_over_all_chunks() -> None:
    images = torch.cat([images for images, _ in Digits().arrays("train")])
    before = copy_count([images])
    changed = images[5:6].clone()
    changed[0, 0, 0, 0] ^= 1
    assert copy_count([images[:100], images[100:], images[5:8], changed]) == before + 3
    assert copy_count([images[:1].repeat(10, 1, 1, 1)]) == 9


def test_too_few_samples_are_refused() -> None:
    few = torch.arange(38.0).view(19, 2)
    with pytest.raises(ValueError, match="19 different real samples are too few"):
        real_twins(few)
    with pytest.raises(ValueError, match="19 different real samples and 19 copies of them"):
        real_twins(few.repeat(2, 1))
    with pytest.raises(ValueError, match="No pair in 1 sample:"):
        twins_of(torch.zeros(1, 2), 1.0)
