"""torch-fidelity's Inception-v3, the feature space of published FID, IS and KID."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import (
    URL_INCEPTION_V3,
    FeatureExtractorInceptionV3,
)

from gansweep.data.download import locked
from gansweep.errors import UserError
from gansweep.metrics.cache import say
from gansweep.metrics.features import Backbone
from gansweep.metrics.protocol import PLAIN_BACKBONE

FILE_NAME = URL_INCEPTION_V3.rsplit("/", 1)[1]
PUBLISHED_HASH = FILE_NAME.rsplit("-", 1)[1].removesuffix(".pth")  # first 8 digits of the SHA-256
ALTERNATIVE = (
    "Small labelled images can be scored with no download by metrics=classifier; "
    "metrics=none trains without scores."
)


class Inception(Backbone):
    """The TF-compatible Inception-v3: features (N, 2048), logits without bias (N, 1008).

    It resizes uint8 images itself, as TensorFlow 1 did. Weights other than the published ones
    make another feature space, which is named after their hash.
    """

    resizer = "tf1-bilinear-299"
    batch_size = 50

    def __init__(self, device: torch.device, weights_path: str | Path | None = None) -> None:
        super().__init__(device)
        file = Path(weights_path).expanduser() if weights_path else _downloaded()
        self.weights_hash = _checked_hash(file)
        plain = self.weights_hash.startswith(PUBLISHED_HASH)
        self.name = PLAIN_BACKBONE if plain else f"{PLAIN_BACKBONE}{self.weights_hash[:8]}"
        self.extras = {}
        with torch.random.fork_rng(devices=[]):
            self.network = _network(file)
        # half again as fast on a CPU, and tensor cores like it too
        self.network.to(device, memory_format=torch.channels_last)

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        pool, logits = self.network(images)
        return pool, logits


def _network(file: Path) -> FeatureExtractorInceptionV3:
    try:
        return FeatureExtractorInceptionV3(
            "inception-v3-compat",
            ["2048", "logits_unbiased"],
            feature_extractor_weights_path=str(file),
        )
    except (RuntimeError, AttributeError, TypeError) as error:
        raise UserError(
            f"metrics.weights_path={file} does not hold the weights of torch-fidelity's "
            f"Inception-v3 ({' '.join(str(error).split())[:120]}). Give the file {FILE_NAME}, "
            "or leave the option out to download it."
        ) from error


def _checked_hash(file: Path) -> str:
    """16 hex digits of the file's SHA-256, once it is known to hold tensors and no code."""
    try:
        torch.load(file, map_location="cpu", weights_only=True)
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except FileNotFoundError:
        problem = "does not exist"
    except Exception as error:  # whatever a foreign or cut file makes torch.load raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        problem = f"cannot be read as a file of weights ({reason})"
    raise UserError(f"The Inception weights {file}: the file {problem}. Give the path of "
                    f"{FILE_NAME} as metrics.weights_path=. {ALTERNATIVE}")  # fmt: skip


def _downloaded() -> Path:
    file = Path(torch.hub.get_dir(), "checkpoints", FILE_NAME)
    if file.exists():
        return file
    with locked(file.with_name(f".{FILE_NAME}.lock")):
        if file.exists():
            return file
        say(f"downloading the Inception weights (91 MB) to {file}.")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(file), hash_prefix=PUBLISHED_HASH)
        # no network, a refused connection, a wrong hash, a full disk
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"FID under Inception-v3 needs the weights {FILE_NAME}, which could not be "
                f"downloaded: {reason}. Fetch {URL_INCEPTION_V3} on a machine with a network and "
                f"put it into {file.parent}, or name it with metrics.weights_path=. {ALTERNATIVE}"
            ) from error
    return file
