"""Anomaly detection: training images of one class, validation and test images of all classes."""

from __future__ import annotations

import torch

from gansweep.config.ranges import CountOrNone
from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import DataSource, Split
from gansweep.errors import UserError


class OneClass(ResidentSource):
    """The training images of one class, and the whole validation and test splits.

    Labels keep the base set's numbers.

    base: a labelled set of images or points with a test split; its `flip` is used here.
    normal: the number of the class to train on; samples of other classes are anomalies.
    Source: the protocol of Ruff et al. 2018 (Deep SVDD), ICML, Section 4.1.
    """

    has_validation = True

    def __init__(self, base: DataSource, normal: CountOrNone) -> None:
        super().__init__(
            flip=getattr(base, "flip", False), resident_gib=getattr(base, "resident_gib", 1.0)
        )
        for option, key in (("n_labels", "n_labels"), ("random_crop", "crop")):
            if getattr(base, option, None):
                raise UserError(
                    f"data.base.{key} has no effect with data=one_class, which uses the unchanged "
                    f"images of a class with all labels. Leave data.base.{key} out."
                )
        self.base = base
        self.normal = normal
        self.name = f"{base.name}_class_{normal}"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    @property
    def class_names(self) -> list[str] | None:
        return self.base.class_names

    @property
    def normal_class(self) -> int:
        return self.normal

    @property
    def classifier_from(self) -> DataSource:
        return self.base

    @property
    def n_set_aside(self) -> int:
        return self.base.n_set_aside

    def prepare(self) -> None:
        """Also prepare the base set.

        Raises: UserError if the base set has no labels, no class `normal`, or no test split.
        """
        self.base.prepare()
        names = self.base.class_names
        if names is None:
            raise UserError(
                f"data=one_class selects images by label, but {self.base.name} has no labels. Use "
                "a labelled set, such as data@data.base=mnist."
            )
        if not 0 <= self.normal < len(names):
            raise UserError(
                f"data.normal={self.normal} is not a class of {self.base.name}. Its {len(names)} "
                f"classes have the numbers 0 to {len(names) - 1}."
            )
        if not self.base.count("test"):
            raise UserError(
                f"data=one_class needs a test split, but {self.base.name} has none. Use a set that "
                "has one."
            )
        super().prepare()

    def count(self, split: Split) -> int:
        if self.base.count(split) == 0:
            return 0  # arrays() of a split that does not exist would raise an error
        return super().count(split)

    def read(self, split: Split) -> Arrays:
        images, labels = zip(*self.base.arrays(split), strict=True)
        whole, numbers = torch.cat(images), torch.cat(labels)
        if split != "train":
            return whole, numbers
        normal = numbers == self.normal
        return whole[normal], numbers[normal]
