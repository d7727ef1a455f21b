"""CLIP's image encoder, from torch-fidelity, as feature space."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_clip import build_model

from gansweep.metrics.features.backbone import Backbone, as_rgb
from gansweep.metrics.features.resizing import tensorflow1_bilinear
from gansweep.metrics.features.weights import Published, State

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PUBLISHED = Published(
    network="CLIP ViT-B/32",
    # the name that torch-fidelity uses
    file_name="clip-vit-b-32-40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af.pt",
    url="https://openaipublic.azureedge.net/clip/models/"
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
    sha256="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    size_mb=354,
)


class Clip(Backbone):
    """CLIP's image embedding, as torch-fidelity's "clip-vit-b-32": features (N, 512), no logits.

    weights_path: the published file, or a saved state_dict of another CLIP vision transformer.
        That is another feature space, and its name contains the hash of the file.
    Source: Radford et al. 2021, arXiv:2103.00020. For FID: Kynkaanniemi et al. 2022,
        arXiv:2203.06026, where the resizer is another one.
    """

    batch_size = 32

    def __init__(self, device: torch.device, weights_path: str | Path | None = None) -> None:
        super().__init__(device)
        network, self.weights_hash = PUBLISHED.load(weights_path, _image_encoder, _tensors)
        self.name = PUBLISHED.named("clip", self.weights_hash)
        self.network = network.to(device)
        self.input_size = int(self.network.input_resolution)  # type: ignore[arg-type]
        self.resizer = f"tf1-bilinear-{self.input_size}"
        scale = torch.tensor([MEAN, STD], device=device)
        self.mean, self.std = scale[:, :, None, None] * 255

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        resized = tensorflow1_bilinear(as_rgb(images), self.input_size)
        features = self.network((resized - self.mean) / self.std)
        return features, features[:, :0]


def _tensors(file: Path, weights_hash: str) -> Any:
    """The published file is a TorchScript program. It runs only if its hash is the published one.

    Any other file is read as plain tensors.
    """
    if not PUBLISHED.is_published(weights_hash):
        return torch.load(file, map_location="cpu", weights_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that the format is deprecated
        return dict(torch.jit.load(file, map_location="cpu").state_dict())


def _image_encoder(state: State) -> nn.Module:
    """torch-fidelity's encoder; its sizes are read from the weights."""
    state = {name: value for name, value in state.items() if name.startswith("visual.")}
    state["text_projection"] = state["visual.proj"]  # its shape gives the width of the output
    with torch.random.fork_rng(devices=[]):  # it draws random initial weights
        network: nn.Module = build_model(state, torch.float32).visual
    return network
