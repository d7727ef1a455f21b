"""A data set small enough to be learnt by heart in seconds."""

from typing import Any

from gansweep.data.images import Digits
from gansweep.data.resident import Arrays
from gansweep.data.source import Split


class FewDigits(Digits):
    """The first `keep` digits to train on, all 360 to test."""

    def __init__(self, keep: int, **options: Any) -> None:
        super().__init__(**options)
        self.keep = keep

    def read_native(self, split: Split) -> Arrays:
        images, labels = super().read_native(split)
        if split == "test" or labels is None:
            return images, labels
        return images[: self.keep], labels[: self.keep]
