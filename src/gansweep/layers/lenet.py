"""The small autoencoder of one-class digits: 5x5 convolutions of 8 and 4 channels.

Source: Ruff et al. 2018 (Deep SVDD), ICML, Section 4.2, with the layers of the authors' code for
MNIST: no biases, leaky slope 0.01, 2x2 maxima on the way down, nearest-neighbour doubling on the
way up, from 28 pixels to 7 and back. The code of their tables (lukasruff/Deep-SVDD, Lasagne) has
gains and shifts in batch normalisation and Glorot's weights; their later one (Deep-SVDD-PyTorch)
has none of the former and PyTorch's weights.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from gansweep.errors import UserError
from gansweep.layers.heads import Codes, Head

SIDE = 28
WIDTHS = (8, 4)
MAPS = 16  # pixels of a map of 4x4, as which a code is read
EPSILON = 1e-4


def _refuse_other_images(sample_shape: tuple[int, ...]) -> None:
    if tuple(sample_shape[1:]) != (SIDE, SIDE):
        raise UserError(
            f"gansweep.layers.lenet is for images of {SIDE}x{SIDE}, and a sample of the data has "
            f"the shape {tuple(sample_shape)}. Use data.image_size={SIDE}, or model=autoencoder's "
            "own networks."
        )


Initial = Literal["default", "glorot"]


def _norm(width: int, affine: bool) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=EPSILON, affine=affine)


def _initialize(network: nn.Module, initial: Initial) -> None:
    """Glorot's uniform weights where asked for, twice the variance in convolutions, as Lasagne."""
    if initial == "default":
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight, math.sqrt(2))
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)


class Encoder(nn.Module):
    """(N, C, 28, 28) -> (N, L): what the head makes of 196 features; a linear one has no bias.

    affine: whether batch normalisation has gains and shifts.   initial: weights, PyTorch's or
    Glorot's.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        head: Head,
        affine: bool = False,
        initial: Initial = "default",
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        _refuse_other_images(sample_shape)
        first, second = WIDTHS
        self.layers = nn.Sequential(
            *(nn.Conv2d(sample_shape[0], first, 5, padding=2, bias=False), _norm(first, affine)),
            *(nn.LeakyReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(first, second, 5, padding=2, bias=False), _norm(second, affine)),
            *(nn.LeakyReLU(), nn.MaxPool2d(2), nn.Flatten()),
        )
        self.n_features = second * (SIDE // 4) ** 2
        self.output = head(self.n_features, n_classes)
        if isinstance(self.output, Codes):
            self.output.register_parameter("bias", None)
        _initialize(self, initial)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.layers(images), labels)


class Decoder(nn.Module):
    """(N, L) -> (N, C, 28, 28) in [-1, 1], the code's sigmoid.   L: a multiple of 16.

    affine, initial: as of the encoder.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        affine: bool = False,
        initial: Initial = "default",
    ) -> None:
        super().__init__()
        _refuse_other_images(sample_shape)
        if latent_dim % MAPS:
            raise UserError(
                f"model.latent_dim={latent_dim} is no number of 4x4 maps: use a multiple of "
                f"{MAPS}, as the paper's 32."
            )
        first, second = WIDTHS
        self.maps = latent_dim // MAPS
        # padding 3 takes 16 pixels to 14
        self.layers = nn.Sequential(
            *(nn.LeakyReLU(), nn.Upsample(scale_factor=2)),
            *(
                nn.ConvTranspose2d(self.maps, second, 5, padding=2, bias=False),
                _norm(second, affine),
            ),
            *(nn.LeakyReLU(), nn.Upsample(scale_factor=2)),
            *(nn.ConvTranspose2d(second, first, 5, padding=3, bias=False), _norm(first, affine)),
            *(nn.LeakyReLU(), nn.Upsample(scale_factor=2)),
            nn.ConvTranspose2d(first, sample_shape[0], 5, padding=2, bias=False),
        )
        _initialize(self, initial)

    def forward(self, codes: Tensor) -> Tensor:
        made = self.layers(codes.unflatten(1, (self.maps, 4, 4)))
        return torch.tanh(made / 2)  # 2 sigmoid(x) - 1
