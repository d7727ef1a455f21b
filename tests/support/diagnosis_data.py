"""A data set small enough to be learnt by heart in seconds."""

from typing import Any

from gansweep.data.images import Digits
from gansweep.data.resident import Arrays
from gansweep.data.source import Split


class FewDigits(Digits):
    """The first `keep` digits to train on, 300 others to validate, all 360 to test."""

    has_validation = True

    def __init__(self, keep: int, **options: Any) -> None:
        super().__init__(**options)
        self.keep = keep

    def read_native(self, split: Split) -> Arrays:
        images, labels = super().read_native("test" if split == "test" else "train")
        assert labels is not None
        first = self.keep if split == "validation" else 0
        last = {"train": self.keep, "validation": self.keep + 300, "test": None}[split]
        return images[first:last], labels[first:last]
