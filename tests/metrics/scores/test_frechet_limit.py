"""The standard error of FID and its limit, against direct formulas and over many draws."""

from functools import partial

import numpy as np
import pytest
import torch
from gaussians import drawn, known, moments

from gansweep.data.order import generator_for
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.scores.frechet import frechet_distance, frechet_score, frechet_to_samples
from gansweep.metrics.scores.frechet_limit import (
    SEED,
    frechet_error,
    frechet_infinity,
    infinity_interval,
    infinity_scores,
)


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
        metric, x = OrderedSamples(partial(infinity_scores, real)), drawn(real, n, 0, 1.1)
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
    metrics = [frechet_score(real), OrderedSamples(partial(infinity_scores, real))]
    for metric in metrics:
        for part in order.split(25):
            metric.update(part, x[part])
    limit, residual = frechet_infinity(real, x)
    assert metrics[0].compute() == {"fid": frechet_to_samples(real, x)}
    assert metrics[1].compute() == {"fid_infinity": limit, "fid_infinity_residual": residual}


def test_too_few_samples_for_extrapolation_or_error_are_refused() -> None:
    real = known(3)
    with pytest.raises(ValueError, match="29 samples are too few to extrapolate FID: .* least 30"):
        frechet_infinity(real, drawn(real, 29, 0))
    with pytest.raises(ValueError, match="39 samples .* standard error of FID: .* least 40"):
        frechet_error(real, drawn(real, 39, 0))
