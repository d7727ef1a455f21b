"""Class agreement: whether samples are of the class that was requested."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.source import DataSource
from gansweep.metrics.measure import Measure, Seen, Setting, needs_classifier
from gansweep.metrics.protocol import Protocol

MOST_CONFUSED = 100  # with more classes the confusion matrix is not recorded


class ClassAgreement(Metric):
    """How often a classifier predicts the class that was requested.

    n_classes: K. All states are integer counts, so the result does not depend on the number of
    processes.
    """

    update_called = True  # no warning on a process that has no samples
    counts: Tensor

    def __init__(self, n_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_classes = n_classes
        zeros = torch.zeros(n_classes, n_classes, dtype=torch.int64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    def update(self, asked: Tensor, logits: Tensor) -> None:
        """asked: (n,) int64, 0 to K - 1.   logits: (n, K) of the classifier."""
        if len(asked) != len(logits) or logits.shape[1:] != (self.n_classes,):
            raise ValueError(
                f"{tuple(asked.shape)} requested classes for logits {tuple(logits.shape)}: "
                f"give one class for each row of logits over {self.n_classes} classes."
            )
        if len(asked) and not 0 <= int(asked.min()) <= int(asked.max()) < self.n_classes:
            raise ValueError(
                f"The requested classes go from {int(asked.min())} to {int(asked.max())}, but the "
                f"{self.n_classes} classes are 0 to {self.n_classes - 1}."
            )
        cells = (asked * self.n_classes + logits.argmax(1)).to(self.counts.device)
        self.counts += cells.bincount(minlength=self.n_classes**2).view_as(self.counts)

    def compute(self) -> dict[str, Tensor]:
        """class_agreement: share of all samples, 0 to 1.

        class_agreement_per_class: (K,) the same for each requested class; NaN without samples.
        confusion: (K * K,) counts, row by row: a row for each requested class, a column for each
            predicted class.
        Raises: ValueError if there are no samples.
        """
        if not self.counts.any():
            raise ValueError("No samples were given to score: call update first.")
        counts = self.counts.double()
        right, asked = counts.diagonal(), counts.sum(1)
        return {
            "class_agreement": right.sum() / asked.sum(),
            "class_agreement_per_class": right / asked,
            "confusion": counts.flatten(),
        }


class Agreement(Measure):
    """Does the data's classifier predict the class that was requested for each sample?"""

    choices = ("class_agreement",)
    words = ("class_agreement", "class_agreement_per_class", "confusion")
    lists = ("class_agreement_per_class", "confusion")

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        if not conditional:
            return "the generator takes no class"
        return needs_classifier(backbone)

    def gives(self, data: DataSource) -> tuple[str, ...]:
        few = (data.n_classes or 0) <= MOST_CONFUSED
        return tuple(word for word in self.words if few or word != "confusion")

    def build(self, setting: Setting) -> Metric:
        return ClassAgreement(setting.data.n_classes or 0)

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.labels, seen.logits)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        # no real sample is used
        own: Protocol = dict.fromkeys(("n_real", "split", "feature_width"))
        if not setting.balanced:
            own["asked"] = "labels of the training split"
        if word != "class_agreement":
            own["class_names"] = setting.data.class_names
        if word == "confusion":
            own["layout"] = "asked x seen"
        return own
