"""The pair of BigGAN.

Source: Brock et al. 2019, arXiv:1809.11096, Sections 3 and 4.1 and Appendix B: one class embedding
for all layers; the first of equal parts of the latent starts the smallest map, and each other, with
the embedding, conditions the normalisation of one block; orthogonal initial weights; spectral
normalisation of both networks, except the generator's embedding (the authors' published code).
"""

from functools import partial

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Side, Width
from gansweep.errors import UserError
from gansweep.layers import resnet
from gansweep.layers.conditional_norm import CodeBatchNorm2d
from gansweep.layers.heads import Projection
from gansweep.layers.normalization import normalize_weights
from gansweep.layers.spatial import stages


class Generator(resnet.Generator):
    """(N, latent_dim) and labels (N,) int64 -> (N, C, H, W) in [-1, 1].

    latent_dim: a multiple of the number of parts, one more than the blocks that double the map.
    width: channels at 32x32.   max_width: of smaller maps, for images beyond 32x32.
    embedding_dim: of the class's vector.   attention: as in resnet.Generator.
    Raises: UserError for a latent vector that cannot be cut into equal parts.
    """

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        latent_dim: int,
        *,
        width: Width,
        embedding_dim: Width,
        n_classes: int,
        max_width: Width | None = None,
        attention: Side | None = None,
        spectral_norm: bool = True,
    ) -> None:
        n_parts = stages(sample_shape)[1] + 1
        if latent_dim % n_parts:
            raise UserError(
                f"model.latent_dim={latent_dim} cannot be cut into {n_parts} equal parts, one for "
                f"the smallest map and one for each of the {n_parts - 1} blocks that double it. "
                f"Use latent_dim={-(-latent_dim // n_parts) * n_parts}."
            )
        self.part_dim = latent_dim // n_parts
        super().__init__(
            sample_shape,
            self.part_dim,
            width=width,
            norm=partial(CodeBatchNorm2d, code_dim=embedding_dim + self.part_dim),
            max_width=max_width,
            attention=attention,
        )
        self.embedding = nn.Embedding(n_classes, embedding_dim)
        _initialize_orthogonal(self)
        if spectral_norm:
            for name, part in self.named_children():
                if name != "embedding":
                    normalize_weights(part)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None, "BigGAN needs the class of each sample"
        return self.grown_from(latents, self.embedding(labels))

    def grown_from(self, latents: Tensor, embedded: Tensor) -> Tensor:
        """The images of latents and of class vectors (N, embedding_dim), or mixtures of them."""
        first, *others = latents.split(self.part_dim, dim=1)
        return self.grown(first, [(torch.cat([embedded, part], dim=1),) for part in others])


class Discriminator(resnet.Discriminator):
    """(N, C, H, W) and labels (N,) int64 -> (N,) unbounded scores; sizes as in resnet."""

    def __init__(
        self,
        sample_shape: tuple[int, ...],
        *,
        width: Width,
        n_classes: int,
        max_width: Width | None = None,
        attention: Side | None = None,
        spectral_norm: bool = True,
    ) -> None:
        super().__init__(
            sample_shape,
            width=width,
            norm="none",
            pooling="sum",
            max_width=max_width,
            attention=attention,
            wide=True,
            head=Projection,
            n_classes=n_classes,
        )
        _initialize_orthogonal(self)
        if spectral_norm:
            normalize_weights(self)


def _initialize_orthogonal(network: nn.Module) -> None:
    """Weights whose rows, or columns where there are fewer, are orthonormal; biases stay.

    Source: Saxe et al. 2014, arXiv:1312.6120, in Brock et al. 2019, Section 3.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.orthogonal_(layer.weight)
