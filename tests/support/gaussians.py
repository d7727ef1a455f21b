"""Gaussians that are known exactly, and samples of them."""

import torch

from gansweep.metrics.moments import Gaussian, Moments


def known(d: int, decay: float = 1.0) -> Gaussian:
    """A centred Gaussian of trace 100, exactly known."""
    variances = torch.arange(1, d + 1, dtype=torch.float64) ** -decay
    return Gaussian(
        torch.zeros(d, dtype=torch.float64), torch.diag(100 * variances / variances.sum())
    )


def drawn(real: Gaussian, n: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    noise = torch.randn(n, len(real.mean), generator=torch.Generator().manual_seed(seed))
    return scale * noise * real.cov.diagonal().sqrt().float()


def moments(features: torch.Tensor) -> Gaussian:
    """The Gaussian of features (n, d), by the streaming metric."""
    seen = Moments(features.shape[1])
    seen.update(features)
    mean, cov = seen.compute()
    return Gaussian(mean, cov, len(features))
