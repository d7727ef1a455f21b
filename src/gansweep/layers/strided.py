"""DCGAN's pair in the kernels, widths and sides of the code that published tables were made with.

Source: Radford et al. 2016, arXiv:1511.06434, in the authors' code for faces (5x5 kernels, no
biases); Lin et al. 2018 (PacGAN), arXiv:1712.04086, in their code for stacked MNIST (5x5 or 3x3
kernels, biases everywhere, sides halved to 28, 14, 7, 4, 2).
Departure: borders are padded alike on both sides, where TensorFlow's "same" pads more at the end.
layers/dcgan.py has the pair for every image size, with 4x4 kernels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Share, Width
from gansweep.errors import UserError
from gansweep.layers import heads, small_maps
from gansweep.layers.dcgan import LEAK, initialize
from gansweep.layers.heads import Head
from gansweep.layers.normalization import NormName, normalization

Kernel = Literal[3, 5]


def sides_of(sample_shape: tuple[int, ...], halvings: int) -> list[int]:
    """The image's side, then each half of the one before, rounded up: 28, 14, 7, 4, 2.

    Raises: UserError for points, oblong images and more halvings than there are pixels.
    """
    if len(sample_shape) != 3 or sample_shape[1] != sample_shape[2]:
        raise UserError(
            f"This network needs square images, and a sample of the data has the shape "
            f"{tuple(sample_shape)}. Use image data with one data.image_size, as data=mnist."
        )
    sides = [sample_shape[1]]
    for _ in range(halvings):
        sides.append(-(-sides[-1] // 2))
    if sides[-1] < 2:
        raise UserError(
            f"Images of side {sides[0]} cannot be halved {halvings} times to maps of 2 or more. "
            "Use fewer widths, or a larger data.image_size."
        )
    return sides


class Generator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1].

    widths: channels from the smallest map on, doubled in side from one to the next.
    last: what makes the image: "doubling", one more such step, or "same", a convolution of the
        last maps.
    bias: whether layers before a normalisation, which has one itself, and the last have a bias.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        widths: Sequence[Width],
        kernel: Kernel = 5,
        norm: NormName = "batch",
        last: Literal["doubling", "same"] = "doubling",
        bias: bool = False,
    ) -> None:
        super().__init__()
        sides = sides_of(sample_shape, len(widths) - (last == "same"))[::-1]
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, widths[0] * sides[0] ** 2, bias=bias),
            nn.Unflatten(1, (widths[0], sides[0], sides[0])),
            normalization(norm, widths[0]),
            nn.ReLU(),
        ]
        for (n_in, n_out), (small, large) in zip(pairwise(widths), pairwise(sides), strict=False):
            layers += [
                _doubling(n_in, n_out, kernel, small, large, bias),
                normalization(norm, n_out),
                nn.ReLU(),
            ]
        if last == "doubling":
            small, large = sides[-2:]
            layers.append(_doubling(widths[-1], sample_shape[0], kernel, small, large, bias))
        else:
            same = nn.Conv2d(widths[-1], sample_shape[0], kernel, padding=kernel // 2, bias=bias)
            layers.append(same)
        self.layers = nn.Sequential(*layers)
        initialize(self)

    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(self.layers(latents))


class Discriminator(nn.Module):
    """(N, C, H, W), and labels for some heads -> (N,) unbounded scores.

    widths: channels at half the image's side, at a quarter, and so on.
    first_norm: whether the first layer is normalised too.   leak: slope below 0.
    bias: as the generator's, of every layer.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        widths: Sequence[Width],
        kernel: Kernel = 5,
        norm: NormName = "batch",
        first_norm: bool = False,
        leak: Share = LEAK,
        bias: bool = False,
        head: Head = heads.Linear,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        smallest = sides_of(sample_shape, len(widths))[-1]
        layers: list[nn.Module] = []
        for level, (n_in, n_out) in enumerate(pairwise([sample_shape[0], *widths])):
            layers += [
                small_maps.Conv2d(n_in, n_out, kernel, stride=2, padding=kernel // 2, bias=bias),
                normalization(norm if level or first_norm else "none", n_out),
                nn.LeakyReLU(leak),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.n_features = widths[-1] * smallest**2
        self.output = head(self.n_features, n_classes)
        initialize(self)
        if not bias and isinstance(self.output, nn.Linear):
            self.output.register_parameter("bias", None)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features)."""
        return self.layers(images)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(images), labels)


def _doubling(
    n_in: int, n_out: int, kernel: int, small: int, large: int, bias: bool
) -> small_maps.ConvTranspose2d:
    """From a side to its double, or to the odd side below it: 4 to 7."""
    rest = large - (2 * small - 1)  # 1 for the double, 0 for one less
    padding = kernel // 2
    return small_maps.ConvTranspose2d(
        n_in, n_out, kernel, stride=2, padding=padding, output_padding=rest, bias=bias
    )
