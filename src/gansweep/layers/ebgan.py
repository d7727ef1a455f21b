"""A discriminator that is an autoencoder: Zhao, Mathieu and LeCun 2016, arXiv:1609.03126."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from gansweep.config.ranges import Width
from gansweep.layers.heads import Codes


class Discriminator(nn.Module):
    """Samples -> (N,) energies |v - Dec(Enc(v))|, a 2-norm over pixels or coordinates, at least 0.

    encoder: a discriminator's class that takes a `head`.   decoder: a generator's class.
    n_codes: length of the code between them.   options: of both, as width=64.
    Departure: the code is a vector, where the paper's images of 64x64 have a code of 4x4 maps.
    Source: Section 2.3.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        n_codes: Width,
        **options: Any,
    ) -> None:
        super().__init__()
        head = partial(Codes, n_outputs=n_codes)
        self.encoder = encoder(sample_shape=sample_shape, head=head, **options)
        self.decoder = decoder(sample_shape=sample_shape, latent_dim=n_codes, **options)

    def features(self, samples: Tensor) -> Tensor:
        """The codes, (N, n_codes)."""
        return self.encoder(samples)

    def forward(self, samples: Tensor) -> Tensor:
        return (samples - self.decoder(self.encoder(samples))).flatten(1).norm(dim=1)
