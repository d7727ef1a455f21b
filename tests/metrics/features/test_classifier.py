"""The data set's classifier, and the cache that stores it."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from tensor_data import Tensors, squares

from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import Split
from gansweep.errors import UserError
from gansweep.metrics.cache import cache_dir, cached
from gansweep.metrics.features.classifier import dataset_classifier
from gansweep.metrics.features.classifier_training import ClassifierNet

pytestmark = pytest.mark.usefixtures("own_cache")
CPU = torch.device("cpu")


class Corners(ResidentSource):
    """`squares` as a set with a validation split."""

    name, shape, class_names = "corners", (1, 8, 8), ["0", "1"]

    def read(self, split: Split) -> Arrays:
        data = squares()
        assert data.labels is not None
        return data.images[split], data.labels[split]


@pytest.mark.usefixtures("short_training")
def test_the_classifier_is_trained_once_and_announced(capsys: pytest.CaptureFixture[str]) -> None:
    first = dataset_classifier(squares(), CPU)
    assert "training squaresnet" in capsys.readouterr().err
    second = dataset_classifier(squares(), CPU)
    assert capsys.readouterr().err == ""
    assert first.weights_hash == second.weights_hash


@pytest.mark.usefixtures("short_training")
def test_training_the_classifier_is_repeatable_whatever_surrounds_it(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_rng_state()
    first = dataset_classifier(squares(), CPU).weights_hash
    assert torch.equal(before, torch.get_rng_state())
    monkeypatch.setenv("GANSWEEP_CACHE", str(own_cache / "other"))
    torch.rand(3)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert dataset_classifier(squares(), CPU).weights_hash == first


@pytest.mark.usefixtures("short_training")
def test_the_classifier_is_the_same_whatever_is_set_aside_to_validate_with() -> None:
    found = [dataset_classifier(Corners(n_validation=n), CPU) for n in (0, 40)]
    assert found[0].weights_hash == found[1].weights_hash


@pytest.mark.usefixtures("short_training")
def test_a_long_training_says_once_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gansweep.metrics.features.classifier_training.REPORTED_AFTER", 0.0)
    dataset_classifier(squares(), CPU)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.endswith("s to go")] == [lines[1]]
    assert len(lines) == 3


@pytest.mark.usefixtures("short_training")
@pytest.mark.parametrize("damage", ["cut", "foreign", "bent"])
def test_a_damaged_classifier_is_trained_again(
    damage: str, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = dataset_classifier(squares(), CPU).weights_hash
    (file,) = (own_cache / "classifiers").glob("*.pt")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:3000])
    elif damage == "foreign":
        file.write_text("not a file of tensors")
    else:
        content = torch.load(file, weights_only=True)
        content["weights"]["linear.bias"][0] += 1
        torch.save(content, file)
    assert dataset_classifier(squares(), CPU).weights_hash == expected
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.usefixtures("short_training")
def test_a_weak_classifier_is_refused() -> None:
    data = squares()
    assert data.labels is not None
    data.labels["test"] = 1 - data.labels["test"]
    with pytest.raises(UserError, match=r"metrics\.min_test_accuracy=0\.9.*metrics=inception"):
        dataset_classifier(data, CPU)


def test_unlabelled_images_have_no_classifier() -> None:
    images = torch.zeros(80, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(UserError, match="no labels"):
        dataset_classifier(Tensors("faces", images), CPU)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 23), (1, 28, 28), (3, 64, 64)])
def test_the_classifier_reads_every_size(shape: tuple[int, ...]) -> None:
    network = ClassifierNet(shape, 5).eval()
    pool, logits = network(torch.zeros(2, *shape))
    assert pool.shape == (2, 64)
    assert logits.shape == (2, 5)


def test_a_cache_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANSWEEP_CACHE", str(tmp_path / "file" / "below"))
    assert cached("x.pt", lambda: {"value": 3}) == {"value": 3}
    assert "could not be written" in capsys.readouterr().err


def test_content_that_two_request_at_once_is_made_once() -> None:
    made = []

    def slowly() -> dict[str, int]:
        made.append(1)
        time.sleep(0.2)
        return {"value": 3}

    with ThreadPoolExecutor(2) as pool:  # the lock is per open file, so threads act like processes
        found = list(pool.map(lambda _: cached("y.pt", slowly), range(2)))
    assert found == [{"value": 3}] * 2
    assert len(made) == 1


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("GANSWEEP_CACHE", "/g")
    assert cache_dir() == Path("/g")
    monkeypatch.delenv("GANSWEEP_CACHE")
    assert cache_dir() == Path("/x/gansweep")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "gansweep"
