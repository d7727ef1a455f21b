"""The smallest game: a generator that makes one point, a discriminator that is a line through 0.

Source: Mescheder et al. 2018, arXiv:1801.04406, Section 2 (the Dirac-GAN). There the discriminator
calls large scores fake: its psi is minus ours.
"""

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Finite


class Generator(nn.Module):
    """(N, latent_dim) -> (N, 1), all of them the one parameter.   start: its first value."""

    def __init__(self, sample_shape: tuple[int, ...], latent_dim: int, *, start: Finite) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(float(start)))

    def forward(self, latents: Tensor) -> Tensor:
        return self.theta.expand(len(latents), 1)


class Discriminator(nn.Module):
    """(N, 1) -> (N,): psi x.   start: psi at first."""

    def __init__(self, sample_shape: tuple[int, ...], *, start: Finite) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(float(start)))

    def forward(self, samples: Tensor) -> Tensor:
        return self.psi * samples.squeeze(1)
