"""Validation images: which ones are set aside, in which sets, and that training never sees them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gansweep.config.compose import compose
from gansweep.data.folders import ImageFolder
from gansweep.data.images import Digits
from gansweep.data.one_class import OneClass
from gansweep.data.pair_folders import PairedFolders, UnpairedFolders
from gansweep.data.pairs import Paired, Unpaired
from gansweep.data.source import DataSource, Split
from gansweep.data.stacked import StackedDigits
from gansweep.data.toy import Ring
from gansweep.data.validation import validation_count, validation_rows
from gansweep.errors import UserError
from gansweep.run.build import build_data

TENTH = Digits(n_validation=None)  # read once for all tests of this file


def whole(data: DataSource, split: Split) -> Tensor:
    return torch.cat([images for images, _ in data.arrays(split)])


def labels(data: DataSource, split: Split) -> Tensor:
    return torch.cat([known for _, known in data.arrays(split) if known is not None])


def keys(images: Tensor) -> list[bytes]:
    return [image.contiguous().numpy().tobytes() for image in images]


@pytest.mark.parametrize(
    ("asked", "n_train", "count"),
    [
        (None, 60_000, 5_000),
        (None, 1_437, 143),
        (None, 100, 10),
        (None, 99, 0),  # a score of 9 images means nothing
        (None, 3, 0),
        (0, 60_000, 0),
        (7, 8, 7),
    ],
)
def test_a_tenth_is_set_aside_but_at_most_5000(asked: int | None, n_train: int, count: int) -> None:
    assert validation_count(asked, n_train, "x") == count


@pytest.mark.parametrize("wrong", [8, 9])
def test_a_number_that_leaves_nothing_to_train_on_is_refused(wrong: int) -> None:
    with pytest.raises(UserError, match=r"data\.n_validation="):
        validation_count(wrong, 8, "x")


def test_each_class_gives_its_share() -> None:
    classes = torch.arange(6).repeat_interleave(torch.tensor([500, 250, 125, 60, 60, 5]))
    rows = validation_rows(100, 1000, classes)
    assert rows.unique().numel() == 100 and torch.equal(rows, rows.sort().values)
    shares = classes[rows].bincount(minlength=6)
    assert shares[:2].tolist() == [50, 25] and shares[2] in (12, 13)
    assert set(shares[3:].tolist()) <= {6, 0, 1}


def test_the_images_are_the_same_in_every_run_and_spread_over_the_set() -> None:
    rows = validation_rows(100, 1000, None)
    assert torch.equal(rows, validation_rows(100, 1000, None))
    assert 400 < rows.double().mean() < 600


def test_three_splits_share_no_image_and_make_up_the_set() -> None:
    counts = [TENTH.count(split) for split in ("train", "validation", "test")]
    assert counts == [1294, 143, 360] and TENTH.n_set_aside == 143
    parts = keys(whole(TENTH, "train")) + keys(whole(TENTH, "validation"))
    assert sorted(parts) == sorted(keys(whole(Digits(), "train")))
    assert torch.equal(whole(TENTH, "test"), whole(Digits(), "test"))
    assert set(labels(TENTH, "validation").bincount().tolist()) <= {14, 15}


def test_no_validation_image_is_trained_on() -> None:
    batches = itertools.islice(TENTH.train_batches(100, seed=0, device="cpu"), 13)
    shown = torch.cat([batch.images for batch in batches]).add(1).mul(127.5).round().byte()
    trained = keys(whole(TENTH, "train"))
    assert set(keys(shown)) == set(trained)


def test_without_a_validation_split_the_order_does_not_change() -> None:
    """The order of an older run, whose record does not have the option."""
    old, new = Digits(), Digits(n_validation=0)
    pairs = zip(
        old.train_batches(64, seed=5, device="cpu"),
        new.train_batches(64, seed=5, device="cpu"),
        strict=True,
    )
    assert all(torch.equal(a.images, b.images) for a, b in itertools.islice(pairs, 30))
    assert old.n_validation == old.n_set_aside == 0 and old.undivided is old


def test_undivided_has_all_training_images_again() -> None:
    again = TENTH.undivided
    assert again.fingerprint("train") == Digits().fingerprint("train")
    assert again.fingerprint("train") != TENTH.fingerprint("train")
    assert again.count("validation") == 0 and TENTH.count("validation") == 143


def test_known_labels_are_among_the_images_that_are_trained_on() -> None:
    few = Digits(n_validation=None, n_labels=50)
    trained = set(keys(whole(few, "train")))
    for batch in itertools.islice(few.train_batches(50, seed=0, device="cpu"), 3):
        assert batch.labelled is not None and batch.labelled.labels is not None
        shown = batch.labelled.images.add(1).mul(127.5).round().byte()
        assert set(keys(shown)) <= trained
    assert len(labels(few, "validation")) == 143


def test_one_class_is_validated_on_all_classes() -> None:
    one = OneClass(Digits(n_validation=None), 3)
    assert set(labels(one, "train").tolist()) == {3}
    assert torch.equal(whole(one, "validation"), whole(TENTH, "validation"))
    assert one.n_set_aside == 143
    assert OneClass(Digits(), 3).n_validation == 0


@pytest.mark.parametrize("kind", [Paired, Unpaired])
def test_derived_pairs_are_made_of_the_base_sets_own_splits(kind: type) -> None:
    data = kind(Digits(n_validation=None), "hole")
    assert data.n_validation == data.n_set_aside == 143 and data.is_paired("validation")
    assert torch.equal(whole(data.targets, "validation"), whole(TENTH, "validation"))
    trained = set(keys(whole(data.targets, "train")))
    assert trained <= set(keys(whole(TENTH, "train")))
    (batch,) = data.batches("validation")
    assert batch.source is not None and len(batch.source) == 143
    assert kind(Digits(), "hole").n_validation == 0
    assert data.undivided.count("validation") == 0


def test_stacked_triples_are_made_of_the_base_sets_own_splits() -> None:
    data = StackedDigits(n_train=500, n_validation=None)
    assert (data.count("validation"), data.n_set_aside) == (5000, 143)
    for split in ("train", "validation"):
        channels = keys(whole(data, split).flatten(0, 1)[:, None])
        assert set(channels) <= set(keys(whole(TENTH, split)))
    assert StackedDigits(n_train=500).count("validation") == 0


def test_validation_points_are_drawn_separately() -> None:
    data = Ring(n_train=1000)
    assert (data.n_train, data.n_validation, data.n_set_aside) == (1000, 10_000, 0)
    assert not torch.equal(whole(data, "validation")[:500], whole(data, "test")[:500])


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 grey images in two class folders; one image has three copies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "photos"
    for k in range(40):
        folder = root / ("ab"[k % 2])
        folder.mkdir(parents=True, exist_ok=True)
        shown = max(k, 2) if k % 2 == 0 else k  # 0 and 2 are copies of one image
        pixels = np.random.default_rng(shown).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return root


def test_a_folder_sets_images_aside_with_their_copies(photos: Path) -> None:
    for n in (0, 6, 20):
        data = ImageFolder(photos, image_size=8, workers=0, test_every=4, n_validation=n)
        parts = [keys(whole(data, s)) for s in ("train", "validation", "test") if data.count(s)]
        assert sum(map(len, parts)) == 40
        for one, other in itertools.combinations(parts, 2):
            assert not set(one) & set(other)
        assert n <= data.n_validation <= n + 1
        assert data.undivided.fingerprint("train") == ImageFolder(
            photos, image_size=8, test_every=4
        ).fingerprint("train")
    shares = labels(data, "validation").bincount()
    assert abs(int(shares[0] - shares[1])) <= 2


def test_a_small_folder_keeps_all_its_images_for_training(photos: Path) -> None:
    cfg = compose(["data=image_folder", f"data.root={photos}", "data.image_size=8"])
    assert cfg.data.n_validation is None
    assert build_data(cfg).n_validation == 0


@pytest.mark.parametrize("own_test", [False, True])
def test_paired_folders_have_validation_pairs(photos: Path, own_test: bool) -> None:
    others = photos.parent / "others" / "a"
    others.mkdir(parents=True)
    Image.new("L", (8, 8), 77).save(others / "x.png")
    tests = dict.fromkeys(("test_root_a", "test_root_b"), others.parent) if own_test else {}
    options = {"image_size": 8, "workers": 0, "n_validation": 6, **tests}
    data = PairedFolders(photos, photos, **options)
    assert data.n_validation >= 6 and data.is_paired("validation")
    for split in ("train", "validation", "test"):
        for batch in data.batches(split):
            assert torch.equal(batch.images, batch.source)
    assert data.undivided.count("train") == data.n_train + data.n_validation
    apart = UnpairedFolders(photos, photos, **options)
    assert apart.n_validation >= 6 and not apart.is_paired("validation")


@pytest.mark.parametrize(
    ("name", "count"), [("digits", 143), ("stacked_digits", 5000), ("one_class", 143)]
)
def test_the_default_sets_a_tenth_aside(name: str, count: int) -> None:
    assert build_data(compose([f"data={name}"])).n_validation == count


@pytest.mark.parametrize("name", ["cifar10", "stl10", "stacked_mnist"])
def test_sets_of_published_tables_train_on_all_their_images(name: str) -> None:
    assert compose([f"data={name}"]).data.n_validation == 0


def test_a_batch_that_the_split_made_too_large_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"1294 training.*143 validation.*n_validation=0"):
        TENTH.check_sizes(1400, 1)
