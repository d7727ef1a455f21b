"""Toy distributions compared with values worked out by hand."""

import math

import pytest
import torch
from scipy.stats import chi

from gansweep.data.resident import ResidentSource
from gansweep.data.toy import FlatMixture, Grid, Ring, radius_holding
from gansweep.errors import UserError


def points_of(source: ResidentSource, split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    chunks = list(source.arrays(split))
    return torch.cat([p for p, _ in chunks]).double(), torch.cat([m for _, m in chunks])


def test_ring_has_eight_distinct_modes_on_the_unit_circle() -> None:
    means = Ring().mixture.means
    assert means.shape == (8, 2)
    assert torch.allclose(means.norm(dim=1), torch.ones(8, dtype=torch.float64), atol=1e-15)
    # neighbours are 2 sin(pi/8) apart, and no mode occurs twice
    gaps = torch.cdist(means, means) + 9 * torch.eye(8, dtype=torch.float64)
    assert gaps.min() == pytest.approx(2 * math.sin(math.pi / 8))
    assert means[0].tolist() == [1.0, 0.0]


def test_grid_has_its_25_modes_at_even_numbers() -> None:
    means = Grid().mixture.means
    even = (-4.0, -2.0, 0.0, 2.0, 4.0)
    assert {tuple(mean) for mean in means.tolist()} == {(x, y) for x in even for y in even}
    assert len(means) == 25


@pytest.mark.parametrize(
    ("source", "variance"),
    # per axis: variance of the means plus sigma^2; ring r^2/2, grid (16+4+0+4+16)/5
    [(Ring(), 0.5 + 0.01**2), (Grid(), 8 + 0.05**2)],
    ids=["ring", "grid"],
)
def test_moments_are_those_of_the_mixture(source: ResidentSource, variance: float) -> None:
    points, modes = points_of(source)
    n, mixture = len(points), source.mixture
    assert points.shape == (100_000, 2)
    assert (points.mean(0).abs() < 4 * math.sqrt(variance / n)).all()
    assert torch.allclose(points.var(0), torch.full((2,), variance).double(), rtol=0.01)
    noise = points - mixture.means[modes]
    assert noise.std().item() == pytest.approx(mixture.sigma, rel=4 / math.sqrt(4 * n))
    shares = torch.bincount(modes).double() / n
    assert (shares - mixture.weights).abs().max() < 5 * math.sqrt(mixture.weights[0] / n)


@pytest.mark.parametrize("source", [Ring(), Grid()], ids=["ring", "grid"])
def test_true_samples_are_98_89_percent_high_quality(source: ResidentSource) -> None:
    points, _ = points_of(source)
    nearest = torch.cdist(points, source.mixture.means).min(1).values
    share = (nearest < 3 * source.mixture.sigma).double().mean().item()
    # P(|x| < 3 sigma) = 1 - exp(-9/2) for two axes; its standard error at 100,000 is 0.00033
    assert share == pytest.approx(1 - math.exp(-4.5), abs=4 * 0.00033)


def test_samples_are_fixed_and_the_splits_differ() -> None:
    assert Ring().fingerprint("train") == Ring().fingerprint("train")
    (_, train_modes), (test, test_modes) = points_of(Ring()), points_of(Ring(), "test")
    assert test.shape == (10_000, 2)
    agree = (train_modes[:10_000] == test_modes).double().mean().item()
    assert agree == pytest.approx(1 / 8, abs=5 * math.sqrt(1 / 8 * 7 / 8 / 10_000))


def test_sizes_are_options() -> None:
    ring = Ring(modes=3, radius=2.0, sigma=0.5, n_train=100)
    assert (ring.n_train, ring.n_classes, ring.shape, ring.is_points) == (100, 3, (2,), True)
    assert ring.mixture.means.norm(dim=1).tolist() == pytest.approx([2.0] * 3)
    assert torch.equal(
        Grid(side=2, spacing=1.0).mixture.means,
        torch.tensor([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]], dtype=torch.float64),
    )


def test_batches_are_points_as_they_are() -> None:
    batch = next(Grid(n_train=500).train_batches(500, seed=0, device="cpu"))
    assert batch.images.dtype == torch.float32
    assert batch.images.abs().max() > 3.5
    assert torch.equal(batch.images.double().round().abs() % 2, torch.zeros(500, 2).double())


def flat_mixture(**options) -> FlatMixture:
    return FlatMixture(**{"modes": 4, "inner_dim": 30, "dim": 50, "n_train": 4000, **options})


def test_the_high_dimensional_mixture_has_the_published_dimensions() -> None:
    source = FlatMixture(n_train=760)
    points, modes = points_of(source)
    assert (source.name, source.shape, source.n_classes) == ("mixture_1200d", (1200,), 10)
    assert torch.linalg.matrix_rank(points - source.mixture.means[modes], atol=0.01) == 700
    gaps = torch.cdist(source.mixture.means, source.mixture.means) + 999 * torch.eye(10)
    # no ball of good samples touches another
    assert gaps.min() > 10 * 2 * source.mixture.max_sigmas * source.mixture.sigma


def test_a_flat_mixture_spreads_evenly_in_its_flat_and_nowhere_else() -> None:
    source = flat_mixture()
    points, modes = points_of(source)
    noise = (points - source.mixture.means[modes]) / source.mixture.sigma
    spread = torch.linalg.eigvalsh(noise.T @ noise / len(noise)).flip(0)
    # Marchenko and Pastur: the extremes of 30 equal eigenvalues estimated from 4,000 samples
    edge = math.sqrt(30 / 4000)
    assert spread[0] < (1 + edge) ** 2 * 1.03
    assert spread[29] > (1 - edge) ** 2 * 0.97
    assert spread[30:].max() < 1e-5  # only the rounding to a fine grid
    assert spread.sum().item() == pytest.approx(30, rel=4 * math.sqrt(2 / (30 * 4000)))
    assert torch.equal(points_of(flat_mixture())[0], points)


def test_radius_of_the_plane_is_three_sigma_and_of_700_dimensions_a_chi_quantile() -> None:
    share = 1 - math.exp(-4.5)
    assert radius_holding(share, 2) == pytest.approx(3, abs=1e-12)
    assert radius_holding(share, 700) == pytest.approx(chi.ppf(share, 700), rel=1e-9)


def test_a_flat_larger_than_its_space_is_refused() -> None:
    with pytest.raises(UserError, match="data.inner_dim=60"):
        flat_mixture(inner_dim=60)


def test_modes_are_as_likely_as_their_weights() -> None:
    """Seven angles of which the first counts twice: numpy.linspace(0, 2 pi, 8)."""
    ring = Ring(modes=7, weights=[2, 1, 1, 1, 1, 1, 1])
    assert ring.mixture.weights.tolist() == pytest.approx([0.25, *[0.125] * 6])
    _, modes = points_of(ring)
    shares = torch.bincount(modes).double() / len(modes)
    assert (shares - ring.mixture.weights).abs().max() < 5 * math.sqrt(0.25 * 0.75 / len(modes))


@pytest.mark.parametrize("weights", [[1, 1], [1, 0, 1], [1, -1, 3], [1, math.inf, 1], []])
def test_weights_that_fit_no_modes_are_refused(weights: list[float]) -> None:
    with pytest.raises(UserError, match=r"data.weights=.* fits no mixture of 3 modes"):
        Ring(modes=3, weights=weights)
