"""The shipped classifiers: their content, their accuracy, and the data that they are used for."""

from pathlib import Path

import pytest
import torch
from places import TOP
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from gansweep.data.images import MNIST, Digits, FashionMNIST, ImageSet
from gansweep.data.one_class import OneClass
from gansweep.data.pairs import Paired, Unpaired
from gansweep.errors import UserError
from gansweep.metrics.features import judges as shipped
from gansweep.metrics.features.classifier import DatasetClassifier, dataset_classifier
from gansweep.metrics.features.classifier_training import ClassifierNet, accuracy, scaled, strangers
from gansweep.metrics.features.judges import FOLDER, Judge, judge_of, judges
from gansweep.metrics.scores.modes import min_confidence

CPU = torch.device("cpu")
NAMES = ["digitsnet1", "fashion_mnist32net1", "fashion_mnistnet1", "mnist32net1", "mnistnet1"]
FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's package


@pytest.fixture(autouse=True)
def no_training(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object) -> None:
        raise AssertionError("a classifier is trained")

    monkeypatch.setattr("gansweep.metrics.features.classifier.train_classifier", trained)


def named(name: str) -> Judge:
    return next(judge for judge in judges() if judge.name == name)


def size_of(judge: Judge) -> int:
    if judge.name.startswith("digits"):
        return 8
    return 32 if "32" in judge.name else 28


def network_of(judge: Judge) -> ClassifierNet:
    return ClassifierNet.from_weights(
        judge.content()["weights"], (1, size_of(judge), size_of(judge))
    )


def test_each_is_small_and_says_how_it_was_made() -> None:
    assert [judge.name for judge in judges()] == NAMES
    for path in FOLDER.iterdir():
        assert path.stat().st_size < 1_000_000
        with safe_open(path, "pt") as file:
            facts = file.metadata()
        assert facts.keys() >= {"made_by", "data", "trained_on", "seed", "recipe", "torch"}
        assert path.stem.startswith(facts["data"])


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_have_the_hash_that_protocols_state(name: str) -> None:
    assert shipped.weights_hash(named(name).content()["weights"]) == named(name).weights_hash


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "digitsnet1.safetensors"
    content = bytearray((FOLDER / path.name).read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="Install gansweep again"):
        judges()[0].content()


def test_the_digits_are_judged_by_it_whatever_is_set_aside_or_hidden() -> None:
    kinds = [Digits(), Digits(n_validation=None), Digits(n_labels=20), Digits(flip=True)]
    for data in kinds:
        found = dataset_classifier(data, CPU)
        assert (found.name, found.weights_hash) == ("digitsnet1", named("digitsnet1").weights_hash)
        assert found.extras == {"backbone_test_accuracy": named("digitsnet1").test_accuracy}


def test_other_pixels_are_other_data() -> None:
    assert judge_of(Digits(16).fingerprint("train"), Digits(16).fingerprint("test")) is None


@pytest.mark.parametrize("kind", [Paired, Unpaired])
@pytest.mark.parametrize("task", ["edges", "hole", "denoise"])
def test_targets_that_are_plain_images_are_judged_by_the_base_sets(kind: type, task: str) -> None:
    found = dataset_classifier(kind(Digits(n_validation=None), task), CPU)
    assert isinstance(found, DatasetClassifier) and found.name == "digitsnet1"


def test_targets_that_are_changed_have_no_shipped_one() -> None:
    assert Paired(Digits(), "invert").classifier_from is None
    with pytest.raises(AssertionError, match="a classifier is trained"):
        dataset_classifier(Paired(Digits(), "invert"), CPU)


def test_one_class_is_judged_by_the_one_of_all() -> None:
    assert dataset_classifier(OneClass(Digits(), 3), CPU).name == "digitsnet1"


def measured(data: ImageSet, name: str, at_least: float) -> None:
    judge = named(name)
    assert judge_of(data.fingerprint("train"), data.fingerprint("test")) == judge
    assert round(accuracy(network_of(judge), data), 4) == judge.test_accuracy >= at_least


def test_digitsnet_reads_97_percent_of_the_test_digits() -> None:
    measured(Digits(), "digitsnet1", 0.97)


SIDES = pytest.mark.parametrize(("side", "mark"), [(28, ""), (32, "32")])


@pytest.mark.slow
@SIDES
@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mnistnet_reads_91_percent_of_the_test_images(side: int, mark: str) -> None:
    measured(FashionMNIST(FASHION, side), f"fashion_mnist{mark}net1", 0.91)


@pytest.mark.slow
@SIDES
def test_mnistnet_reads_99_percent_of_the_test_digits(side: int, mark: str) -> None:
    data = MNIST(TOP.parent / "shared" / "data" / "mnist", side)
    if not data.is_there():
        pytest.skip("needs MNIST in ../shared/data/mnist")
    measured(data, f"mnist{mark}net1", 0.993)


def nonsense(size: int) -> dict[str, Tensor]:
    """Outputs of generators that learnt nothing: (n, 1, size, size) in [-1, 1] of each kind."""
    draw = torch.Generator().manual_seed(1)

    def normal(deviation: float, mean: float = 0.0) -> Tensor:
        values = torch.randn(500, 1, size, size, generator=draw)
        return (mean + values * deviation / 127.5).clamp(-1, 1)

    coarse = F.interpolate(normal(127.5)[:, :, :3, :3], (size, size), mode="bilinear")
    return {
        **{f"grey noise of {deviation}": normal(deviation) for deviation in (20, 40, 80, 127)},
        "dark noise": normal(40, -1),
        "dots": normal(127.5).sign(),
        "blobs": coarse,
        "flat": torch.linspace(-1, 1, 256).view(-1, 1, 1, 1).expand(-1, 1, size, size),
    }


@pytest.mark.parametrize("name", NAMES)
def test_noise_fills_no_mode(name: str) -> None:
    network = network_of(named(name))
    for kind, images in nonsense(size_of(named(name))).items():
        with torch.no_grad():
            sure = network(images)[1].softmax(1).amax(1) > min_confidence(10)
        assert sure.float().mean() <= 0.01, kind


def test_true_digits_are_judged_with_confidence() -> None:
    images = torch.cat([images for images, _ in Digits().arrays("test")])
    with torch.no_grad():
        confidence = network_of(named("digitsnet1"))(scaled(images))[1].softmax(1).amax(1)
    assert (confidence > min_confidence(10)).float().mean() > 0.95


def test_strangers_are_of_every_kind_and_in_range() -> None:
    draw = torch.Generator().manual_seed(0)
    real = torch.rand(32, 3, 9, 11, generator=draw) * 2 - 1
    made = strangers(real, 12, draw)
    assert made.shape == (12, 3, 9, 11) and made.abs().max() <= 1
    noise, dots, flat, blobs, mixtures, scrambled = made.split(2)
    assert set(dots.unique().tolist()) == {-1, 1} and noise.unique().numel() > 500
    assert flat.flatten(2).std(2).max() == 0 < blobs.flatten(2).std(2).min()
    values = real.flatten(2).sort(2).values
    assert all((values == one).all((1, 2)).any() for one in scrambled.flatten(2).sort(2).values)
    assert not any((real == one).all((1, 2, 3)).any() for one in mixtures)
