"""What a panel asks of a measure: what it reads, gives and needs, and the protocol it adds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.source import DataSource, Split
from gansweep.metrics.features.backbone import Backbone
from gansweep.metrics.protocol import Direction, Protocol
from gansweep.metrics.reference import RealSide

# what a measure of the images themselves does not depend on
WITHOUT_BACKBONE: Protocol = dict.fromkeys(("backbone", "weights_hash", "resizer"))


@dataclass(frozen=True, slots=True)
class Seen:
    """One batch of generated samples as the measures read it.

    numbers: (n,) int64, of 0 .. n_fake - 1.   samples: uint8 images (n, C, H, W), or points (n, D).
    features (n, d), logits (n, K): of the backbone.   labels: (n,), the class each was asked to be.
    """

    numbers: Tensor
    samples: Tensor
    features: Tensor | None = None
    logits: Tensor | None = None
    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What the measures of one panel share.

    real: on the device; None for points, which are compared with their exact distribution.
    conditional: the generator follows the labels it is asked for.
    balanced: it is asked for every class equally often.
    held_out: the split of real samples that the generator was not trained on.
    """

    data: DataSource
    split: Split
    n_fake: int
    device: torch.device
    backbone: Backbone | None = None
    real: RealSide | None = None
    conditional: bool = False
    balanced: bool = False
    held_out: Split = "test"

    @property
    def real_side(self) -> RealSide:
        """`real`, for measures of images."""
        assert self.real is not None, "points have no real side"
        return self.real

    @property
    def features(self) -> Tensor:
        """(n_real, d), for measures that say `needs_features`."""
        assert self.real_side.features is not None, "the measure lacks needs_features"
        return self.real_side.features


class Measure(ABC):
    """One kind of measurement.

    choices: the words that choose it in metrics.scores.
    words: the numbers that it gives.
    lists: those of the words that give one number for each mode or class.
    directions: the better end of those that have one, where protocol.DIRECTIONS does not say it.
    """

    choices: tuple[str, ...]
    words: tuple[str, ...]
    lists: tuple[str, ...] = ()
    directions: Mapping[str, Direction] = {}
    needs_features = False  # of each real image, not their moments alone
    needs_held_out = False  # samples that the generator was not trained on

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        """Why it cannot be measured on the data under that choice of backbone; "" if it can."""
        return "it compares images" if backbone is None else ""

    def least(self, data: DataSource) -> tuple[int, int]:
        """Generated and real samples that it cannot do with fewer of."""
        return 2, 2

    @abstractmethod
    def build(self, setting: Setting) -> Metric:
        """The torchmetrics Metric, on the setting's device, its real side in place."""

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.features)

    def gives(self, data: DataSource) -> tuple[str, ...]:
        """Those of its words that mean something on the data."""
        return self.words

    def protocol(self, setting: Setting, word: str) -> Protocol:
        """What one of its numbers depends on beyond what all scores share."""
        return {}


def needs_classifier(backbone: str | None) -> str:
    """The `misfit` of measures that need the probabilities of the data's own classes."""
    return "" if backbone == "classifier" else "only metrics=classifier predicts the data's classes"
