"""DINOv2 as feature space: the Frechet distance under it is FD-DINOv2."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vision_transformer import (  # type: ignore[import-untyped]
    VisionTransformer,
)

from gansweep.metrics.features.backbone import Backbone, as_rgb
from gansweep.metrics.features.resizing import pillow_bicubic
from gansweep.metrics.features.weights import Published, State

INPUT_SIZE = 224
HEAD_WIDTH = 64  # of every published DINOv2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KNOWN = ("cls_token", "pos_embed", "mask_token", "patch_embed.", "blocks.", "norm.")
PUBLISHED = Published(
    network="DINOv2 ViT-L/14",
    file_name="dinov2_vitl14_pretrain.pth",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    sha256="d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    size_mb=1218,
)


class DinoV2(Backbone):
    """DINOv2's class token after the last layer norm: features (N, 1024), no logits.

    As in the paper: ViT-L/14 at 224 x 224, Pillow's resizing, ImageNet's mean and standard
    deviation. Other weights (ViT-S/14, ViT-B/14) are another feature space, and its name contains
    their hash.
    Source: Stein et al. 2023, arXiv:2306.04675; Oquab et al. 2023, arXiv:2304.07193.
    """

    resizer = f"pillow-bicubic-{INPUT_SIZE}"
    batch_size = 32

    def __init__(self, device: torch.device, weights_path: str | Path | None = None) -> None:
        super().__init__(device)
        network, self.weights_hash = PUBLISHED.load(weights_path, vision_transformer)
        self.name = PUBLISHED.named("dinov2", self.weights_hash)
        self.network = network.to(device)
        scale = torch.tensor([MEAN, STD], device=device)
        self.mean, self.std = scale[:, :, None, None] * 255

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        resized = pillow_bicubic(as_rgb(images), INPUT_SIZE)
        features = self.network((resized - self.mean) / self.std)
        return features, features[:, :0]


def vision_transformer(state: State) -> nn.Module:
    """torchvision's vision transformer with DINOv2's weights, for images of 224 x 224.

    state: of ViT-S, B or L; the number and the width of the layers are read from it.
    torchvision has no layer scale, so it is multiplied into the weights before it.
    Raises: ValueError for weights of another network, such as one with registers.
    """
    if strange := [name for name in state if not name.startswith(KNOWN)]:
        raise ValueError(f"{strange[0]} is no part of this network")
    width, _, _, patch_size = state["patch_embed.proj.weight"].shape
    renamed = {
        "class_token": state["cls_token"],
        "conv_proj.weight": state["patch_embed.proj.weight"],
        "conv_proj.bias": state["patch_embed.proj.bias"],
        "encoder.pos_embedding": _positions(state["pos_embed"], INPUT_SIZE // patch_size),
        "encoder.ln.weight": state["norm.weight"],
        "encoder.ln.bias": state["norm.bias"],
    }
    depth = sum(name.endswith(".norm1.weight") for name in state)
    for layer in range(depth):
        target = f"encoder.layers.encoder_layer_{layer}"
        renamed |= {f"{target}.{k}": v for k, v in _layer(state, f"blocks.{layer}").items()}
    with torch.device("meta"):  # skips the random initialisation
        network: nn.Module = VisionTransformer(
            image_size=INPUT_SIZE,
            patch_size=patch_size,
            num_layers=depth,
            num_heads=width // HEAD_WIDTH,
            hidden_dim=width,
            mlp_dim=len(state["blocks.0.mlp.fc1.bias"]),
        )
        network.heads = nn.Identity()
    network.load_state_dict(renamed, assign=True)
    return network.eval().requires_grad_(False)


def _layer(state: State, block: str) -> State:
    attended, seen = state[f"{block}.ls1.gamma"], state[f"{block}.ls2.gamma"]
    renamed: State = {}
    for kind in ("weight", "bias"):
        shape = (-1, 1) if kind == "weight" else (-1,)
        renamed |= {
            f"ln_1.{kind}": state[f"{block}.norm1.{kind}"],
            f"ln_2.{kind}": state[f"{block}.norm2.{kind}"],
            f"self_attention.in_proj_{kind}": state[f"{block}.attn.qkv.{kind}"],
            f"self_attention.out_proj.{kind}": (
                state[f"{block}.attn.proj.{kind}"] * attended.view(shape)
            ),
            f"mlp.0.{kind}": state[f"{block}.mlp.fc1.{kind}"],
            f"mlp.3.{kind}": state[f"{block}.mlp.fc2.{kind}"] * seen.view(shape),
        }
    return renamed


def _positions(embedding: Tensor, side: int) -> Tensor:
    """The embedding (1, 1 + M * M, d) of M x M patches, resized to side x side patches.

    Bicubic, with the 0.1 that DINOv2's own code adds to the side. The scores depend on it.
    """
    token, patches = embedding[:, :1], embedding[:, 1:]
    given = round(patches.shape[1] ** 0.5)
    if given == side:
        return embedding
    grid = patches.unflatten(1, (given, given)).permute(0, 3, 1, 2)
    factor = (side + 0.1) / given
    grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([token, grid.flatten(2).transpose(1, 2)], 1)
