"""Anomaly detection: training images of one class, validation and test images of all classes."""

from gansweep.config.ranges import CountOrNone
from gansweep.data.resident import DerivedSource, whole
from gansweep.data.source import Arrays, DataSource, Split
from gansweep.errors import UserError


class OneClass(DerivedSource):
    """The training images of one class, and the whole validation and test splits.

    Labels keep the base set's numbers.
    base: a labelled set of images or points with a test split; its `flip` is used here.
    normal: the number of the class to train on; samples of other classes are anomalies.
    Source: the protocol of Ruff et al. 2018 (Deep SVDD), ICML, Section 4.1.
    """

    def __init__(self, base: DataSource, normal: CountOrNone) -> None:
        super().__init__(base, f"{base.name}_class_{normal}", flip=getattr(base, "flip", False))
        for option, key in (("n_labels", "n_labels"), ("random_crop", "crop")):
            if getattr(base, option, None):
                raise UserError(
                    f"data.base.{key} has no effect with data=one_class, which uses the unchanged "
                    f"images of a class with all labels. Leave data.base.{key} out."
                )
        self.normal_class: int = normal
        self.classifier_from = base

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

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
        if not 0 <= self.normal_class < len(names):
            raise UserError(
                f"data.normal={self.normal_class} is not a class of {self.base.name}. Its "
                f"{len(names)} classes have the numbers 0 to {len(names) - 1}."
            )
        if not self.base.count("test"):
            raise UserError(
                f"data=one_class needs a test split, but {self.base.name} has none: use another."
            )
        super().prepare()

    def read(self, split: Split) -> Arrays:
        images, labels = whole(self.base, split)
        assert labels is not None  # else refused by prepare
        if split != "train":
            return images, labels
        normal = labels == self.normal_class
        return images[normal], labels[normal]
