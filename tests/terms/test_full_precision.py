"""What a loss averages and compares is not rounded to the 16 bits of autocast."""

import pytest
import torch

from gansweep.models.vae import kl_from_prior
from gansweep.terms.full_precision import in_full
from gansweep.terms.losses import Wasserstein


def test_a_small_difference_of_large_means_is_kept() -> None:
    real = torch.tensor([50.0, 50.0, 50.0, 50.25], dtype=torch.bfloat16)
    fake = torch.full_like(real, 50)
    assert Wasserstein().discriminator(in_full(real), in_full(fake)) == -0.0625
    assert Wasserstein().discriminator(real, fake) == 0  # 50.0625 has too many digits


def test_64_bits_stay() -> None:
    assert in_full(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_the_divergence_of_a_code_near_its_prior_is_above_0_and_has_a_slope() -> None:
    # (e^s - 1 - s) / 2 at s = 1/256, whose e^s is 1 in 16 bits
    mean, log_variance = torch.zeros(1, 1), torch.full((1, 1), 1 / 256)
    short = log_variance.to(torch.bfloat16).requires_grad_()
    found = kl_from_prior(mean.to(torch.bfloat16), short)
    assert found.item() == pytest.approx(0.5 * (2**-17 + 2**-24 / 6), rel=0.05)
    (slope,) = torch.autograd.grad(found.sum(), short)
    assert slope.item() == pytest.approx(2**-9, rel=0.01)  # (e^s - 1) / 2
