"""A generator of my own: one hidden layer of SiLU units."""

import math

from torch import Tensor, nn


class Generator(nn.Module):
    """(N, latent_dim) -> (N, *sample_shape) in [-1, 1]."""

    def __init__(
        self, sample_shape: tuple[int, ...], latent_dim: int, width: int, norm: str = "batch"
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, width),
            nn.BatchNorm1d(width) if norm == "batch" else nn.Identity(),
            nn.SiLU(),
            nn.Linear(width, math.prod(sample_shape)),
            nn.Tanh(),
            nn.Unflatten(1, sample_shape),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)
