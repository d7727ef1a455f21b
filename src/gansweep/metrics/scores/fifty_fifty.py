"""The 50:50 test: can a new discriminator tell generated samples from held-out real ones?

The discriminator of a game outputs 1/2 at the equilibrium, but also if it never learnt or has
collapsed. A new discriminator that is tested on unseen samples does not have this problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from gansweep.data.order import generator_for
from gansweep.data.source import DataSource
from gansweep.metrics.features.classifier_training import repeatable_training, seeded
from gansweep.metrics.measure import WITHOUT_BACKBONE, Measure, Seen, Setting
from gansweep.metrics.ordered import OrderedSamples, Scores, as_scores
from gansweep.metrics.protocol import Protocol

STEPS = 300
BATCH = 64  # of each side
LEARNING_RATE = 1e-3
LEAST = 20  # samples on each side
TEST_BATCH = 500
MOST_TESTED = 10_000  # held-out images, half of them to train on
LARGEST_SIDE = 64  # pixels; larger images are averaged down to this size


@dataclass(frozen=True, slots=True)
class TwoSample:
    """Accuracy of a new discriminator on `n_test` unseen samples, half of them real.

    accuracy: 0.5 for guessing, 1 for perfect.   low, high: its 95 % interval.
    """

    accuracy: float
    low: float
    high: float
    n_test: int


def fifty_fifty(
    real: Tensor,
    fake: Tensor,
    *,
    steps: int = STEPS,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> TwoSample:
    """Train a discriminator on half of each side and measure its accuracy on the other halves.

    real: samples that the generator was not trained on.   fake: generated samples. Both are
        images (n, C, H, W) or points (n, D). Images are uint8, or floats in [-1, 1] that are
        rounded to uint8, since rounding would separate the sides. Of the larger side only as many
        are used as the smaller one has.
    steps: of Adam, with 64 samples of each side; longer training separates more.
    seed: for the halves, the weights and the batches; the result is the same on one machine.
    Raises: ValueError for different shapes, fewer than 20 samples, values that are not finite
        or images outside [-1, 1].
    Source: Lopez-Paz and Oquab 2017, arXiv:1610.06545, Section 3.
    """
    _refuse_unfit(real, fake)
    half = min(len(real), len(fake)) // 2
    sides = []
    for number, side in enumerate((real, fake)):
        rows = torch.randperm(len(side), generator=generator_for(seed, number))[: 2 * half]
        sides.append(_as_file(side.detach()[rows.to(side.device)]).to(device))
    train, test = ([side[part] for side in sides] for part in (slice(half), slice(half, None)))
    with repeatable_training(torch.device(device)):
        network = _train(train[0].clone(), train[1].clone(), steps, seed)
        right = _right(network, test[0], 0) + _right(network, test[1], 1)
    low, high = wilson_interval(right, 2 * half)
    return TwoSample(right / (2 * half), low, high, 2 * half)


def wilson_interval(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Low and high end of the confidence interval of the share right / n, 95 % by default.

    Source: Wilson 1927, Probable inference, the law of succession, and statistical inference.
    """
    share = right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - reach, centre + reach


def _refuse_unfit(real: Tensor, fake: Tensor) -> None:
    if real.shape[1:] != fake.shape[1:] or real.ndim not in (2, 4):
        raise ValueError(
            f"real {tuple(real.shape)} and fake {tuple(fake.shape)} must both be images "
            "(n, C, H, W) or points (n, D) of one shape."
        )
    for name, side in (("real", real), ("fake", fake)):
        if len(side) < LEAST:
            raise ValueError(
                f"{len(side)} {name} samples are too few for the 50:50 test, which uses half of "
                f"them to train the discriminator: give {LEAST} or more on each side."
            )
        if not side.is_floating_point():
            continue
        if not side.isfinite().all():
            raise ValueError(
                f"Some {name} samples are not finite (NaN or infinite), so no discriminator can "
                "learn from them. Check where they come from."
            )
        if side.ndim == 4 and side.abs().max() > 1 + 1e-3:
            raise ValueError(
                f"The {name} images reach {side.abs().max():.3g}: give uint8, or floats in [-1, 1]."
            )


def _as_file(samples: Tensor) -> Tensor:
    """Images as uint8, points as float32."""
    if samples.ndim == 2:
        return samples.float()
    if samples.is_floating_point():
        samples = samples.float().clamp(-1, 1).add(1).mul(127.5).round()
    return samples.to(torch.uint8)


class _Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _discriminator(samples: Tensor) -> nn.Module:
    """A network from samples (N, ...) to logits (N, 2) for real and fake.

    Points are standardised by the mean and spread of these training samples. Images pass 3x3
    convolutions down to 4x4 or less and are averaged over all places.
    """
    if samples.ndim == 2:
        shift, scale = samples.mean(0), samples.std(0).clamp_min(1e-6)
        layers = [nn.Linear(len(shift), 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()]
        return nn.Sequential(_Apply(lambda x: (x - shift) / scale), *layers, nn.Linear(128, 2))
    size = max(samples.shape[2:])
    stride = 2 if size > 16 else 1
    size = -(-size // stride)
    layers = [_convolution(samples.shape[1], 32, stride), _convolution(32, 64)]
    while size > 4:
        layers += [nn.MaxPool2d(2, ceil_mode=True), _convolution(64, 64)]
        size = -(-size // 2)
    mean = _Apply(lambda x: x.mean((2, 3)))
    return nn.Sequential(_Apply(_scaled), *layers, mean, nn.Linear(64, 2))


def _scaled(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def _convolution(channels: int, width: int, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


def _train(real: Tensor, fake: Tensor, steps: int, seed: int) -> nn.Module:
    with seeded(seed):
        network = _discriminator(torch.cat([real, fake]))
    network.to(real.device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    draw = generator_for(seed, 2)
    size = min(BATCH, len(real))
    labels = torch.arange(2, device=real.device).repeat_interleave(size)
    for _ in range(steps):
        rows = [torch.randperm(len(real), generator=draw)[:size] for _ in range(2)]
        batch = torch.cat([real[rows[0].to(real.device)], fake[rows[1].to(fake.device)]])
        loss = F.cross_entropy(network(batch), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return network.eval()


@torch.no_grad()
def _right(network: nn.Module, samples: Tensor, label: int) -> int:
    parts = samples.split(TEST_BATCH)
    return sum(int((network(part).argmax(1) == label).sum()) for part in parts)


def fifty_fifty_metric(held_out: Tensor) -> OrderedSamples:
    """`fifty_fifty` of held-out and generated samples, equally many of each.

    held_out: (m, C, H, W) uint8, each side at most 64 pixels, or points (m, D).
    Gives the accuracy and the ends of its 95 % interval, float64 in [0, 1]: {"fifty_fifty",
    "fifty_fifty_low", "fifty_fifty_high"}. Samples numbered m or more are left out.
    """

    def scores(fakes: Tensor) -> Scores:
        fakes = fakes.view(-1, *held_out.shape[1:])
        found = fifty_fifty(held_out, fakes, device=fakes.device)
        return as_scores(
            fifty_fifty=found.accuracy, fifty_fifty_low=found.low, fifty_fifty_high=found.high
        )

    dtype = torch.float32 if held_out.ndim == 2 else torch.uint8
    return OrderedSamples(scores, limit=len(held_out), dtype=dtype)


def _reduced(images: Tensor) -> Tensor:
    """Images (n, C, H, W) averaged down to at most 64 pixels per side; others unchanged."""
    if images.ndim == 2 or not len(images) or max(images.shape[2:]) <= LARGEST_SIDE:
        return images
    height, width = (min(side, LARGEST_SIDE) for side in images.shape[2:])
    return F.adaptive_avg_pool2d(images.float(), (height, width)).round().to(torch.uint8)


class Fresh(Measure):
    """The 50:50 test: can a new discriminator tell held-out images from generated ones?"""

    choices = words = ("fifty_fifty",)
    smallest = (LEAST // 2, 0)
    needs_held_out = True

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        return ""

    def build(self, setting: Setting) -> Metric:
        n = self._count(setting)
        held_out = torch.cat([images for images, _ in setting.data.arrays(setting.held_out, n)])
        return fifty_fifty_metric(_reduced(held_out))

    def _count(self, setting: Setting) -> int:
        """Samples on each side, half of them to train on."""
        return min(setting.n_fake, setting.data.count(setting.held_out), MOST_TESTED)

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, _reduced(seen.samples).flatten(1))

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {
            "n_real": self._count(setting),
            "split": setting.held_out,
            "data_fingerprint": setting.data.fingerprint(setting.held_out),
            "steps": STEPS,
        } | WITHOUT_BACKBONE
