"""Normalisations that the networks choose by name: of activations and of weights."""

from typing import Literal

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gansweep.errors import UserError

NormName = Literal["batch", "layer", "instance", "none"]


def normalization(kind: str, channels: int, *, spatial: bool = True) -> nn.Module:
    """The layer for a feature map (N, channels, H, W), or for (N, channels) if not spatial.

    kind: "batch"; "layer" (statistics of one sample over all its features, a gain and a bias per
    channel), which keeps the samples of a batch apart as a gradient penalty needs; "instance"
    (statistics of one map of one sample, no gain or bias), of feature maps alone; or "none".
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels) if spatial else nn.BatchNorm1d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    if kind == "none":
        return nn.Identity()
    if kind == "instance" and spatial:
        return nn.InstanceNorm2d(channels)
    raise UserError(
        f"norm={kind} is not a normalisation of this network. Use norm=batch, norm=layer or "
        "norm=none, or norm=instance for feature maps."
    )


def normalize_weights(network: nn.Module) -> None:
    """Divide every weight of the network by its spectral norm, in place.

    Embeddings count as the linear maps that they are. One power iteration at each forward pass in
    training mode.
    Source: Miyato et al. 2018, arXiv:1802.05957, Section 2.1 and Algorithm 1.
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            spectral_norm(layer)
