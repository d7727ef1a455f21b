"""The network and the training of a data set's classifier.

Besides real images it sees strangers: noise, dots, flat images, blobs, mixtures and scrambled
images. For them it learns to predict all classes with equal probability. Without them it would be
confident about pure noise, and a generator of noise would seem to cover the modes.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansweep.data.source import DataSource
from gansweep.metrics.cache import say

RECIPE = 3  # raise it when the network or its training changes
SEED = 20_140_610
BATCH = 128
IMAGES_SEEN = 300_000  # in total, within the next two bounds for large and for small data sets
LEAST_EPOCHS = 5
MOST_EPOCHS = 60
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
STRANGERS = 1 / 6  # of the number of real images in a batch
STRANGER_WEIGHT = 0.5
REPORTED_AFTER = 10.0  # seconds until the remaining time is reported
WIDTHS = (16, 32, 64)  # on a CPU half the time of the shipped ones
SHIPPED_WIDTHS = (32, 64, 64)
HIDDEN = 64


class ClassifierNet(nn.Module):
    """Three 3x3 convolutions with batch norm, one hidden layer and one linear layer.

    The last convolutions have stride 2, so many that the longer side becomes 4 pixels or less.
    Images above 32 pixels get a fourth convolution.
    shape: (C, H, W), H and W from 8 to 64.   widths: channels of the convolutions; a fourth uses
    the last width.   The features are the hidden layer's, (N, 64), not negative.
    """

    def __init__(
        self, shape: tuple[int, ...], n_classes: int, widths: tuple[int, ...] = WIDTHS
    ) -> None:
        super().__init__()
        channels, height, width = shape
        halvings = max(0, math.ceil(math.log2(max(height, width) / 4)))
        depth = max(len(widths), halvings)
        layers: list[nn.Module] = []
        for k in range(depth):
            stride, wide = 1 if k < depth - halvings else 2, widths[min(k, len(widths) - 1)]
            convolution = nn.Conv2d(channels, wide, 3, stride, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
            channels, height, width = wide, -(-height // stride), -(-width // stride)
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(channels * height * width, HIDDEN)
        self.linear = nn.Linear(HIDDEN, n_classes)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], shape: tuple[int, ...]) -> ClassifierNet:
        """A network with trained weights for images of `shape`, in evaluation mode."""
        widths = tuple(len(weights[name]) for name in sorted(weights) if weights[name].dim() == 4)
        with torch.random.fork_rng(devices=[]):
            network = cls(shape, len(weights["linear.bias"]), widths)
        network.load_state_dict(weights)
        return network.to(memory_format=torch.channels_last).eval()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, C, H, W) in [-1, 1].   Returns: features (N, 64) and logits (N, K)."""
        # twice as fast on a CPU
        maps = self.convolutions(x.contiguous(memory_format=torch.channels_last))
        features = self.hidden(maps.flatten(1)).relu()
        return features, self.linear(features)


def train_classifier(
    name: str,
    images: Tensor,
    labels: Tensor,
    n_classes: int,
    device: torch.device,
    widths: tuple[int, ...] = WIDTHS,
) -> ClassifierNet:
    """Train on uint8 images (N, C, H, W) with int64 labels (N,). Returns it in evaluation mode.

    AdamW with a one-cycle learning rate, images shifted by up to one pixel. Random numbers come
    from its own generators, so the weights are the same every time on one machine.
    name: for the line of progress.
    """
    with repeatable_training(device):
        images, labels = images.to(device), labels.to(device)
        draw = torch.Generator().manual_seed(SEED)
        with seeded(SEED):
            network = ClassifierNet(tuple(images.shape[1:]), n_classes, widths)
        network.to(memory_format=torch.channels_last).to(images.device).train()
        batch_size = min(BATCH, len(images))
        seen = min(max(IMAGES_SEEN, LEAST_EPOCHS * len(images)), MOST_EPOCHS * len(images))
        steps = max(3, seen // batch_size)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        batches: Iterator[Tensor] = iter(())
        started, reported = time.monotonic(), False
        for step in range(steps):
            batch = next(batches, None)
            if batch is None:
                order = torch.randperm(len(images), generator=draw).to(images.device)
                batches = iter(order[: len(order) // batch_size * batch_size].split(batch_size))
                batch = next(batches)
            loss = _loss(network, scaled(images[batch]), labels[batch], draw)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            taken = time.monotonic() - started
            if taken > REPORTED_AFTER and not reported:
                reported = True
                left = taken * (steps / (step + 1) - 1)
                say(f"training {name}: {(step + 1) / steps:.0%} done, {left:.0f} s to go")
        return network.eval()


def _loss(network: ClassifierNet, images: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
    known = _shifted(images, draw)
    unknown = strangers(known, math.ceil(len(known) * STRANGERS), draw)
    logits = network(torch.cat([known, unknown]))[1]
    own = F.cross_entropy(logits[: len(known)], labels)
    # cross-entropy to the uniform distribution; Hendrycks et al. 2019, arXiv:1812.04606, Sec. 3
    return own - STRANGER_WEIGHT * logits[len(known) :].log_softmax(1).mean()


def _shifted(images: Tensor, draw: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    down, right = torch.randint(0, 3, (2,), generator=draw).tolist()
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return padded[:, :, down : down + height, right : right + width]


def strangers(images: Tensor, n: int, draw: torch.Generator) -> Tensor:
    """About n images of no class, one sixth of each of six kinds: (m, C, H, W) in [-1, 1].

    images: real ones (N, C, H, W) in [-1, 1], from which the last two kinds are made.
    """
    channels, height, width = images.shape[1:]
    each = -(-n // 6)
    shape = (each, channels, height, width)
    noise = torch.rand(shape, generator=draw) * 2 - 1
    density = torch.rand(each, 1, 1, 1, generator=draw)
    dots = (torch.rand(shape, generator=draw) < density).float() * 2 - 1
    # from all black to all white, both included, as a collapsed generator makes them
    flat = torch.rand(each, channels, 1, 1, generator=draw).mul(3).sub(1.5).clamp(-1, 1)
    coarse = int(torch.randint(2, height // 2, (1,), generator=draw))
    small = torch.randn(each, channels, coarse, coarse, generator=draw) * 0.7
    blobs = F.interpolate(small, (height, width), mode="bilinear").clamp(-1, 1)
    order = torch.randperm(len(images), generator=draw).to(images.device)
    one, other = images[order[:each]], images[order[-each:]]
    mixtures = (one + other) / 2
    places = torch.randperm(height * width, generator=draw).to(images.device)
    scrambled = other.flatten(2)[:, :, places].view_as(other)
    invented = torch.cat([noise, dots, flat.expand(shape), blobs]).to(images.device)
    return torch.cat([invented, mixtures, scrambled])


def scaled(images: Tensor) -> Tensor:
    """uint8 images as floats in [-1, 1], the input of the network."""
    return images.float() / 127.5 - 1


@torch.no_grad()
def accuracy(network: ClassifierNet, data: DataSource) -> float:
    """Share of the test images that are classified correctly, 0 to 1."""
    device = network.linear.weight.device
    right = seen = 0
    for images, labels in data.arrays("test"):
        assert labels is not None, "a labelled set labels both splits"
        for part, own in zip(images.split(500), labels.split(500), strict=True):
            right += int((network(scaled(part.to(device)))[1].argmax(1).cpu() == own).sum())
        seen += len(images)
    return right / seen


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from `seed`; the global random state is restored."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs
        yield


@contextlib.contextmanager
def repeatable_training(device: torch.device) -> Iterator[None]:
    """Train in full precision, with gradients, and with the same result every time.

    The caller may be in a no-grad, inference or autocast block. One CPU thread gives the same
    weights on any number of cores, and is not slower at these sizes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
