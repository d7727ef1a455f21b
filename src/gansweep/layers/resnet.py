"""The residual pair of SNGAN, which WGAN-GP shares.

Source: Miyato et al. 2018, arXiv:1802.05957, Table 4 (CIFAR-10); Gulrajani et al. 2017,
arXiv:1704.00028, on CIFAR-10, is the same network with mean instead of sum pooling at its end.
At 32x32 this is the table; sides up to 32 keep one width, larger ones halve it as the paper's
128x128 networks do, and the number of doublings follows from the side.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.errors import UserError
from gansweep.layers import heads
from gansweep.layers.heads import Head
from gansweep.layers.normalization import normalization, normalize_weights
from gansweep.layers.residual import DownBlock, UpBlock, convolution
from gansweep.layers.spatial import channels_at, stages

SMALL_MAP = 8  # the discriminator halves its maps down to this side


class Generator(nn.Module):
    """(N, latent_dim) -> (N, C, H, W) in [-1, 1]; `width` channels up to 32x32."""

    def __init__(
        self, sample_shape: tuple[int, ...], latent_dim: int, *, width: int, norm: str
    ) -> None:
        super().__init__()
        base, doublings = stages(sample_shape)
        widths = [channels_at(base << level, width) for level in range(doublings + 1)]
        self.stem = nn.Linear(latent_dim, widths[0] * base * base)
        nn.init.xavier_uniform_(self.stem.weight)
        nn.init.zeros_(self.stem.bias)
        self.unflatten = nn.Unflatten(1, (widths[0], base, base))
        self.blocks = nn.Sequential(
            *(
                UpBlock(n_in, n_out, norm=norm)
                for n_in, n_out in zip(widths, widths[1:], strict=False)
            )
        )
        self.norm = normalization(norm, widths[-1])
        self.to_image = convolution(widths[-1], sample_shape[0], 3)

    def forward(self, latents: Tensor) -> Tensor:
        maps = self.blocks(self.unflatten(self.stem(latents)))
        return torch.tanh(self.to_image(F.relu(self.norm(maps))))


class Discriminator(nn.Module):
    """(N, C, H, W), and labels for some heads -> (N,) unbounded scores.

    width: channels up to 32x32. Blocks halve the map, once at least, until its side is 8 or
        less; two more follow.
    pooling: of the last maps over their pixels, "sum" in SNGAN, "mean" in WGAN-GP.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: int,
        norm: str,
        pooling: Literal["sum", "mean"],
        spectral_norm: bool = False,
        head: Head = heads.Linear,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        if pooling not in ("sum", "mean"):
            raise UserError(f"pooling={pooling} is not known: use sum (SNGAN) or mean (WGAN-GP).")
        self.pooling = pooling
        stages(sample_shape)  # refuses the sizes that the generator refuses
        side = sample_shape[1] // 2
        n_features = channels_at(side, width)
        blocks = [DownBlock(sample_shape[0], n_features, norm=norm, first=True)]
        while side > SMALL_MAP:
            side //= 2
            blocks.append(DownBlock(n_features, channels_at(side, width), norm=norm))
            n_features = channels_at(side, width)
        blocks += [DownBlock(n_features, n_features, norm=norm, halve=False) for _ in range(2)]
        self.blocks = nn.Sequential(*blocks)
        self.norm = normalization(norm, n_features)
        self.n_features = n_features
        self.output = head(n_features, n_classes)
        for layer in self.output.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if spectral_norm:
            normalize_weights(self)

    def features(self, images: Tensor) -> Tensor:
        """(N, n_features)."""
        maps = F.relu(self.norm(self.blocks(images)))
        return maps.sum(dim=(2, 3)) if self.pooling == "sum" else maps.mean(dim=(2, 3))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(self.features(images), labels)
