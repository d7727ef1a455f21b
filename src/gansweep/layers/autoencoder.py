"""An encoder and a decoder, made of the networks of the two-player games.

What a discriminator reads in a sample becomes its code through the head `Codes`, and a generator
makes a sample of a code again: so every network that a GAN can take, an autoencoder can take too.
"""

from torch import Tensor, nn


class Codes(nn.Linear):
    """The head that turns features into a code: (N, n_features) -> (N, n_outputs), unbounded."""

    def __init__(self, n_features: int, n_classes: int | None = None, *, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features)


class Coder(nn.Module):
    """encoder: samples -> (N, L) codes.   decoder: (N, L) codes -> samples of the data's shape."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
