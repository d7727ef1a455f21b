"""The 50:50 test as a metric over all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.source import DataSource
from gansweep.metrics.measure import WITHOUT_BACKBONE, Measure, Seen, Setting
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.protocol import Protocol
from gansweep.metrics.scores.two_sample import LEAST, STEPS, fifty_fifty

MOST_TESTED = 10_000  # held-out images that a fresh discriminator is trained and tested on
LARGEST_SIDE = 64  # what the fresh discriminator reads; larger images are averaged down to it


class FiftyFifty(OrderedSamples):
    """`two_sample.fifty_fifty` of held-out and generated samples, equally many of either.

    held_out: (m, C, H, W) uint8 or (m, D) points.   update: numbers (n,) and samples alike; those
    numbered m or more are left out.
    `compute` gives "fifty_fifty", the accuracy, and the ends of its 95 % interval.
    """

    higher_is_better = False
    held_out: Tensor

    def __init__(self, held_out: Tensor, **kwargs: Any) -> None:
        kind = torch.float32 if held_out.ndim == 2 else torch.uint8
        self.state_types = OrderedSamples.state_types | {"values": kind}  # type: ignore[misc]
        super().__init__(**kwargs)
        self.register_buffer("held_out", _reduced(held_out), persistent=False)

    def update(self, numbers: Tensor, values: Tensor) -> None:
        few = numbers < len(self.held_out)
        super().update(numbers[few], _reduced(values[few]).flatten(1))

    def compute(self) -> dict[str, Tensor]:
        """Train the fresh discriminator on one half and test it on the other.

        Returns: {"fifty_fifty", "fifty_fifty_low", "fifty_fifty_high"}, float64, in [0, 1].
        """
        fakes = self.ordered().view(-1, *self.held_out.shape[1:])
        found = fifty_fifty(self.held_out, fakes, device=self.device)
        values = {
            "fifty_fifty": found.accuracy,
            "fifty_fifty_low": found.low,
            "fifty_fifty_high": found.high,
        }
        return {word: torch.tensor(v, dtype=torch.float64) for word, v in values.items()}


def _reduced(images: Tensor) -> Tensor:
    """uint8 images (n, C, H, W) averaged down to at most 64 pixels a side; others as they are."""
    if images.ndim == 2 or not len(images) or max(images.shape[2:]) <= LARGEST_SIDE:
        return images
    height, width = (min(side, LARGEST_SIDE) for side in images.shape[2:])
    return F.adaptive_avg_pool2d(images.float(), (height, width)).round().to(torch.uint8)


class Fresh(Measure):
    """The 50:50 test: can a discriminator trained from nothing tell held-out images from fakes?"""

    choices = ("fifty_fifty",)
    words = ("fifty_fifty",)
    needs_held_out = True

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        return ""

    def least(self, data: DataSource) -> tuple[int, int]:
        return LEAST // 2, 0

    def build(self, setting: Setting) -> Metric:
        n = self._count(setting)
        held_out = torch.cat([images for images, _ in setting.data.arrays(setting.held_out, n)])
        return FiftyFifty(held_out)

    def _count(self, setting: Setting) -> int:
        """Of either side, half of them to train on."""
        return min(setting.n_fake, setting.data.count(setting.held_out), MOST_TESTED)

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.samples)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {
            "n_real": self._count(setting),
            "split": setting.held_out,
            "data_fingerprint": setting.data.fingerprint(setting.held_out),
            "steps": STEPS,
        } | WITHOUT_BACKBONE
