"""The network that guesses the middle of an image from what lies around it.

Source: Pathak et al. 2016, arXiv:1604.07379, Section 3.1, with the layers of the released code for
a square hole: 4x4 convolutions halve 128 pixels down to 4, then a bottleneck, and a decoder doubles
4 pixels up to 64; batch normalisation, leaky ReLU 0.2 up to and after the bottleneck, ReLU in the
decoder, weights from N(0, 0.02). Other sides b * 2^k end at b pixels.
"""

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Width
from gansweep.layers.dcgan import LEAK, initialize
from gansweep.layers.normalization import NormName, normalization
from gansweep.layers.spatial import stages


class Inpainter(nn.Module):
    """(N, C, H, W) with a hole -> its middle, (N, C, H/2, W/2) in [-1, 1].

    width: channels at half and at a quarter of the image's side, doubled at each further halving.
    codes: features of the bottleneck, which sees the whole image.
    """

    def __init__(
        self, sample_shape: tuple[int, ...], *, width: Width, codes: Width, norm: NormName = "batch"
    ) -> None:
        super().__init__()
        base, halvings = stages(sample_shape)
        channels = sample_shape[0]
        bias = norm != "batch"  # which has a bias of its own
        down = [width << max(0, level - 1) for level in range(halvings)]
        up = [width << level for level in reversed(range(halvings - 1))]
        layers: list[nn.Module] = []
        for level, (n_in, n_out) in enumerate(zip([channels, *down], down, strict=False)):
            kind = norm if level else "none"
            layers += [
                nn.Conv2d(n_in, n_out, 4, stride=2, padding=1, bias=kind != "batch"),
                normalization(kind, n_out),
                nn.LeakyReLU(LEAK),
            ]
        layers += [
            nn.Conv2d(down[-1], codes, base, bias=bias),
            normalization(norm, codes),
            nn.LeakyReLU(LEAK),
        ]
        # one pixel of codes to b x b, then doubled: at a side of 8 to 14 that is the middle
        for level, (n_in, n_out) in enumerate(zip([codes, *up], [*up, channels], strict=True)):
            last = level == len(up)
            size = (base, 1, 0) if level == 0 else (4, 2, 1)  # kernel, stride, padding
            layers.append(nn.ConvTranspose2d(n_in, n_out, *size, bias=last or bias))
            if not last:
                layers += [normalization(norm, n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(self.layers(images))


class Judge(nn.Module):
    """The middle of an image, (N, C, H/2, W/2) -> (N,) unbounded scores.

    4x4 convolutions that halve it down to b pixels, then one weight for each feature; a middle of
    b pixels gets one 3x3 convolution (ours).
    width: channels after the first, doubled at each further one.
    """

    def __init__(
        self, sample_shape: tuple[int, ...], *, width: Width, norm: NormName = "batch"
    ) -> None:
        super().__init__()
        channels, side = sample_shape[0], sample_shape[1]
        base, halvings = stages((channels, 2 * side, 2 * sample_shape[2]))
        kernel, stride = (4, 2) if halvings > 1 else (3, 1)
        widths = [width << level for level in range(max(1, halvings - 1))]
        layers: list[nn.Module] = []
        for level, (n_in, n_out) in enumerate(zip([channels, *widths], widths, strict=False)):
            kind = norm if level else "none"
            layers += [
                nn.Conv2d(n_in, n_out, kernel, stride, padding=1, bias=kind != "batch"),
                normalization(kind, n_out),
                nn.LeakyReLU(LEAK),
            ]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * base**2, 1))
        initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).squeeze(1)
