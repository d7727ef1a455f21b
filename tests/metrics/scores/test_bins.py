"""NDB against a slow reference and a library, and on artificial failures."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency

from gansweep.data.images import Digits
from gansweep.data.source import DataSource
from gansweep.data.toy import Grid
from gansweep.errors import UserError
from gansweep.metrics.scores.bins import (
    BinCounts,
    bin_centres,
    bin_counts,
    different_bins,
    jensen_shannon,
    real_bins,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSWEEP_CACHE", str(tmp_path))


def whole(data: DataSource, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*data.arrays(split), strict=True)
    return torch.cat(images), torch.cat(labels)


def ndb(bins: dict, values: torch.Tensor) -> dict[str, float]:
    metric = BinCounts(bins["centres"], bins["counts"])
    for rows in torch.arange(len(values)).split(300):
        metric.update(rows, values[rows].flatten(1))
    return {word: value.item() for word, value in metric.compute().items()}


def test_a_sample_is_counted_in_the_bin_of_its_nearest_centre() -> None:
    draw = np.random.default_rng(0)
    pixels, centres = draw.integers(0, 256, (200, 6)).astype(np.uint8), draw.random((7, 6))
    nearest = [np.linalg.norm(pixel / 255 - centres, axis=1).argmin() for pixel in pixels]
    expected = np.bincount(nearest, minlength=7)
    assert bin_counts(torch.from_numpy(pixels), torch.from_numpy(centres)).tolist() == list(
        expected
    )
    scaled = torch.from_numpy(pixels / 255)
    assert bin_counts(scaled, torch.from_numpy(centres)).tolist() == list(expected)


def test_bins_differ_where_the_chi_squared_test_of_two_by_two_says_so() -> None:
    draw = np.random.default_rng(1)
    a, b = draw.multinomial(900, np.full(40, 1 / 40)), draw.multinomial(5000, np.full(40, 1 / 40))
    a[:3] += (30, 12, 4)
    # the square of the pooled z of two proportions is Pearson's statistic
    tables = [[[x, a.sum() - x], [y, b.sum() - y]] for x, y in zip(a, b, strict=True)]
    expected = [chi2_contingency(table, correction=False).pvalue < 0.05 for table in tables]
    assert 1 <= sum(expected) < 10
    assert different_bins(torch.from_numpy(a), torch.from_numpy(b)).tolist() == expected


def test_a_bin_empty_on_both_sides_does_not_differ() -> None:
    assert different_bins(torch.tensor([0, 10]), torch.tensor([0, 7])).tolist() == [False, False]


def test_divergence_is_scipys_and_at_most_log_2() -> None:
    a, b = torch.tensor([5, 0, 3, 9]), torch.tensor([10, 4, 0, 11])
    expected = jensenshannon(a.numpy() / 17, b.numpy() / 25) ** 2
    assert jensen_shannon(a, b).item() == pytest.approx(expected)
    apart = jensen_shannon(torch.tensor([4, 0]), torch.tensor([0, 9]))
    assert apart.item() == pytest.approx(math.log(2))


def test_points_of_the_same_mixture_differ_in_about_one_bin_of_twenty() -> None:
    data = Grid(n_train=20_000)
    bins = real_bins(data, "train")
    assert bins["centres"].shape == (100, 2)
    assert bins["counts"].sum() == 20_000
    held_out = whole(data, "test")[0]
    fair = [ndb(bins, part)["ndb"] for part in held_out.split(2000)]
    assert 2 < sum(fair) / len(fair) < 8
    points, modes = whole(data, "train")
    lacking = ndb(bins, points[modes != 12])
    assert lacking["ndb"] >= 4  # a hundred bins on 25 modes: four on each
    assert ndb(bins, points[:1].expand(1000, 2))["ndb"] > 90


def test_digits_left_out_are_noticed() -> None:
    bins = real_bins(Digits(), "train")
    images, labels = whole(Digits(), "train")
    assert ndb(bins, images) == {"ndb": 0, "ndb_js": 0}
    held_out = ndb(bins, whole(Digits(), "test")[0])
    assert held_out["ndb"] <= 5
    without_9, without_8_and_9 = ndb(bins, images[labels < 9]), ndb(bins, images[labels < 8])
    assert 5 < without_9["ndb"] < without_8_and_9["ndb"]
    assert 0 < without_9["ndb_js"] < without_8_and_9["ndb_js"]
    noise = torch.randint(0, 256, (1000, 64), generator=torch.Generator().manual_seed(0))
    assert ndb(bins, noise.to(torch.uint8))["ndb"] > 50


def test_bins_are_found_once_and_are_the_same_every_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = real_bins(Digits(), "train", n_bins=10)
    assert "10 bins" in capsys.readouterr().err
    real_bins(Digits(), "train", n_bins=10)
    assert not capsys.readouterr().err
    monkeypatch.setenv("GANSWEEP_CACHE", str(tmp_path / "another"))
    again = real_bins(Digits(), "train", n_bins=10)
    assert all(torch.equal(first[key], again[key]) for key in ("centres", "counts"))
    assert real_bins(Digits(), "train", 500, 10)["counts"].sum() == 500


def test_bins_are_a_k_means_and_leave_the_samples_and_random_numbers_alone() -> None:
    data = torch.cat([torch.full((50, 3), 10), torch.full((30, 3), 200)]).to(torch.uint8)
    before, state, numpy_state = data.clone(), torch.get_rng_state(), np.random.get_state()[1]
    centres = bin_centres(data, 2).sort(0).values
    assert torch.allclose(centres, torch.tensor([[10.0], [200.0]]) / 255 * torch.ones(3))
    floats = data.double() / 255
    assert torch.equal(bin_centres(floats.float(), 2).sort(0).values, centres)
    assert torch.equal(floats, before.double() / 255)
    assert torch.equal(data, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(UserError, match="100 bins.*150 train samples.*metrics.scores"):
        real_bins(Digits(), "train", 150)
    with pytest.raises(ValueError, match="No sample"):
        BinCounts(torch.zeros(2, 3), torch.ones(2)).compute()
