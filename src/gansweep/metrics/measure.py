"""The interface between the panel and its measures."""

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

# for a measure of the images themselves, which uses no feature space
WITHOUT_BACKBONE: Protocol = dict.fromkeys(("backbone", "weights_hash", "resizer"))
# for a measure that uses no real images
WITHOUT_REAL: Protocol = dict.fromkeys(("n_real", "split", "data_fingerprint"))


@dataclass(frozen=True, slots=True)
class Seen:
    """One batch of generated samples.

    numbers: (n,) int64, from 0 to n_fake - 1.
    samples: uint8 images (n, C, H, W) or points (n, D).
    features: (n, d) and logits: (n, K), of the backbone.   labels: (n,), the requested classes.
    """

    numbers: Tensor
    samples: Tensor
    features: Tensor | None = None
    logits: Tensor | None = None
    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What all measures of one panel share.

    real: on the device; None for points, which are compared with their exact distribution.
    conditional: the generator follows labels.
    balanced: every class is requested equally often.
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
    words: the scores that it computes.
    lists: the words whose score is a list, with one number for each mode or class.
    directions: whether lower or higher is better, for words that protocol.DIRECTIONS lacks.
    smallest: what `least` gives, where it is the same for all data.
    needs_features: of each real image; otherwise only their moments are loaded.
    needs_held_out: real samples that the generator was not trained on.
    """

    choices: tuple[str, ...]
    words: tuple[str, ...]
    lists: tuple[str, ...] = ()
    directions: Mapping[str, Direction] = {}
    smallest = (2, 2)
    needs_features = False
    needs_held_out = False

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        """Why it cannot be measured on the data with that backbone; "" if it can.

        backbone: None for points.   conditional: the generator follows labels.
        """
        return "it compares images" if backbone is None else ""

    def least(self, data: DataSource) -> tuple[int, int]:
        """The smallest numbers of generated and of real samples that it can be computed from."""
        return self.smallest

    @abstractmethod
    def build(self, setting: Setting) -> Metric:
        """The torchmetrics Metric on the setting's device, with its real side."""

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.features)

    def gives(self, data: DataSource) -> tuple[str, ...]:
        """Those of its words that are meaningful on the data."""
        return self.words

    def protocol(self, setting: Setting, word: str) -> Protocol:
        """The entries that a score adds to the shared protocol, or replaces in it."""
        return {}


def needs_classifier(backbone: str | None) -> str:
    """The `misfit` of measures that need the probabilities of the data's own classes."""
    return "" if backbone == "classifier" else "only metrics=classifier predicts the data's classes"
