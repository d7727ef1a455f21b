"""Conditions of samples: labels of the whole training split, or balanced classes."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tensor_data import squares

from gansweep.data.conditions import ROWS_KEPT, Conditions
from gansweep.data.folders import ImageFolder
from gansweep.data.images import Digits
from gansweep.data.one_class import OneClass
from gansweep.data.pairs import Unpaired
from gansweep.data.source import DataSource
from gansweep.data.stacked import StackedDigits
from gansweep.data.toy import Ring
from gansweep.metrics.scores.modes import ModeCoverage, divergence, reverse_kl_floor

N = 26_000  # samples for mode counts


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares_of(labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    return labels.bincount(minlength=n_classes) / len(labels)


def test_every_class_of_a_large_set_can_be_requested() -> None:
    data = StackedDigits()
    asked = Conditions(data).draw(200_000, rng()).labels
    assert asked is not None and len(asked.unique()) == 1000


@pytest.mark.parametrize("balanced", [False, True])
def test_a_perfect_conditional_generator_has_the_reverse_kl_of_its_floor(balanced: bool) -> None:
    """Samples of exactly the requested classes. Labels of only 4,096 rows would give 0.149."""
    data = StackedDigits()
    equal = torch.full((1000,), 1 / 1000, dtype=torch.float64)
    labels = data.labels_of("train")
    assert labels is not None
    of_training = labels.bincount(minlength=1000)
    floor = reverse_kl_floor(equal, N)
    if not balanced:
        floor = reverse_kl_floor(of_training / of_training.sum(), N) + divergence(
            of_training, equal
        )
    conditions, found = Conditions(data), []
    for seed in range(5):
        asked = conditions.draw(N, rng(seed), balanced).labels
        assert asked is not None
        counts = asked.bincount(minlength=1000).tolist()
        found.append(ModeCoverage(counts, equal.tolist(), N).reverse_kl)
    assert sum(found) / 5 == pytest.approx(floor, abs=4 * 0.0009 / 5**0.5)
    assert floor == pytest.approx(0.0193 if balanced else 0.0236, abs=1e-4)


def test_labels_are_drawn_as_in_training_or_with_balanced_classes() -> None:
    data = squares(8000, n_classes=3)
    assert data.labels is not None
    data.labels["train"] = (torch.arange(data.n_train) % 10).clamp_max(2)  # 10, 10 and 80 %
    conditions = Conditions(data)
    error = 4 * 0.5 / N**0.5
    for balanced, expected in ((False, [0.1, 0.1, 0.8]), (True, [1 / 3] * 3)):
        asked = conditions.draw(N, rng(), balanced).labels
        assert asked is not None
        assert shares_of(asked, 3).tolist() == pytest.approx(expected, abs=error)


def test_a_class_without_training_images_is_not_requested() -> None:
    asked = Conditions(OneClass(Digits(), 4)).draw(100, rng(), balanced=True).labels
    assert asked is not None and asked.unique().tolist() == [4]


def test_rows_of_a_small_set_have_their_own_labels() -> None:
    data = Digits()
    (images, labels), n = next(iter(data.arrays("train", 5000))), data.n_train
    assert n < ROWS_KEPT
    batch = Conditions(data).draw(50, rng(3))
    rows = torch.randint(n, (50,), generator=rng(3))
    inside = rows < len(images)
    assert batch.labels is not None and torch.equal(batch.labels[inside], labels[rows[inside]])
    expected = images[rows[inside]].float() / 127.5 - 1
    torch.testing.assert_close(batch.images[inside], expected)


def test_the_noise_after_a_draw_does_not_depend_on_the_labels() -> None:
    data = squares(400)
    after = []
    for balanced in (False, True):
        generator = rng(5)
        Conditions(data).draw(64, generator, balanced)
        after.append(torch.randn(4, generator=generator))
    assert torch.equal(*after)
    generator = rng(5)
    torch.randint(data.n_train, (64,), generator=generator)
    assert torch.equal(after[0], torch.randn(4, generator=generator))


def folder(root: Path) -> DataSource:
    for k in range(40):
        place = root / ("a", "b", "c")[k % 3]
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 6 * k).save(place / f"{k}.png")
    return ImageFolder(root, image_size=8, test_every=5, workers=0)


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_of_a_split_have_the_order_of_its_images(tmp_path: Path, split: str) -> None:
    sources = [squares(), Digits(), Ring(n_train=1500), folder(tmp_path / "images")]
    sources += [OneClass(Digits(), 4), Unpaired(Digits(), "invert")]
    for data in sources:
        data.prepare()
        read = torch.cat([labels for _, labels in data.arrays(split)])  # type: ignore[arg-type, misc]
        found = data.labels_of(split)  # type: ignore[arg-type]
        assert found is not None and torch.equal(found, read), data.name


def test_data_without_labels_have_no_conditions_of_class(tmp_path: Path) -> None:
    for k in range(12):
        Image.new("L", (8, 8), 20 * k).save(tmp_path / f"{k}.png")
    data = ImageFolder(tmp_path, image_size=8, test_every=0, workers=0)
    assert data.labels_of("train") is None
    assert Conditions(data).draw(3, rng(), balanced=True).labels is None
