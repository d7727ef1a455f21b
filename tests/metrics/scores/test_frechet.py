"""The Frechet distance against closed forms, published golden values and torch-fidelity."""

import numpy as np
import pytest
import torch
from gaussians import drawn, known, moments
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from gansweep.metrics.moments import Gaussian, Moments, gaussian_of
from gansweep.metrics.scores.frechet import (
    IntraFrechet,
    frechet_distance,
    frechet_to_samples,
)


def random_pair(n: int, d: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.RandomState(seed)
    first, second = draw.randn(n, d), draw.randn(n, d)
    return torch.from_numpy(first), torch.from_numpy(second)


def test_two_normals_are_20_apart_by_the_closed_form() -> None:
    eye = torch.eye(4, dtype=torch.float64)
    zeros = torch.zeros(4, dtype=torch.float64)
    distance = frechet_distance(Gaussian(zeros, eye), Gaussian(zeros + 2, 4 * eye))
    assert distance.item() == pytest.approx(20, abs=1e-12)


def test_covariances_that_do_not_commute() -> None:
    # 2x2: Tr (AB)^(1/2) = sqrt(Tr AB + 2 sqrt(det AB))
    a = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, -0.3], [-0.3, 3.0]], dtype=torch.float64)
    product = a @ b
    root = (product.trace() + 2 * torch.linalg.det(product).sqrt()).sqrt()
    zeros = torch.zeros(2, dtype=torch.float64)
    distance = frechet_distance(Gaussian(zeros, a), Gaussian(zeros, b))
    assert distance.item() == pytest.approx((a.trace() + b.trace() - 2 * root).item(), abs=1e-12)


@pytest.mark.parametrize(
    ("n", "d", "seed", "golden"),
    [
        (4, 4, 1, 4.7538376175),
        (1024, 64, 2023, 2.2164077432),
        (4096, 256, 2023, 8.1584849594),
    ],
)
def test_golden_values(n: int, d: int, seed: int, golden: float) -> None:
    first, second = random_pair(n, d, seed)
    assert frechet_distance(moments(first), moments(second)).item() == pytest.approx(
        golden, rel=1e-9
    )


def test_agrees_with_torch_fidelity_on_the_same_features() -> None:
    first, second = random_pair(600, 48, 0)
    second = 1.2 * second + 0.3
    seen = Moments(48)
    for part in second.split(130):
        seen.update(part)
    ours = frechet_distance(moments(first), Gaussian(*seen.compute(), 600))
    statistics = [fid_features_to_statistics(side) for side in (first, second)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert ours.item() == pytest.approx(theirs, rel=1e-9)


def test_fewer_samples_than_dimensions_lose_no_digits() -> None:
    first, second = random_pair(20, 64, 3)
    real, fake = moments(first), moments(second)
    # the same number from the n x n side: singular values of the product of the centred features
    left = (first - first.mean(0)) / 19**0.5
    right = (second - second.mean(0)) / 19**0.5
    root = torch.linalg.svdvals(left @ right.T).sum()
    mean_term = (real.mean - fake.mean).square().sum()
    slow = mean_term + real.cov.trace() + fake.cov.trace() - 2 * root
    assert frechet_distance(real, fake).item() == pytest.approx(slow.item(), rel=1e-10)


def test_equal_features_are_at_distance_zero() -> None:
    first, _ = random_pair(500, 32, 5)
    assert frechet_to_samples(moments(first), first).item() == pytest.approx(0, abs=1e-9)


def test_states_add_up_over_processes() -> None:
    first, second = random_pair(300, 8, 1)
    whole = Moments(8)
    whole.update(second)
    parts = [Moments(8), Moments(8)]
    parts[0].update(second[:100])
    parts[1].update(second[100:])
    for name, reduce in whole._reductions.items():
        gathered = reduce(torch.stack([getattr(part, name) for part in parts]))
        torch.testing.assert_close(gathered, getattr(whole, name))


@pytest.mark.parametrize(("n", "d"), [(700, 300), (301, 300), (300, 300), (40, 300), (2, 5)])
def test_distance_to_samples_is_that_to_their_gaussian(n: int, d: int) -> None:
    real = moments(random_pair(900, d, 2)[0] * 1.5)
    x = (random_pair(n, d, 3)[1] + 0.2).float()
    found = frechet_to_samples(real, x).item()
    assert found == pytest.approx(frechet_distance(real, moments(x)).item(), rel=1e-9)
    covs = [real.cov.numpy(), moments(x).cov.numpy()]
    roots = np.sqrt(np.linalg.eigvals(covs[0] @ covs[1]).real.clip(0)).sum()
    shift = (real.mean - x.double().mean(0)).square().sum().item()
    assert found == pytest.approx(shift + np.trace(covs[0]) + np.trace(covs[1]) - 2 * roots, 1e-6)


def test_a_covariance_without_a_cholesky_factor_is_factored_all_the_same() -> None:
    flat = torch.diag(torch.tensor([4.0, 0.0, 1.0], dtype=torch.float64))
    real = Gaussian(torch.zeros(3, dtype=torch.float64), flat)
    assert real.cholesky is None
    torch.testing.assert_close(real.factor @ real.factor.T, flat)
    assert frechet_distance(real, real).item() == pytest.approx(0, abs=1e-12)
    # standard normal against it: 3 + 5 - 2 (2 + 0 + 1)
    eye = Gaussian(real.mean, torch.eye(3, dtype=torch.float64))
    assert frechet_distance(real, eye).item() == pytest.approx(2, abs=1e-12)
    assert frechet_distance(eye, real).item() == pytest.approx(2, abs=1e-12)


def test_gaussian_of_far_off_samples_keeps_its_digits() -> None:
    x = random_pair(5000, 6, 1)[0]
    far = gaussian_of(x + 1e6)
    np.testing.assert_allclose(far.cov.numpy(), np.cov(x.numpy(), rowvar=False), atol=1e-8)
    with pytest.raises(ValueError, match="No covariance of 1 sample:"):
        gaussian_of(x[:1])


def test_intra_distance_is_the_mean_over_classes() -> None:
    x = random_pair(90, 4, 0)[0].float()
    labels = torch.arange(90) % 3
    real = [moments(random_pair(50, 4, k)[1] + k) for k in range(3)]
    metric = IntraFrechet(real)
    for part in torch.arange(89, -1, -1).split(40):
        metric.update(part, x[part], labels[part])
    each = [frechet_distance(r, moments(x[labels == k])).item() for k, r in enumerate(real)]
    found = metric.compute()
    assert found["intra_fid_per_class"].tolist() == pytest.approx(each)
    assert found["intra_fid"].item() == pytest.approx(sum(each) / 3)


def test_a_class_with_too_few_samples_is_named() -> None:
    metric = IntraFrechet([known(2)] * 3)
    metric.update(torch.arange(5), drawn(known(2), 5, 0), torch.tensor([0, 0, 1, 2, 2]))
    with pytest.raises(ValueError, match="Class 1 has 1 generated sample, too few"):
        metric.compute()
    with pytest.raises(ValueError, match="2 labels for 3 samples"):
        metric.update(torch.arange(3), torch.zeros(3, 2), torch.zeros(2))
    metric = IntraFrechet([known(2)])
    metric.update(torch.arange(5), drawn(known(2), 5, 0), torch.tensor([0, 0, 1, 2, 2]))
    with pytest.raises(ValueError, match="Label 2 is unknown: there are 1 classes"):
        metric.compute()


@pytest.mark.slow
def test_2048_dimensions_equal_eigvals_to_1e_8() -> None:
    d = 2048
    draw = torch.Generator().manual_seed(0)
    mix = torch.randn(d, d, generator=draw, dtype=torch.float64) / d**0.5
    sides = []
    for scale in (1.0, 1.2):
        x = scale * torch.randn(4000, d, generator=draw, dtype=torch.float64)
        sides.append(gaussian_of(x @ mix + scale))
    real, fake = sides
    roots = torch.linalg.eigvals(real.cov @ fake.cov).real.clamp_min(0).sqrt().sum()
    slow = (real.mean - fake.mean).square().sum() + (real.cov + fake.cov).trace() - 2 * roots
    assert frechet_distance(real, fake).item() == pytest.approx(slow.item(), rel=1e-8)
