"""A classifier of the data set itself, the feature space for small labelled images.

It is trained once on the training split, measured on the test split and kept by the content of
both. Beside the real images it sees strangers (noise, blobs, mixtures and scrambled images) whose
right answer is "any class alike": without them it is sure of its class on pure noise, and a
generator of noise would be said to cover modes.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.metrics.cache import Content, kept, say
from gansweep.metrics.features import Backbone

RECIPE = 1  # counts up whenever the network or its training changes
SEED = 20_140_610
BATCH = 64
IMAGES_SEEN = 30_000  # in all, but within these bounds for large and for small sets
LEAST_EPOCHS = 5
MOST_EPOCHS = 30
LEARNING_RATE = 3e-3
STRANGER_WEIGHT = 0.5


class ClassifierNet(nn.Module):
    """3x3 convolutions down to 4x4 or less, their mean over places, one linear layer.

    shape: (C, H, W), H and W from 8 to 64.   Features: (N, 64), never negative.
    """

    def __init__(self, shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        size = max(shape[1:])
        stride = 2 if size > 16 else 1
        size = -(-size // stride)
        layers = [_convolution(shape[0], 32, stride), _convolution(32, 64)]
        while size > 4:
            layers += [nn.MaxPool2d(2, ceil_mode=True), _convolution(64, 64)]
            size = -(-size // 2)
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(64, n_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, C, H, W) in [-1, 1].   Returns: features (N, 64) and logits (N, K)."""
        pool = self.convolutions(x).mean((2, 3))
        return pool, self.linear(pool)


def _convolution(channels: int, width: int, stride: int = 1) -> nn.Module:
    convolution = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


class DatasetClassifier(Backbone):
    """The classifier of one data set as a feature space named after it: digitsnet."""

    resizer = "none"
    batch_size = 100  # fits into a CPU's cache

    def __init__(self, data: DataSource, content: Content, device: torch.device) -> None:
        super().__init__(device)
        self.name = f"{data.name}net"
        self.weights_hash = content["hash"]
        self.extras = {"backbone_test_accuracy": round(content["test_accuracy"], 4)}
        self.n_classes = data.n_classes
        with torch.random.fork_rng(devices=[]):
            network = ClassifierNet(data.shape, content["weights"]["linear.bias"].shape[0])
        network.load_state_dict(content["weights"])
        network.to(memory_format=torch.channels_last)  # twice as fast on a CPU
        self.network = network.to(device).eval().requires_grad_(False)

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        scaled = _scaled(images).contiguous(memory_format=torch.channels_last)
        pool, logits = self.network(scaled)
        return pool, logits


class StackedClassifier(Backbone):
    """The base set's classifier on each channel of a stacked image, which it reads as one image.

    Features: the channels' side by side, (N, 3 * 64). Logits: the joint log-probabilities of the
    triples of classes, (N, K^3), the first channel's class counting most, as in the labels.
    """

    resizer = "none"

    def __init__(self, base: DatasetClassifier, stacked: DataSource) -> None:
        super().__init__(base.device)
        self.name, self.weights_hash, self.extras = base.name, base.weights_hash, base.extras
        self.batch_size = base.batch_size
        self.n_classes = stacked.n_classes
        self.base = base

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        n, channels = images.shape[:2]
        pool, logits = self.base.extract(images.flatten(0, 1).unsqueeze(1))
        joint = torch.zeros(n, 1, device=logits.device)
        for channel in logits.log_softmax(1).view(n, channels, -1).unbind(1):
            joint = (joint[:, :, None] + channel[:, None, :]).flatten(1)
        return pool.view(n, -1), joint


def dataset_classifier(
    data: DataSource, device: torch.device, min_test_accuracy: float = 0.9
) -> DatasetClassifier | StackedClassifier:
    """The classifier of `data`, from the cache or trained now (which it says on stderr).

    A stacked set is read by the classifier of the set that its channels are taken from, and any
    other that names a set as its `classifier_from` by that set's.
    Raises: UserError for data without labels, of a size it cannot read, or where its accuracy on
        the test split is below `min_test_accuracy`.
    """
    if data.stacked_from is not None:
        base = dataset_classifier(data.stacked_from, device, min_test_accuracy)
        assert isinstance(base, DatasetClassifier), "a stacked set is not stacked again"
        return StackedClassifier(base, data)
    data = data.classifier_from or data
    refuse_unfit(data)
    name = f"{data.name}net-{data.fingerprint('train')}-{data.fingerprint('test')}-r{RECIPE}.pt"
    content = kept(f"classifiers/{name}", lambda: _train_and_measure(data, device), _is_sound)
    accuracy = content["test_accuracy"]
    if accuracy < min_test_accuracy:
        raise UserError(
            f"The classifier trained on data={data.name} is right on {accuracy:.1%} of its test "
            f"images, below metrics.min_test_accuracy={min_test_accuracy}: scores in its feature "
            "space would mean little. Use metrics=inception, or accept it with "
            f"metrics.min_test_accuracy={int(accuracy * 100) / 100}."
        )
    return DatasetClassifier(data, content, device)


def refuse_unfit(data: DataSource) -> None:
    """Raises: UserError for data that no classifier can be trained and measured on."""
    if problem := _problem(data):
        raise UserError(
            f"metrics.backbone=classifier trains a classifier on the data, but data={data.name} "
            f"{problem}. Use metrics=inception for images, metrics=auto otherwise."
        )


def is_readable(data: DataSource) -> bool:
    """Whether a classifier can be trained and measured on the data."""
    return not _problem(data)


def _problem(data: DataSource) -> str:
    if data.stacked_from is not None:
        return _problem(data.stacked_from)
    data = data.classifier_from or data
    if data.is_points:
        return "consists of points, which need no feature space"
    if data.n_classes is None or data.n_classes < 2:
        return "has no labels of two or more classes to train one on"
    if not 8 <= min(data.shape[1:]) <= max(data.shape[1:]) <= 64:
        return f"has images of {data.shape[1]}x{data.shape[2]}; it reads 8x8 to 64x64"
    if data.count("test") == 0:
        return "has no test split to measure its accuracy on"
    return ""


def _train_and_measure(data: DataSource, device: torch.device) -> Content:
    images, labels = zip(*data.arrays("train"), strict=True)
    say(
        f"training {data.name}net, the classifier that scores are measured with, once on "
        f"{data.n_train:,} images of data={data.name}."
    )
    started = time.monotonic()
    # whoever asks may stand in a no-grad, inference or autocast block
    full_precision = torch.autocast(device.type, enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), full_precision, one_thread():
        network = _train_classifier(
            torch.cat(images), torch.cat(labels), data.n_classes or 0, device
        )
        accuracy = _accuracy(network, data)
    say(
        f"{data.name}net is right on {accuracy:.1%} of the test images "
        f"({time.monotonic() - started:.1f} s). It is kept for later runs."
    )
    weights = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
    return {"weights": weights, "test_accuracy": accuracy, "hash": _weights_hash(weights)}


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread: the same weights on any number of cores, and no slower at these sizes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train_classifier(
    images: Tensor, labels: Tensor, n_classes: int, device: torch.device
) -> ClassifierNet:
    """Train on uint8 images (N, C, H, W) with int64 labels (N,); the same weights every time.

    Adam with decoupled weight decay under one cycle of the learning rate, images shifted by up
    to a pixel. Every random number comes from generators of its own.
    """
    draw = torch.Generator().manual_seed(SEED)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)  # torch.manual_seed would reach the GPUs' too
        network = ClassifierNet(tuple(images.shape[1:]), n_classes)
    network.to(device).train()
    images, labels = images.to(device), labels.to(device)
    batch_size = min(BATCH, len(images))
    seen = min(max(IMAGES_SEEN, LEAST_EPOCHS * len(images)), MOST_EPOCHS * len(images))
    steps = max(3, seen // batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    batches: Iterator[Tensor] = iter(())
    told = time.monotonic()
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        for step in range(steps):
            batch = next(batches, None)
            if batch is None:
                order = torch.randperm(len(images), generator=draw).to(device)
                batches = iter(order[: len(order) // batch_size * batch_size].split(batch_size))
                batch = next(batches)
            loss = _loss(network, _scaled(images[batch]), labels[batch], draw)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if time.monotonic() - told > 10:
                told = time.monotonic()
                say(f"training the classifier: {step / steps:.0%}")
    return network.eval()


def _loss(network: ClassifierNet, images: Tensor, labels: Tensor, draw: torch.Generator) -> Tensor:
    known = _shifted(images, draw)
    unknown = _strangers(known[: max(4, len(known) // 4)], draw)
    logits = network(torch.cat([known, unknown]))[1]
    own = F.cross_entropy(logits[: len(known)], labels)
    # cross-entropy to the uniform distribution; Hendrycks et al. 2019, arXiv:1812.04606, Sec. 3
    return own - STRANGER_WEIGHT * logits[len(known) :].log_softmax(1).mean()


def _shifted(images: Tensor, draw: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    down, right = torch.randint(0, 3, (2,), generator=draw).tolist()
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return padded[:, :, down : down + height, right : right + width]


def _strangers(images: Tensor, draw: torch.Generator) -> Tensor:
    """As many images of no class as there are images: a quarter each of four kinds."""
    n, channels, height, width = images.shape
    quarter = max(1, n // 4)
    noise = torch.rand(quarter, channels, height, width, generator=draw) * 2 - 1
    coarse = int(torch.randint(2, height // 2, (1,), generator=draw))
    small = torch.randn(quarter, channels, coarse, coarse, generator=draw) * 0.7
    blobs = F.interpolate(small, (height, width), mode="bilinear").clamp(-1, 1)
    others = images[torch.randperm(n, generator=draw)]
    mixtures = (images[:quarter] + others[:quarter]) / 2
    places = torch.randperm(height * width, generator=draw)
    scrambled = others[:quarter].flatten(2)[:, :, places].view_as(others[:quarter])
    invented = torch.cat([noise, blobs]).to(images.device)
    return torch.cat([invented, mixtures, scrambled])


def _scaled(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


@torch.no_grad()
def _accuracy(network: ClassifierNet, data: DataSource) -> float:
    """Share of the test images that are given their own label."""
    device = network.linear.weight.device
    right = seen = 0
    for images, labels in data.arrays("test"):
        assert labels is not None, "a labelled set labels both splits"
        for part, own in zip(images.split(500), labels.split(500), strict=True):
            right += int((network(_scaled(part.to(device)))[1].argmax(1).cpu() == own).sum())
        seen += len(images)
    return right / seen


def _weights_hash(weights: dict[str, Any]) -> str:
    """16 hex digits over names and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _is_sound(content: Content) -> bool:
    return content["hash"] == _weights_hash(content["weights"])
