"""The Frechet distance against closed forms, published golden values and torch-fidelity."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from gansweep.metrics.frechet import FrechetDistance, Gaussian, Moments, frechet_distance


def moments(features: torch.Tensor) -> Gaussian:
    seen = Moments(features.shape[1])
    seen.update(features)
    mean, cov = seen.compute()
    return Gaussian(mean, cov, len(features))


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
    ours = FrechetDistance(moments(first))
    for part in second.split(130):
        ours.update(part)
    statistics = [fid_features_to_statistics(side) for side in (first, second)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert ours.compute().item() == pytest.approx(theirs, rel=1e-9)


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
    metric = FrechetDistance(moments(first))
    metric.update(first)
    assert metric.compute().item() == pytest.approx(0, abs=1e-9)


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
