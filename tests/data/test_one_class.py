"""Training on one class, tests on all: images, classifier, and what is refused."""

import pytest
import torch

from gansweep.config import compose as config
from gansweep.data.folders import ImageFolder
from gansweep.data.images import Digits
from gansweep.data.one_class import OneClass
from gansweep.data.source import DataSource
from gansweep.data.toy import Ring
from gansweep.errors import UserError
from gansweep.metrics.features.classifier import dataset_classifier, unfit
from gansweep.run.build import build_data


def whole(source: DataSource, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*source.arrays(split), strict=True)
    return torch.cat(images), torch.cat(labels)


def test_training_shows_one_class_and_the_test_split_all_of_them() -> None:
    one, digits = OneClass(Digits(), 7), Digits()
    one.prepare()
    images, labels = whole(digits, "train")
    assert torch.equal(whole(one, "train")[0], images[labels == 7])
    assert set(whole(one, "train")[1].tolist()) == {7}
    for mine, theirs in zip(whole(one, "test"), whole(digits, "test"), strict=True):
        assert torch.equal(mine, theirs)
    assert (one.count("train"), one.count("test")) == (int((labels == 7).sum()), 360)
    assert (one.normal_class, one.shape, one.n_classes) == (7, (1, 8, 8), 10)
    assert digits.normal_class is None


def test_batches_contain_only_the_normal_class() -> None:
    batches = OneClass(Digits(), 3).train_batches(64, seed=0, device="cpu")
    for _ in range(4):
        assert set(next(batches).labels.tolist()) == {3}


def test_classes_differ_in_name_and_fingerprint() -> None:
    one, other = (OneClass(Digits(), k) for k in (1, 2))
    assert one.name == "digits_class_1" != other.name
    assert one.fingerprint("train") != other.fingerprint("train")
    assert one.fingerprint("test") == Digits().fingerprint("test")


def test_training_images_are_mirrored_if_the_base_set_is() -> None:
    plain, mirrored = (
        next(OneClass(Digits(flip=flip), 4).train_batches(64, seed=0, device="cpu")).images
        for flip in (False, True)
    )
    turned = [not torch.equal(a, b) for a, b in zip(plain, mirrored, strict=True)]
    assert 10 < sum(turned) < 54
    assert torch.equal(plain.flip(-1)[turned], mirrored[turned])


def test_images_are_read_by_the_classifier_of_the_whole_set() -> None:
    one = OneClass(Digits(), 0)
    assert not unfit(one)
    ours, own = (dataset_classifier(data, torch.device("cpu")) for data in (one, Digits()))
    assert (ours.name, ours.weights_hash) == ("digitsnet1", own.weights_hash)


def test_points_of_one_mode_can_be_the_normal_ones() -> None:
    one = OneClass(Ring(modes=8, radius=1.0, sigma=0.01, n_train=800), 2)
    points, labels = whole(one, "train")
    assert one.is_points and len(points) > 50 and set(labels.tolist()) == {2}


def test_another_base_set_is_one_override() -> None:
    cfg = config.compose(["data=one_class", "data@data.base=stacked_digits", "data.normal=5"])
    assert cfg.data.base._target_.endswith("StackedDigits")
    cfg = config.compose(["data=one_class", "data.normal=5", "data.base.image_size=16"])
    data = build_data(cfg)
    assert (data.shape, data.normal_class) == ((1, 16, 16), 5)


@pytest.mark.parametrize(
    ("base", "normal", "words"),
    [
        (lambda path: Digits(), 10, ["data.normal=10", "0 to 9"]),
        (lambda path: Digits(), -1, ["data.normal=-1", "0 to 9"]),
        (lambda path: Digits(n_labels=50), 0, ["data.base.n_labels has no effect"]),
        (lambda path: folder_without_labels(path), 0, ["no labels", "data@data.base=mnist"]),
    ],
)
def test_a_set_without_the_class_is_refused(tmp_path, base, normal, words) -> None:
    with pytest.raises(UserError) as refused:
        OneClass(base(tmp_path), normal).prepare()
    for word in words:
        assert word in str(refused.value)


def folder_without_labels(path) -> ImageFolder:  # type: ignore[no-untyped-def]
    from PIL import Image

    for k in range(20):
        Image.new("L", (8, 8), 10 * k).save(path / f"{k}.png")
    return ImageFolder(str(path), image_size=8, workers=1)
