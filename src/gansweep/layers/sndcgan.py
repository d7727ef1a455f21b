"""The pair that spectral normalisation was compared on without residual blocks.

Source: Miyato et al. 2018, arXiv:1802.05957, Table 3: the generator is DCGAN's from a map an
eighth of the image's side, ended by a 3x3 convolution; the discriminator has at each side a 3x3
convolution and a 4x4 one that halves it, and one 3x3 convolution more at the end; leaky slope 0.1,
no normalisation of activations in the discriminator.
Departure: the initial weights are DCGAN's, N(0, 0.02); the paper does not state them.
"""

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Width
from gansweep.errors import UserError
from gansweep.layers import heads
from gansweep.layers.dcgan import initialize
from gansweep.layers.heads import Head
from gansweep.layers.normalization import normalize_weights

LEAK = 0.1
HALVINGS = 3


def smallest_side(sample_shape: tuple[int, ...]) -> int:
    """An eighth of the image's side.   Raises: UserError where it is no whole number."""
    if len(sample_shape) != 3 or sample_shape[1] != sample_shape[2] or sample_shape[1] % 8:
        raise UserError(
            f"This network halves square images three times, and a sample of the data has the "
            f"shape {tuple(sample_shape)}. Use a data.image_size that is a multiple of 8, as 32."
        )
    return sample_shape[1] >> HALVINGS


class Generator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1].   width: channels at the full side, 64."""

    def __init__(self, sample_shape: tuple[int, ...], latent_dim: int, *, width: Width) -> None:
        super().__init__()
        base = smallest_side(sample_shape)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, 8 * width * base**2),
            nn.Unflatten(1, (8 * width, base, base)),
            nn.BatchNorm2d(8 * width),
            nn.ReLU(),
        ]
        for times in (4, 2, 1):
            layers += [
                nn.ConvTranspose2d(2 * times * width, times * width, 4, stride=2, padding=1),
                nn.BatchNorm2d(times * width),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, sample_shape[0], 3, padding=1))
        initialize(self)

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(self.layers(latents))


class Discriminator(nn.Module):
    """(N, C, H, W), and labels for some heads -> (N,) unbounded scores.

    width: channels at the full side, 64.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        spectral_norm: bool = True,
        head: Head = heads.Linear,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        base = smallest_side(sample_shape)
        layers: list[nn.Module] = []
        n_in = sample_shape[0]
        for times in (1, 2, 4):
            layers += [nn.Conv2d(n_in, times * width, 3, padding=1), nn.LeakyReLU(LEAK)]
            halved = nn.Conv2d(times * width, times * width, 4, stride=2, padding=1)
            layers += [halved, nn.LeakyReLU(LEAK)]
            n_in = times * width
        layers += [nn.Conv2d(n_in, 8 * width, 3, padding=1), nn.LeakyReLU(LEAK), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.n_features = 8 * width * base**2
        self.output = head(self.n_features, n_classes)
        initialize(self)
        if spectral_norm:
            normalize_weights(self)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features)."""
        return self.layers(images)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(images), labels)
