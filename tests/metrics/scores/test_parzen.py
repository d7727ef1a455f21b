"""The Parzen-window log-likelihood against scikit-learn's, and against a Gaussian on paper."""

from __future__ import annotations

import math

import pytest
import torch
from tensor_data import Tensors
from torch import Tensor

from gansweep.data.source import Split
from gansweep.metrics.measure import Seen, Setting
from gansweep.metrics.protocol import score_name
from gansweep.metrics.scores import parzen as module
from gansweep.metrics.scores.parzen import (
    BANDWIDTHS,
    Parzen,
    best_bandwidth,
    parzen,
    parzen_log_likelihood,
)


def pixels(n: int, d: int, seed: int) -> Tensor:
    """(n, d) uint8."""
    made = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, d), generator=made, dtype=torch.uint8)


@pytest.mark.parametrize("size", [2**22, 64, 1])
@pytest.mark.parametrize("bandwidth", [0.1, 0.5])
def test_it_is_that_of_scikit_learn_in_slices_of_any_size(
    monkeypatch: pytest.MonkeyPatch, size: int, bandwidth: float
) -> None:
    from sklearn.neighbors import KernelDensity

    monkeypatch.setattr(module, "SLICE", size)
    x, samples = pixels(23, 7, 0), pixels(31, 7, 1)
    reference = KernelDensity(bandwidth=bandwidth).fit(samples.double() / 255)
    wanted = torch.from_numpy(reference.score_samples(x.double() / 255))
    found = parzen_log_likelihood(x, samples, bandwidth)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-10)
    as_floats = parzen_log_likelihood(x.double() / 255, samples.double() / 255, bandwidth)
    torch.testing.assert_close(as_floats, wanted, rtol=1e-12, atol=1e-10)


def test_kernels_too_far_away_for_their_exponential_have_a_likelihood() -> None:
    """exp(-784 / (2 * 0.1^2)) is 0 in float64, its logarithm is not."""
    black, white = torch.zeros(1, 784), torch.ones(3, 784)
    (found,) = parzen_log_likelihood(black, white, 0.1).tolist()
    assert found == pytest.approx(-784 / 0.02 - 784 * math.log(0.1 * math.sqrt(2 * math.pi)))


def test_estimate_approaches_the_gaussian_that_the_samples_and_the_kernel_make() -> None:
    """Samples of N(0, s^2 I) and kernels of width h: together N(0, (s^2 + h^2) I)."""
    spread, width, d = 0.5, 0.6, 3
    made = torch.Generator().manual_seed(0)
    samples = spread * torch.randn(200_000, d, generator=made, dtype=torch.float64)
    x = torch.tensor([[0.0, 0.0, 0.0], [0.5, -0.5, 0.2], [1.0, 1.0, -1.0]], dtype=torch.float64)
    variance = spread**2 + width**2
    exact = -x.square().sum(1) / (2 * variance) - d / 2 * math.log(2 * math.pi * variance)
    found = parzen_log_likelihood(x, samples, width)
    torch.testing.assert_close(found, exact, rtol=0, atol=0.01)


def test_the_bandwidth_is_the_best_for_the_validation_images() -> None:
    """One kernel at 0: the likelihood is largest where h^2 is the mean square."""
    assert len(BANDWIDTHS) == 10 and (BANDWIDTHS[0], BANDWIDTHS[-1]) == (0.1, 1.0)
    at_zero = torch.zeros(1, 50, dtype=torch.float64)
    for h in BANDWIDTHS:
        assert best_bandwidth(torch.full((4, 50), h, dtype=torch.float64), at_zero) == h


def test_metric_gives_the_mean_its_standard_error_and_the_bandwidth() -> None:
    validation, held_out, samples = pixels(20, 12, 0), pixels(30, 12, 1), pixels(40, 12, 2)
    metric = parzen(validation, held_out)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    for part in order.split(7):
        metric.update(part, samples[part])
    found = {word: value.item() for word, value in metric.compute().items()}
    chosen = best_bandwidth(validation, samples)
    each = parzen_log_likelihood(held_out, samples, chosen)
    assert found["parzen_bandwidth"] == chosen
    assert found["parzen"] == pytest.approx(each.mean().item(), rel=1e-14)
    assert found["parzen_std"] == pytest.approx(each.std().item() / math.sqrt(30), rel=1e-12)


@pytest.mark.parametrize(
    ("x", "samples", "bandwidth", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(3, 5), 0.1, "no likelihood under kernels"),
        (torch.zeros(3, 4), torch.zeros(0, 4), 0.1, "neither empty"),
        (torch.zeros(3, 4), torch.zeros(3, 4), 0.0, "no width"),
        (torch.zeros(3, 4), torch.zeros(3, 4).byte(), 0.1, "as one type"),
    ],
)
def test_what_has_no_likelihood_is_refused(
    x: Tensor, samples: Tensor, bandwidth: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parzen_log_likelihood(x, samples, bandwidth)


@pytest.fixture
def data() -> Tensors:
    """Grey 4x4 images: 60 to test, 40 to train, 11 to choose a bandwidth."""
    found = Tensors("noise", pixels(100, 16, 0).view(-1, 1, 4, 4))
    found.images["validation"] = pixels(11, 16, 9).view(-1, 1, 4, 4)
    return found


@pytest.mark.parametrize(
    ("split", "chosen_by", "measured"), [("test", 11, 60), ("validation", 5, 6)]
)
def test_images_that_choose_the_bandwidth_are_not_measured(
    data: Tensors, split: Split, chosen_by: int, measured: int
) -> None:
    setting = Setting(data, "train", 20, torch.device("cpu"), held_out=split)
    measure, samples = Parzen(), pixels(20, 16, 2)
    metric = measure.build(setting)
    measure.update(metric, Seen(torch.arange(20), samples.view(-1, 1, 4, 4)))
    validation = data.images["validation"].flatten(1)
    held_out = data.images[split].flatten(1)[-measured:]
    chosen = best_bandwidth(validation[:chosen_by], samples)
    each = parzen_log_likelihood(held_out, samples, chosen)
    assert metric.compute()["parzen"].item() == pytest.approx(each.mean().item(), rel=1e-14)
    stated = measure.protocol(setting, "parzen")
    assert (stated["n_bandwidth"], stated["n_real"]) == (chosen_by, measured)
    assert stated["split"] == split and len(stated["bandwidths"]) == 10
    assert score_name({"score": "parzen", "n_fake": 20, **stated}) == f"parzen_20_{split}"


def test_data_without_validation_images_or_with_large_ones_have_no_such_score(
    data: Tensors,
) -> None:
    measure = Parzen()
    assert measure.misfit(data, "classifier", False) == ""
    assert measure.misfit(data, None, False) == "it compares images"
    del data.images["validation"]
    assert "data.n_validation" in measure.misfit(data, "classifier", False)
    large = Tensors("large", torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert "at most 3,072 numbers" in measure.misfit(large, "inception", False)


def test_one_held_out_image_has_no_standard_error() -> None:
    with pytest.raises(ValueError, match="give 2 or more"):
        parzen(pixels(3, 4, 0), pixels(1, 4, 1))
