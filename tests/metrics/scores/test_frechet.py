"""The Frechet distance against closed forms, published golden values and torch-fidelity."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from gansweep.data.order import generator_for
from gansweep.metrics.moments import Gaussian, Moments, gaussian_of
from gansweep.metrics.scores.frechet import (
    FrechetScore,
    IntraFrechet,
    frechet_distance,
    frechet_to_samples,
)
from gansweep.metrics.scores.frechet_limit import (
    SEED,
    FrechetInfinity,
    FrechetSpread,
    frechet_error,
    frechet_infinity,
    infinity_interval,
)


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


def known(d: int, decay: float = 1.0) -> Gaussian:
    """A centred Gaussian of trace 100, exactly known."""
    variances = torch.arange(1, d + 1, dtype=torch.float64) ** -decay
    return Gaussian(
        torch.zeros(d, dtype=torch.float64), torch.diag(100 * variances / variances.sum())
    )


def drawn(real: Gaussian, n: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    noise = torch.randn(n, len(real.mean), generator=torch.Generator().manual_seed(seed))
    return scale * noise * real.cov.diagonal().sqrt().float()


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
    with pytest.raises(ValueError, match="1 samples have no covariance"):
        gaussian_of(x[:1])


@pytest.mark.parametrize(("n", "d"), [(600, 24), (120, 90)])
def test_extrapolation_is_the_line_through_the_distances_of_its_sizes(n: int, d: int) -> None:
    real = known(d)
    x = drawn(real, n, 5, 1.2)
    mixed = x[torch.randperm(n, generator=generator_for(SEED))]
    sizes = np.linspace(min(n / 2, max(n / 10, d * 5000 / 2048)), n, 15).round().astype(int)
    distances = [frechet_distance(real, moments(mixed[:size])).item() for size in sizes]
    slope, limit = np.polyfit(1 / sizes, distances, 1)
    residual = np.sqrt(np.mean((distances - limit - slope / sizes) ** 2))
    found = frechet_infinity(real, x)
    assert [value.item() for value in found] == pytest.approx([limit, residual], rel=1e-6)


def test_extrapolation_takes_most_of_the_bias_away() -> None:
    real = known(32)
    same, wider = drawn(real, 2000, 0), drawn(real, 2000, 1, 1.2)
    assert frechet_to_samples(real, same).item() > 0.25
    assert frechet_infinity(real, same)[0].item() == pytest.approx(0, abs=0.06)
    # N(0, S) against N(0, 1.44 S): (1.2 - 1)^2 Tr S
    spread = 3 * frechet_error(real, wider).item()
    assert frechet_infinity(real, wider)[0].item() == pytest.approx(4, abs=spread)


@pytest.mark.parametrize(
    ("n", "d", "scale"), [(400, 16, 1.0), (400, 16, 1.2), (100, 150, 1.0), (300, 100, 0.8)]
)
def test_error_is_the_spread_over_other_draws(n: int, d: int, scale: float) -> None:
    real = known(d)
    draws = [frechet_to_samples(real, drawn(real, n, seed, scale)) for seed in range(60)]
    found = [frechet_error(real, drawn(real, n, seed, scale)) for seed in range(100, 110)]
    ratio = torch.stack(found).mean() / torch.stack(draws).std()
    # high near FID 0, where the bias of the parts differs; the bootstrap gives 2 to 5 there
    assert 0.7 < ratio < 2.1


def test_error_is_the_jackknife_over_groups() -> None:
    real, n = known(12), 130
    x = drawn(real, n, 7)
    mixed = x[torch.randperm(n, generator=generator_for(SEED))].double()
    left = [torch.cat([mixed[: g * n // 20], mixed[(g + 1) * n // 20 :]]) for g in range(20)]
    values = np.array([frechet_distance(real, moments(part)).item() for part in left])
    slow = np.sqrt(19 / 20 * ((values - values.mean()) ** 2).sum())
    assert frechet_error(real, x).item() == pytest.approx(slow, rel=1e-6)


def test_the_interval_of_infinity_is_the_jackknife_of_the_whole_and_of_its_halves() -> None:
    real, n = known(6), 130
    x = drawn(real, n, 7, 1.2)
    mixed = x[torch.randperm(n, generator=generator_for(SEED))].double()
    groups = [mixed[g * n // 20 : (g + 1) * n // 20] for g in range(20)]

    def slow(parts: list[torch.Tensor]) -> tuple[float, float]:
        k = len(parts)
        whole = frechet_distance(real, moments(torch.cat(parts))).item()
        left = [torch.cat(parts[:g] + parts[g + 1 :]) for g in range(k)]
        pseudo = np.array([k * whole - (k - 1) * frechet_distance(real, moments(p)).item()
                           for p in left])  # fmt: skip
        return pseudo.mean(), pseudo.std(ddof=1) / k**0.5

    (first, error), halves = slow(groups), [slow(groups[:10])[0], slow(groups[10:])[0]]
    limit = first + (first - np.mean(halves)) / 3
    found = infinity_interval(real, x)
    assert found is not None
    expected = [limit - 2.093 * error, limit + 2.093 * error]
    assert [bound.item() for bound in found] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1.2])
def test_the_interval_of_infinity_holds_the_true_distance_and_that_of_fid_does_not(
    scale: float,
) -> None:
    """N(0, S) against N(0, scale^2 S): (scale - 1)^2 Tr S, by ten samples for each dimension."""
    real, truth, draws = known(24, 0.0), 100 * (scale - 1) ** 2, 30
    held = of_fid = 0
    for seed in range(draws):
        x = drawn(real, 240, seed, scale)
        interval = infinity_interval(real, x)
        assert interval is not None
        held += bool(interval[0] <= truth <= interval[1])
        reach = 1.96 * frechet_error(real, x)
        of_fid += bool((frechet_to_samples(real, x) - truth).abs() <= reach)
    assert held >= 0.9 * draws
    assert of_fid == 0


def test_the_interval_of_infinity_reaches_to_the_value_and_needs_samples_enough() -> None:
    real = known(10)
    for n, offered in ((99, False), (100, True)):
        metric, x = FrechetInfinity(real), drawn(real, n, 0, 1.1)
        metric.update(torch.arange(n), x)
        found = metric.compute()
        assert ("fid_infinity_low" in found) == ("fid_infinity_high" in found) == offered
        if offered:
            interval = infinity_interval(real, x)
            assert interval is not None
            limit = found["fid_infinity"]
            assert found["fid_infinity_low"] == min(interval[0], limit)
            assert found["fid_infinity_high"] == max(interval[1], limit)
    assert infinity_interval(known(2), drawn(known(2), 39, 0)) is None


def test_metrics_equal_their_functions_in_any_order_of_arrival() -> None:
    real = known(10)
    x, order = drawn(real, 60, 0, 1.1), torch.randperm(60, generator=torch.Generator())
    metrics = [FrechetScore(real), FrechetInfinity(real), FrechetSpread(real)]
    for metric in metrics:
        for part in order.split(25):
            metric.update(part, x[part])
    limit, residual = frechet_infinity(real, x)
    assert metrics[0].compute() == {"fid": frechet_to_samples(real, x)}
    assert metrics[1].compute() == {"fid_infinity": limit, "fid_infinity_residual": residual}
    assert metrics[2].compute() == {"fid_error": frechet_error(real, x)}


def test_too_few_samples_for_extrapolation_or_error_are_refused() -> None:
    real = known(3)
    with pytest.raises(ValueError, match="29 samples are too few to extrapolate FID: .* least 30"):
        frechet_infinity(real, drawn(real, 29, 0))
    with pytest.raises(ValueError, match="39 samples .* standard error of FID: .* least 40"):
        frechet_error(real, drawn(real, 39, 0))


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
    with pytest.raises(ValueError, match="Class 1 has 1 generated samples, too few"):
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
