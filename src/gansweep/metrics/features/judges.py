"""The shipped trained classifiers, so that every machine scores in the same feature space.

Each is a file of tensors, judge_weights/NAME.safetensors; its metadata state how it was made. It is
used for data with the content that it was trained on, whatever their name. `scripts/judges` makes
these files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from gansweep.errors import UserError
from gansweep.metrics.cache import Content

FOLDER = Path(__file__).with_name("judge_weights")


@dataclass(frozen=True, slots=True)
class Judge:
    """A shipped classifier.

    name: of its feature space, such as digitsnet1. The number is raised when the weights change.
    train, test: fingerprints of the data that it was trained and measured on.
    """

    name: str
    train: str
    test: str
    test_accuracy: float
    weights_hash: str

    def content(self) -> Content:
        """As a trained one is cached.   Raises: UserError if the installed file is damaged."""
        path = FOLDER / f"{self.name}.safetensors"
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if weights_hash(weights) != self.weights_hash:
            raise UserError(
                f"{path} does not contain the weights that gansweep was released with, so its "
                "scores could not be compared with any others. Install gansweep again."
            )
        return {"weights": weights, "hash": self.weights_hash, "test_accuracy": self.test_accuracy}


def judges() -> list[Judge]:
    """All shipped classifiers."""
    return list(map(_judge, sorted(FOLDER.glob("*.safetensors"))))


def _judge(path: Path) -> Judge:
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    train, test = facts["train_fingerprint"], facts["test_fingerprint"]
    return Judge(path.stem, train, test, float(facts["test_accuracy"]), facts["weights_hash"])


def judge_of(train: str, test: str) -> Judge | None:
    """The newest shipped classifier for data with these fingerprints; None if there is none.

    train: of all training images, including validation images.
    """
    own = [judge for judge in judges() if (judge.train, judge.test) == (train, test)]
    return max(own, key=lambda judge: (len(judge.name), judge.name), default=None)


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """16 hex digits over the names and values of the weights."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
