"""A few known labels: their selection, their batches, and what is refused."""

import itertools
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from gansweep.config.compose import compose
from gansweep.data.batch import Batch
from gansweep.data.few_labels import known_rows
from gansweep.data.folders import ImageFolder
from gansweep.data.images import STL10, Digits
from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import DataSource, Split
from gansweep.data.stacked import StackedDigits
from gansweep.errors import UserError
from gansweep.run.build import build_data, build_model


class Numbered(ResidentSource):
    """Images of one pixel, the image's number; classes 0 to 2 in turn."""

    name = "numbered"
    shape = (1, 1, 1)
    class_names = ("a", "b", "c")

    def read(self, split: Split) -> Arrays:
        numbers = torch.arange(200)
        return numbers.to(torch.uint8).reshape(-1, 1, 1, 1), numbers % 3


def known(labels: Tensor, n_labels: int, seed: int = 0, n_classes: int = 3) -> Tensor:
    return known_rows(labels, n_labels, seed, n_classes=n_classes, name="made up")


def take(source: DataSource, batches: int, batch_size: int, **options) -> list[Batch]:
    options = {"seed": 3, "device": "cpu", **options}
    return list(itertools.islice(source.train_batches(batch_size, **options), batches))


def same(a: list[Batch], b: list[Batch]) -> bool:
    return all(
        x.labels is None
        and y.labels is None
        and torch.equal(x.images, y.images)
        and torch.equal(x.labelled.images, y.labelled.images)
        and torch.equal(x.labelled.labels, y.labelled.labels)
        for x, y in zip(a, b, strict=True)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten grey squares of two classes, 40 and 200 bright, each a little brighter than the last."""
    root = tmp_path_factory.mktemp("folder")
    for k in range(10):
        place = root / ("dark" if k % 2 else "light")
        place.mkdir(exist_ok=True)
        Image.new("L", (8, 8), (40 if k % 2 else 200) + k).save(place / f"{k}.png")
    return root


def squares(folder: Path, **options) -> ImageFolder:
    return ImageFolder(folder, image_size=8, test_every=0, workers=0, **options)


def test_known_labels_are_a_balanced_subset_that_the_label_seed_fixes() -> None:
    labels = torch.cat([chunk for _, chunk in Digits().arrays("train")])
    rows = known(labels, 50, n_classes=10)
    assert labels[rows].bincount().tolist() == [5] * 10
    assert len(rows.unique()) == 50
    assert torch.equal(rows, known(labels, 50, n_classes=10))
    other = known(labels, 50, seed=1, n_classes=10)
    assert len(set(rows.tolist()) & set(other.tolist())) < 10
    assert rows.max() > 1200  # not the first of each class


def test_a_remainder_goes_to_random_classes_one_label_each() -> None:
    labels = torch.arange(300) % 3
    counts = [labels[known(labels, 50, seed)].bincount() for seed in range(8)]
    assert all(sorted(count.tolist()) == [16, 17, 17] for count in counts)
    assert len({int(count.argmin()) for count in counts}) > 1


def test_fewer_labels_are_a_part_of_more() -> None:
    labels = torch.arange(300) % 3
    assert set(known(labels, 20).tolist()) < set(known(labels, 50).tolist())


def test_a_small_class_gives_all_its_labels_and_the_others_the_rest() -> None:
    labels = torch.tensor([0] * 2 + [1] * 20 + [2] * 20)
    assert labels[known(labels, 18)].bincount().tolist() == [2, 8, 8]
    assert known(labels, 42).tolist() == list(range(42))


def test_batches_hide_the_labels_and_show_the_known_ones_with_their_images() -> None:
    source = Numbered(n_labels=9)
    rows = known(torch.arange(200) % 3, 9).tolist()
    seen: list[int] = []
    for batch in take(source, 18, 8):
        assert batch.labels is None and batch.labelled is not None
        numbers = ((batch.labelled.images + 1) * 127.5).round().flatten().long()
        assert torch.equal(numbers % 3, batch.labelled.labels)
        seen += numbers.tolist()
    epochs = [seen[k : k + 9] for k in range(0, len(seen), 9)]
    assert all(sorted(epoch) == rows for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == len(epochs) == 16


def test_few_labels_do_not_change_the_order_of_images() -> None:
    plain, few = take(Digits(flip=True), 30, 64), take(Digits(flip=True, n_labels=50), 30, 64)
    assert all(torch.equal(a.images, b.images) for a, b in zip(plain, few, strict=True))


@pytest.mark.parametrize("done", [1, 23])
def test_labelled_batches_continue_exactly_with_flips(done: int) -> None:
    source = Digits(flip=True, n_labels=50)
    whole = take(source, done + 4, 64)
    assert same(take(source, 4, 64, start_image=done * 64), whole[done:])
    assert not same(take(source, 4, 64, seed=4), whole[:4])


@pytest.mark.parametrize("world", [2, 4])
def test_the_processes_share_each_labelled_batch(world: int) -> None:
    source = Digits(flip=True, n_labels=50)
    parts = [take(source, 5, 64, rank=r, world=world) for r in range(world)]
    for k, batch in enumerate(take(source, 5, 64)):
        shown = [part[k].labelled for part in parts]
        assert torch.equal(batch.labelled.images, torch.cat([s.images for s in shown]))
        assert torch.equal(batch.labelled.labels, torch.cat([s.labels for s in shown]))


def test_a_folder_hides_labels_in_the_same_way(folder: Path) -> None:
    source = squares(folder, n_labels=4, flip=True)
    whole = take(source, 8, 4)
    seen: Counter[float] = Counter()
    for batch in whole:
        bright = (batch.labelled.images.mean((1, 2, 3)) > 0).long()
        assert torch.equal(bright, batch.labelled.labels)  # dark, light
        seen.update(batch.labelled.images[:, 0, 0, 0].tolist())
    assert list(seen.values()) == [8] * 4
    assert same(take(source, 5, 4, start_image=12), whole[3:])
    halves = [take(source, 1, 4, rank=r, world=2)[0].labelled.images for r in range(2)]
    assert torch.equal(torch.cat(halves), whole[0].labelled.images)
    plain = take(squares(folder, flip=True), 8, 4)
    assert all(torch.equal(a.images, b.images) for a, b in zip(plain, whole, strict=True))


def test_metrics_see_every_label_and_the_same_fingerprint() -> None:
    few, plain = Digits(n_labels=50), Digits()
    for split in ("train", "test"):
        assert few.fingerprint(split) == plain.fingerprint(split)
        labels = [torch.cat([b.labels for b in s.batches(split)]) for s in (few, plain)]
        assert torch.equal(*labels)


def test_triples_of_digits_take_few_labels_too() -> None:
    source = StackedDigits(n_train=4000, n_labels=1000)
    (batch,) = take(source, 1, 16)
    assert batch.labelled.labels.shape == (16,)


@pytest.mark.parametrize(
    ("n_labels", "words"),
    [
        (1295, ["1294 training images", "data.n_labels=1294"]),
        (9, ["10 classes", "data.n_labels=10"]),
        (0, ["from 1 to", "data.n_labels=1"]),
        (12.5, ["not a whole number"]),
    ],
)
def test_impossible_numbers_are_refused_with_the_fix(n_labels: float, words: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        build_data(compose([f"data.n_labels={n_labels}"]))
    assert all(word in str(refusal.value) for word in words)


def test_data_without_labels_are_refused(folder: Path, monkeypatch) -> None:
    images = torch.zeros(20, 3, 96, 96, dtype=torch.uint8)
    monkeypatch.setattr(STL10, "read", lambda self, split: (images, None))
    for source in (STL10(unlabelled=True, n_labels=10), squares(folder / "dark", n_labels=2)):
        with pytest.raises(UserError, match="has none"):
            source.prepare()


def test_a_model_that_cannot_learn_from_few_labels_is_refused() -> None:
    cfg = compose(["model=gan", "data.n_labels=50"])
    with pytest.raises(UserError, match="model=sgan"):
        build_model(cfg, build_data(cfg))
