"""The trained classifiers that are shipped, so that every machine scores in the same space.

Each is a file of tensors, judge_weights/NAME.safetensors, whose metadata say how it was made; it is
used for data of the content that it was trained on, whatever they are called. `scripts/judges`
makes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from gansweep.errors import UserError

FOLDER = Path(__file__).with_name("judge_weights")


@dataclass(frozen=True, slots=True)
class Judge:
    """A shipped classifier.

    name: of its feature space, as digitsnet1; its number counts up whenever the weights change.
    train, test: the fingerprints of the data that it was trained and measured on.
    """

    name: str
    train: str
    test: str
    test_accuracy: float
    weights_hash: str

    def weights(self) -> dict[str, Tensor]:
        """Raises: UserError where the installed file is damaged."""
        path = FOLDER / f"{self.name}.safetensors"
        with safe_open(path, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if weights_hash(weights) != self.weights_hash:
            raise UserError(
                f"{path} does not hold the weights that gansweep was released with, so its scores "
                "would compare with no others. Install gansweep again."
            )
        return weights


def judges() -> list[Judge]:
    """All that are shipped."""
    found = []
    for path in sorted(FOLDER.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            said = file.metadata()
        found.append(
            Judge(
                path.stem,
                said["train_fingerprint"],
                said["test_fingerprint"],
                float(said["test_accuracy"]),
                said["weights_hash"],
            )
        )
    return found


def judge_of(train: str, test: str) -> Judge | None:
    """The classifier shipped for data of these fingerprints, the newest; None where there is none.

    train: of all training images, validation images among them.
    """
    own = [judge for judge in judges() if (judge.train, judge.test) == (train, test)]
    return max(own, key=lambda judge: (len(judge.name), judge.name), default=None)


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """16 hex digits over names and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
