"""Stacked sets: the images in the channels, and the classifier that reads them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from gansweep.data.images import Digits
from gansweep.data.stacked import StackedDigits, StackedMNIST
from gansweep.metrics.features.classifier import (
    DatasetClassifier,
    StackedClassifier,
    dataset_classifier,
)
from gansweep.metrics.scores.modes import class_modes, class_shares, confident_modes

CPU = torch.device("cpu")


def whole(source, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*source.arrays(split), strict=True)
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize("split", ["train", "test"])
def test_channels_are_digits_of_the_same_split_and_the_label_names_them(split: str) -> None:
    source = StackedDigits(n_train=3000)
    of_pixels: dict[bytes, set[int]] = {}
    for image, label in zip(*whole(Digits(), split), strict=True):
        of_pixels.setdefault(image.numpy().tobytes(), set()).add(int(label))
    images, labels = whole(source, split)
    for image, label in zip(images[:3000], labels[:3000].tolist(), strict=True):
        for channel, digit in zip(image, source.class_names[label], strict=True):
            assert int(digit) in of_pixels[channel.numpy().tobytes()]


def test_a_stacked_set_has_a_thousand_classes_and_the_published_size() -> None:
    source = StackedDigits()
    assert (source.shape, source.n_classes) == ((3, 8, 8), 1000)
    assert (source.class_names[0], source.class_names[42]) == ("000", "042")
    assert source.class_names[-1] == "999"
    assert (source.n_train, source.n_test) == (128_000, 26_000)
    counts = whole(source, "train")[1].bincount(minlength=1000)
    assert counts.min() > 60  # 128 each, for almost equal numbers of digits
    assert isinstance(source.stacked_from, Digits)
    assert source.stacked_from.stacked_from is None


def test_triples_are_fixed_and_fewer_are_the_first_of_more() -> None:
    first, again = whole(StackedDigits(n_train=500), "train"), whole(StackedDigits(), "train")
    assert torch.equal(first[1], again[1][:500])
    assert torch.equal(first[0], again[0][:500])


def test_larger_channels_make_larger_images() -> None:
    assert whole(StackedDigits(image_size=16, n_train=9), "train")[0].shape == (9, 3, 16, 16)


def test_batches_are_drawn_like_those_of_any_images() -> None:
    batch = next(StackedDigits(n_train=200).train_batches(64, seed=0, device="cpu"))
    assert batch.images.shape == (64, 3, 8, 8)
    assert (batch.images.min(), batch.images.max()) == (-1, 1)
    assert batch.labels.max() < 1000


def test_stacked_mnist_is_made_of_mnist_in_place(tmp_path: Path) -> None:
    for part, n in (("train", 30), ("t10k", 7)):
        images = np.full((n, 28, 28), n, np.uint8)
        for kind, values in (("images-idx3", images), ("labels-idx1", np.arange(n) % 10)):
            head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            path = tmp_path / f"{part}-{kind}-ubyte"
            path.write_bytes(head + values.astype(np.uint8).tobytes())
    source = StackedMNIST(root=tmp_path, n_train=100)
    images, labels = whole(source, "train")
    assert images.shape == (100, 3, 28, 28)
    assert (images == 30).all()
    assert source.stacked_from.name == "mnist"
    assert (whole(source, "test")[0] == 7).all()


@pytest.fixture
def digitsnet() -> DatasetClassifier:
    found = dataset_classifier(Digits(), CPU)
    assert isinstance(found, DatasetClassifier)
    return found


def test_each_channel_is_read_by_the_base_sets_classifier(
    digitsnet: DatasetClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    source = StackedDigits(n_train=40)
    capsys.readouterr()
    stacked = dataset_classifier(source, CPU)
    assert "training" not in capsys.readouterr().err
    assert isinstance(stacked, StackedClassifier)
    assert (stacked.name, stacked.weights_hash) == ("digitsnet1", digitsnet.weights_hash)
    assert stacked.extras == digitsnet.extras
    assert stacked.n_classes == 1000
    images, _ = whole(source, "train")
    features, logits = stacked.features(images)
    assert (features.shape, logits.shape) == ((40, 192), (40, 1000))
    alone = [digitsnet.features(images[:, k : k + 1]) for k in range(3)]
    assert torch.allclose(features, torch.cat([pool for pool, _ in alone], 1), atol=1e-6)
    a, b, c = (logit.log_softmax(1) for _, logit in alone)
    for triple in ("000", "407", "999"):
        one, two, three = map(int, triple)
        expected = a[:, one] + b[:, two] + c[:, three]
        assert torch.allclose(logits[:, int(triple)], expected, atol=1e-4)
    assert torch.allclose(logits.logsumexp(1), torch.zeros(40), atol=1e-4)


def test_real_triples_cover_their_modes_and_an_odd_channel_covers_none(
    digitsnet: DatasetClassifier,
) -> None:
    source = StackedDigits(n_train=2000)
    images, labels = whole(source, "train")
    stacked, shares = dataset_classifier(source, CPU), class_shares(source, torch.ones(1000))
    coverage = confident_modes(stacked.features(images)[1], shares)
    assert coverage.high_quality > 0.97
    assert abs(coverage.captured - len(labels.unique())) < 20
    draw = torch.Generator().manual_seed(0)
    images[:, 1] = torch.randint(0, 256, images[:, 1].shape, generator=draw).to(torch.uint8)
    assert confident_modes(stacked.features(images)[1], shares).high_quality < 0.01


def test_published_modes_are_the_most_probable_class_of_each_channel(
    digitsnet: DatasetClassifier,
) -> None:
    """Also for noisy images, of which the classifier is rarely sure."""
    source = StackedDigits(n_train=1000)
    images, _ = whole(source, "train")
    noise = 40 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    images = (images + noise).round().clamp(0, 255).to(torch.uint8)
    stacked, shares = dataset_classifier(source, CPU), class_shares(source, torch.ones(1000))
    logits = stacked.features(images)[1]
    coverage = class_modes(logits, shares)
    digits = [digitsnet.features(images[:, k : k + 1])[1].argmax(1) for k in range(3)]
    triples = 100 * digits[0] + 10 * digits[1] + digits[2]
    assert coverage.counts == triples.bincount(minlength=1000).tolist()
    assert sum(coverage.counts) == 1000
    confident = confident_modes(logits, shares)
    assert confident.captured < 0.6 * coverage.captured
    assert confident.reverse_kl > 1.5 * coverage.reverse_kl
