"""Images out of two NumPy files, as an example of a data set of one's own."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import Split
from gansweep.errors import UserError


class Arrays8Bit(ResidentSource):
    """`train.npz` and `test.npz` of a folder: "images" uint8 (N, C, H, W), "labels" int64 (N,).

    root: the folder.   options: those of ResidentSource, such as flip and n_validation.
    """

    name = "arrays"

    def __init__(self, *, root: str, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root)

    def read(self, split: Split) -> Arrays:
        path = self.root / f"{split}.npz"
        if not path.exists():
            raise UserError(f"{path} is not there. Give its folder by data.root=FOLDER.")
        with np.load(path, allow_pickle=False) as content:
            return torch.from_numpy(content["images"]), torch.from_numpy(content["labels"]).long()

    @property
    def shape(self) -> tuple[int, ...]:
        images, _ = next(self.arrays("train"))
        return tuple(images.shape[1:])

    @property
    def class_names(self) -> list[str] | None:
        labels = self.labels_of("train")
        return None if labels is None else [str(k) for k in range(int(labels.max()) + 1)]
