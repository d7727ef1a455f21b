"""The Vendi score where it is known, and against the paper's own formula."""

import math

import pytest
import torch
from torch import Tensor

from gansweep.metrics.scores.vendi import vendi_score


def slow(features: Tensor) -> float:
    """By a loop over pairs and over all n eigenvalues."""
    n = len(features)
    kernel = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            cosine = torch.nn.functional.cosine_similarity(features[i], features[j], dim=0)
            kernel[i, j] = cosine / n
    entropy = 0.0
    for share in torch.linalg.eigvals(kernel).real.tolist():
        entropy -= share * math.log(share) if share > 1e-12 else 0.0
    return math.exp(entropy)


def test_alike_samples_count_as_one_and_orthogonal_ones_each() -> None:
    assert vendi_score(torch.ones(7, 3) * torch.arange(1, 8)[:, None]).item() == pytest.approx(1)
    assert vendi_score(torch.eye(6) * 4).item() == pytest.approx(6)


def test_half_orthogonal_pair_by_hand() -> None:
    """A cosine of 1/2 gives the eigenvalues 3/4 and 1/4."""
    pair = torch.tensor([[1.0, 0.0], [0.5, math.sqrt(3) / 2]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert vendi_score(pair).item() == pytest.approx(math.exp(entropy))


@pytest.mark.parametrize("shape", [(5, 12), (12, 5)])
def test_it_is_the_papers_formula(shape: tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(shape, generator=rng, dtype=torch.float64)
    assert vendi_score(features).item() == pytest.approx(slow(features), rel=1e-9)


def test_samples_given_twice_change_nothing() -> None:
    features = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    twice = vendi_score(features.repeat(2, 1)).item()
    assert twice == pytest.approx(vendi_score(features).item())


def test_collapse_lowers_it() -> None:
    rng = torch.Generator().manual_seed(2)
    centres = torch.rand(10, 32, generator=rng)
    noise = torch.rand(200, 32, generator=rng) / 10
    scores = [vendi_score(centres[torch.arange(200) % k] + noise).item() for k in (1, 3, 10)]
    assert scores == sorted(scores) and scores[0] < 2 < scores[2]


def test_features_without_a_direction_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 samples"):
        vendi_score(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]))
