"""A classifier of the data set itself: the feature space for small labelled images.

For common data sets a trained one is shipped (see judges.py). For others it is trained once on the
training split, including validation images, and measured on the test split. It is cached by the
content of both splits.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.metrics.cache import Content, cached, say
from gansweep.metrics.features.backbone import Backbone
from gansweep.metrics.features.classifier_training import (
    RECIPE,
    ClassifierNet,
    accuracy,
    scaled,
    train_classifier,
)
from gansweep.metrics.features.judges import judge_of, judges, weights_hash


class DatasetClassifier(Backbone):
    """A data set's own classifier: digitsnet1 is shipped, iconsnet was trained on this machine."""

    resizer = "none"
    batch_size = 100  # fits into a CPU's cache

    def __init__(self, name: str, data: DataSource, content: Content, device: torch.device) -> None:
        super().__init__(device)
        self.name = name
        self.weights_hash = content["hash"]
        self.extras = {"backbone_test_accuracy": round(content["test_accuracy"], 4)}
        self.n_classes = data.n_classes
        network = ClassifierNet.from_weights(content["weights"], data.shape)
        self.network = network.to(device).requires_grad_(False)

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.network(scaled(images))
        return found


class StackedClassifier(Backbone):
    """The classifier of the base data set, applied to each channel of a stacked image.

    Features: of all channels, (N, 3 * 64). Logits: the joint log-probabilities of the triples of
    classes, (N, K^3), the first channel's class the most significant, as in the labels.
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
    """The classifier of `data`: shipped, from the cache, or trained now (stderr reports it).

    Data with a `classifier_from` use the classifier of that set; stacked data use the one of the
    set that their channels come from.
    Raises: UserError for data without labels, for images of an unsupported size, or for a test
        accuracy below `min_test_accuracy`.
    """
    if data.classifier_from is not None:
        return dataset_classifier(data.classifier_from, device, min_test_accuracy)
    if data.stacked_from is not None:
        base = dataset_classifier(data.stacked_from, device, min_test_accuracy)
        assert isinstance(base, DatasetClassifier), "a stacked set is not stacked again"
        return StackedClassifier(base, data)
    refuse_unfit(data)
    data = data.undivided  # the classifier must not depend on the size of the validation split
    train, test = data.fingerprint("train"), data.fingerprint("test")
    judge = judge_of(train, test)
    if judge is not None:
        name, content = judge.name, judge.content()
    else:
        name = f"{data.name}net"
        content = cached(
            f"classifiers/{name}-{train}-{test}-r{RECIPE}.pt",
            lambda: _train_and_measure(data, device),
            lambda made: bool(made["hash"] == weights_hash(made["weights"])),
        )
    right: float = content["test_accuracy"]
    if right < min_test_accuracy:
        raise UserError(
            f"The classifier trained on data={data.name} has a test accuracy of {right:.1%}, below "
            f"metrics.min_test_accuracy={min_test_accuracy}: scores in its feature space would "
            "mean little. Use metrics=inception, or accept the classifier with "
            f"metrics.min_test_accuracy={int(right * 100) / 100}."
        )
    return DatasetClassifier(name, data, content, device)


def comes_with_gansweep(data: DataSource) -> bool:
    """Whether a classifier is shipped for data of this name; its images are not read to tell."""
    for source in (data.classifier_from, data.stacked_from):
        if source is not None:
            return comes_with_gansweep(source)
    return any(judge.name.startswith(f"{data.name}net") for judge in judges())


def refuse_unfit(data: DataSource) -> None:
    """Refuse data on which no classifier can be trained and measured.   Raises: UserError."""
    if problem := unfit(data):
        raise UserError(
            f"metrics.backbone=classifier trains a classifier on the data, but data={data.name} "
            f"{problem}. Use metrics=inception for images, metrics=auto otherwise."
        )


def unfit(data: DataSource) -> str:
    """Why no classifier can be trained and measured on the data ("has no ..."); "" if one can."""
    for source in (data.classifier_from, data.stacked_from):
        if source is not None:
            return unfit(source)
    if data.is_points:
        return "consists of points, which need no feature space"
    if data.n_classes is None or data.n_classes < 2:
        return "has no labels with two or more classes to train it on"
    if not 8 <= min(data.shape[1:]) <= max(data.shape[1:]) <= 64:
        return f"has images of {data.shape[1]}x{data.shape[2]}, and it takes 8x8 to 64x64"
    if data.count("test") == 0:
        return "has no test split to measure its accuracy on"
    return ""


def _train_and_measure(data: DataSource, device: torch.device) -> Content:
    name = f"{data.name}net"
    say(
        f"training {name}, the classifier that scores are measured with, on {data.n_train:,} "
        f"images of data={data.name}. This happens once."
    )
    started = time.monotonic()
    images, labels = map(torch.cat, zip(*data.arrays("train"), strict=True))
    network = train_classifier(name, images, labels, data.n_classes or 0, device)
    right = accuracy(network, data)
    say(
        f"{name} has a test accuracy of {right:.1%} ({time.monotonic() - started:.1f} s). It is "
        "cached for later runs."
    )
    weights = {key: tensor.cpu().contiguous() for key, tensor in network.state_dict().items()}
    return {"weights": weights, "test_accuracy": right, "hash": weights_hash(weights)}
