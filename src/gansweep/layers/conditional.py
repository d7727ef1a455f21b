"""Any generator and any discriminator with the class of a sample: embedded and concatenated.

Source: Mirza and Osindero 2014, arXiv:1411.1784, Section 3.2: both players get the class.
Departure: the paper joins hidden layers of class and input; here a learned vector for each class
joins the input itself, which fits every network.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Width

Network = Callable[..., nn.Module]


class Generator(nn.Module):
    """(N, latent_dim), labels (N,) int64 -> samples: `embedding_dim` learned numbers join z.

    network: a generator's class; `options` are its own, as in model.generator.width=64.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        network: Network,
        n_classes: int,
        embedding_dim: Width,
        **options: Any,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_classes, embedding_dim)
        n_inputs = latent_dim + embedding_dim
        self.network = network(sample_shape=sample_shape, latent_dim=n_inputs, **options)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.network(torch.cat([latents, self.embedding(labels)], dim=1))


class Discriminator(nn.Module):
    """Samples, labels (N,) int64 -> (N,) unbounded scores.

    The class is one more channel of an image, a learned map; beside a point it is as many learned
    coordinates as the point has.
    network: a discriminator's class; `options` are its own, as in model.discriminator.width=64.
    """

    def __init__(
        self, sample_shape: tuple[int, ...], *, network: Network, n_classes: int, **options: Any
    ) -> None:
        super().__init__()
        n_channels, *self.map_shape = sample_shape
        added = 1 if self.map_shape else n_channels
        self.embedding = nn.Embedding(n_classes, added * torch.Size(self.map_shape).numel())
        self.network = network(sample_shape=(n_channels + added, *self.map_shape), **options)

    def forward(self, samples: Tensor, labels: Tensor) -> Tensor:
        embedded = self.embedding(labels).unflatten(1, (-1, *self.map_shape))
        return self.network(torch.cat([samples, embedded], dim=1))
