"""Train the classifiers that gansweep ships: scripts/judges [NAME ...], the names of SETS below.

Each classifier is trained on all training images of its data set (including those that later runs
use for validation) and measured on the test images. MNIST and Fashion-MNIST are read from
$GANSWEEP_MNIST and $GANSWEEP_FASHION_MNIST, or downloaded to data/. An existing file is not
replaced: new weights are a new feature space, so raise the version of the data set here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import torch
from safetensors.torch import save_file

from gansweep.data.images import MNIST, Digits, FashionMNIST, ImageSet
from gansweep.metrics.features.classifier_training import (
    RECIPE,
    SEED,
    SHIPPED_WIDTHS,
    accuracy,
    train_classifier,
)
from gansweep.metrics.features.judges import FOLDER, weights_hash

ROOT_MNIST = os.environ.get("GANSWEEP_MNIST", "data")
ROOT_FASHION = os.environ.get("GANSWEEP_FASHION_MNIST", "data")
SETS: dict[str, tuple[int, Callable[[], ImageSet]]] = {  # the version, and the data
    "digits": (1, Digits),
    "mnist": (1, lambda: MNIST(ROOT_MNIST)),
    "mnist32": (1, lambda: MNIST(ROOT_MNIST, 32)),
    "fashion_mnist": (1, lambda: FashionMNIST(ROOT_FASHION)),
    "fashion_mnist32": (1, lambda: FashionMNIST(ROOT_FASHION, 32)),
}


def make(name: str) -> None:
    version, build = SETS[name]
    path = FOLDER / f"{name}net{version}.safetensors"
    if path.exists():
        print(f"{path} exists already")
        return
    data = build()
    images, labels = zip(*data.arrays("train"), strict=True)
    started, used = time.monotonic(), time.process_time()
    network = train_classifier(
        path.stem,
        torch.cat(images),
        torch.cat(labels),
        data.n_classes or 0,
        torch.device("cpu"),
        SHIPPED_WIDTHS,
    )
    seconds, used = time.monotonic() - started, time.process_time() - used
    weights = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    metadata = {
        "made_by": "scripts/judges",
        "data": data.name,
        "trained_on": f"all {data.n_train} training images",
        "train_fingerprint": data.fingerprint("train"),
        "test_fingerprint": data.fingerprint("test"),
        "test_accuracy": f"{accuracy(network, data):.4f}",
        "recipe": str(RECIPE),
        "seed": str(SEED),
        "torch": torch.__version__,
        "weights_hash": weights_hash(weights),
    }
    FOLDER.mkdir(exist_ok=True)
    save_file(weights, path, metadata)
    path.chmod(0o644)
    size = path.stat().st_size
    print(f"{path}: {size} bytes, {seconds:.0f} s ({used:.0f} s of one core)")
    print("\n".join(f"  {key}: {value}" for key, value in metadata.items()))


if __name__ == "__main__":
    for word in sys.argv[1:] or SETS:
        make(word)
