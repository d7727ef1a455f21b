"""Folders of images: which files are found, their order, and which are refused."""

import itertools
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansweep.data import census, folders
from gansweep.data.batch import Batch
from gansweep.data.decode import UnreadableImageError, open_image, resize_all, square
from gansweep.data.folders import ImageFolder
from gansweep.errors import UserError
from gansweep.inference.pictures.picture_files import pictures_in


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path) -> Path:
    """20 noisy images of several sizes and formats in the class folders apple and pear."""
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for k in range(20):
        folder = root / ("apple" if k % 2 else "pear")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8 + k % 3, 8 + k % 5, 3), dtype=np.uint8)
        extension = ("png", "bmp", "webp", "TIFF")[k % 4]
        Image.fromarray(pixels).save(folder / f"{k}.{extension}")
    return root


def take(source: ImageFolder, batches: int, batch_size: int = 6, **options) -> list[Batch]:
    options = {"seed": 3, "device": "cpu", **options}
    return list(itertools.islice(source.train_batches(batch_size, **options), batches))


def same(a: list[Batch], b: list[Batch]) -> bool:
    return all(torch.equal(x.images, y.images) and torch.equal(x.labels, y.labels)
               for x, y in zip(a, b, strict=True))  # fmt: skip


def augmented(root: Path, **options) -> ImageFolder:
    return ImageFolder(root, image_size=6, crop="random", flip=True, **{"workers": 0, **options})


def test_a_folder_gives_squares_labels_and_a_fixed_test_split(photos: Path) -> None:
    source = ImageFolder(photos, image_size=8, workers=0)
    assert (source.name, source.shape, source.class_names) == (
        "photos", (3, 8, 8), ["apple", "pear"])  # fmt: skip
    assert (source.n_train, source.n_test) == (18, 2)
    batch = take(source, 1)[0]
    assert batch.images.shape == (6, 3, 8, 8)
    assert batch.images.abs().max() <= 1
    for split in ("train", "test"):
        for pixels, labels in source.arrays(split):
            for k, label in enumerate(labels.tolist()):
                path = source._squares(split).paths[k]
                assert path.parent.name == source.class_names[label]
                assert torch.equal(pixels[k], square(open_image(path), 8, 3))


def test_one_worker_or_two_give_the_same_batches_and_leave_the_global_rng(photos: Path) -> None:
    state = torch.get_rng_state()
    alone = take(augmented(photos), 8)
    assert same(alone, take(augmented(photos, workers=2), 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert not same(alone, take(augmented(photos), 8, seed=4))


@pytest.mark.parametrize("done", [1, 4])  # 18 images: batch 4 of 5 crosses the epoch's border
def test_start_image_continues_exactly_with_crops_and_flips(photos: Path, done: int) -> None:
    source = augmented(photos)
    whole = take(source, done + 3, batch_size=5)
    assert same(take(source, 3, batch_size=5, start_image=5 * done), whole[done:])


def test_slices_of_the_processes_make_up_the_whole_batch(photos: Path) -> None:
    whole = take(augmented(photos), 4, dtype=torch.float64)
    parts = [take(augmented(photos), 4, rank=r, world=3, dtype=torch.float64) for r in range(3)]
    for k, batch in enumerate(whole):
        assert torch.equal(batch.images, torch.cat([part[k].images for part in parts]))
        assert torch.equal(batch.labels, torch.cat([part[k].labels for part in parts]))


def test_every_image_is_seen_equally_often(photos: Path) -> None:
    source = ImageFolder(photos, image_size=8, workers=0)
    images = torch.cat([batch.images for batch in take(source, 6, batch_size=9)])
    counts = Counter(image.numpy().tobytes() for image in images)
    assert sorted(counts.values()) == [3] * 18


def test_random_crops_are_inside_the_image_and_vary(tmp_path) -> None:
    columns = np.tile(np.arange(40, dtype=np.uint8), (10, 1))
    root = tmp_path / "one"
    root.mkdir()
    for k in range(2):
        Image.fromarray(columns).save(root / f"{k}.png")
    source = ImageFolder(root, image_size=10, crop="random", test_every=0, workers=0)
    assert source.shape == (1, 10, 10)
    images = torch.cat([batch.images for batch in take(source, 30, batch_size=2)])
    lefts = ((images[:, 0, 0, 0] + 1) * 127.5).round()
    assert len(lefts.unique()) > 10
    assert lefts.min() >= 0
    assert lefts.max() <= 30
    centre = next(ImageFolder(root, image_size=10, test_every=0).arrays("train"))[0]
    assert (centre[:, 0, 0, 0] == 15).all()
    mirrored = ImageFolder(root, image_size=10, flip=True, test_every=0, workers=0)
    firsts = torch.cat([b.images[:, 0, 0, 0] for b in take(mirrored, 30, batch_size=2)])
    assert {round((x + 1) * 127.5) for x in firsts.tolist()} == {15, 24}


def test_resize_sets_the_short_side_before_the_crop() -> None:
    image = Image.new("L", (60, 30))
    image.paste(255, (20, 10, 40, 20))
    whole, zoomed = square(image, 10, 1), square(image, 10, 1, resize=30)
    assert whole.shape == zoomed.shape == (1, 10, 10)
    assert zoomed.float().mean() == 255
    assert 40 < whole.float().mean() < 80


def test_shrinking_averages_rather_than_picks() -> None:
    # one bright column in eight: its mean is 255 / 8, while the pixels at the centres are dark
    stripes = np.tile(np.array([255, 0, 0, 0, 0, 0, 0, 0], np.uint8), (64, 8))
    small = square(Image.fromarray(stripes), 8, 1).float()
    batch = resize_all(torch.from_numpy(stripes)[None, None], 8).float()
    assert (small - 255 / 8).abs().max() < 16
    assert (batch - 255 / 8).abs().max() < 16


@pytest.mark.parametrize(("channels", "expected"), [("auto", 1), (1, 1), (3, 3)])
def test_channels_of_grey_files(tmp_path, channels, expected: int) -> None:
    for k in range(3):
        Image.new("L", (4, 4), 80 * k).save(tmp_path / f"{k}.png")
    source = ImageFolder(tmp_path, image_size=4, channels=channels, test_every=0)
    assert source.shape == (expected, 4, 4)
    assert next(source.arrays("train"))[0].shape == (3, expected, 4, 4)
    assert source.class_names is None


def test_one_colour_file_makes_auto_channels_three(tmp_path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    assert ImageFolder(tmp_path, test_every=0).shape[0] == 3


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),  # transparent: becomes white
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("LA", (0, 0), (255,)),
        ("I;16", 40_000, (156,)),
        ("1", 1, (255,)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
    ],
)
def test_unusual_modes_become_grey_or_rgb(tmp_path, mode, colour, expected) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new(mode, (3, 3), colour).save(path)
    image = open_image(path)
    assert image.mode == ("L" if len(expected) == 1 else "RGB")
    assert np.asarray(image)[1, 1].reshape(-1).tolist() == list(expected)


def test_transparent_grey_stays_grey(tmp_path) -> None:
    pixels = np.array([[0, 128]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=0)
    image = open_image(tmp_path / "a.png")
    assert (image.mode, np.asarray(image).tolist()) == ("L", [[255, 128]])


def test_integers_of_unknown_range_are_refused(tmp_path) -> None:
    """0 to 255 in 32 bits, whose upper halves are black."""
    Image.fromarray(np.arange(256, dtype=np.int32)[None]).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match="32-bit integers of unknown range"):
        open_image(tmp_path / "a.tif")


def test_float_images_are_refused(tmp_path) -> None:
    Image.fromarray(np.zeros((3, 3), np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(UnreadableImageError, match="floating-point"):
        open_image(tmp_path / "x.tif")


def break_one(photos: Path) -> Path:
    """Remove the last bytes of a file, so that only a full decode fails."""
    broken = photos / "apple" / "1.bmp"
    broken.write_bytes(broken.read_bytes()[:-9])
    return broken


def test_a_corrupt_image_stops_with_its_name_and_the_fix(photos: Path) -> None:
    broken = break_one(photos)
    with pytest.raises(UserError) as refusal:
        ImageFolder(photos, image_size=8).prepare()
    output = str(refusal.value)
    assert str(broken) in output
    assert "1 of 20 images" in output
    assert "data.on_corrupt=skip" in output


def test_corrupt_images_are_skipped_on_request_and_counted_once(photos: Path, capsys) -> None:
    break_one(photos)
    (photos / "pear" / "not.png").write_bytes(b"hello")
    source = ImageFolder(photos, image_size=8, on_corrupt="skip", test_every=0, workers=0)
    source.prepare()
    assert all(len(batch) == 6 for batch in take(source, 5))
    assert source.n_train == 19
    output = capsys.readouterr().err
    assert output.count("2 of 21 images") == 1


def test_a_folder_of_corrupt_images_alone_stops_even_when_skipping(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"hello")
    with pytest.raises(UserError, match="1 of 1 images"):
        ImageFolder(tmp_path, on_corrupt="skip").prepare()


def test_files_are_decoded_once_until_they_change(photos: Path, monkeypatch) -> None:
    decoded = []

    def counting(path: Path) -> Image.Image:
        decoded.append(path.name)
        return open_image(path)

    monkeypatch.setattr(census, "open_image", counting)
    first = ImageFolder(photos, image_size=8)
    first.prepare()
    assert len(decoded) == 20
    second = ImageFolder(photos, image_size=8)
    assert second.fingerprint("train") == first.fingerprint("train")
    assert len(decoded) == 20
    broken = break_one(photos)
    with pytest.raises(UserError, match=str(broken)):
        ImageFolder(photos, image_size=8).prepare()
    assert decoded[20:] == ["1.bmp"]


def test_a_cache_folder_that_cannot_be_written_is_not_needed(photos, monkeypatch) -> None:
    (photos / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(photos / "cache"))
    assert ImageFolder(photos).n_train == 18


def test_fingerprint_follows_content_not_names(photos: Path) -> None:
    def fresh(**options) -> str:
        return ImageFolder(photos, test_every=0, **options).fingerprint("train")

    first = fresh(image_size=8)
    assert fresh(image_size=9) != first
    photos.rename(photos.with_name("renamed"))
    moved = photos.with_name("renamed")
    (moved / "apple" / "1.bmp").rename(moved / "apple" / "z.bmp")
    renamed = ImageFolder(moved, image_size=8, test_every=0).fingerprint("train")
    assert renamed == first
    Image.new("RGB", (9, 9)).save(moved / "apple" / "z.bmp")
    assert ImageFolder(moved, image_size=8, test_every=0).fingerprint("train") != first


def test_a_test_folder_shares_the_classes(photos: Path, tmp_path) -> None:
    held_out = tmp_path / "held_out"
    (held_out / "pear").mkdir(parents=True)
    Image.new("RGB", (9, 9), "red").save(held_out / "pear" / "a.png")
    source = ImageFolder(photos, image_size=8, test_root=held_out)
    pixels, labels = next(source.arrays("test"))
    assert (source.n_train, source.n_test, labels.tolist()) == (20, 1, [1])
    assert (pixels[0, 0] == 255).all()
    (held_out / "pear").rename(held_out / "paer")
    with pytest.raises(UserError, match="Did you mean 'pear'"):
        ImageFolder(photos, test_root=held_out).fingerprint("test")


def test_a_missing_test_split_is_reported(photos: Path) -> None:
    with pytest.raises(UserError, match="no test images"):
        next(ImageFolder(photos, test_every=0).arrays("test"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text(""), "is a file"),
        (lambda path: path.mkdir(), "contains no image"),
    ],
    ids=["missing", "file", "empty"],
)
def test_a_path_that_is_not_a_folder_of_images_is_refused(tmp_path, make, words: str) -> None:
    place = tmp_path / "place"
    make(place)
    with pytest.raises(UserError, match=words) as refusal:
        ImageFolder(place).prepare()
    assert str(place) in str(refusal.value)
    assert "data.root=" in str(refusal.value)


def test_a_folder_that_cannot_be_listed_is_named(photos: Path, monkeypatch) -> None:
    listing = os.scandir

    def forbidding(path):
        if Path(path).name == "pear":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    with pytest.raises(UserError, match=f"{photos / 'pear'} cannot be listed"):
        ImageFolder(photos).prepare()


def test_every_picture_that_other_verbs_read_is_trained_on(tmp_path: Path) -> None:
    forms = {"a.jpe": "JPEG", "b.jp2": "JPEG2000", "c.AVIF": "AVIF", "d.png": "PNG"}
    known = [name for name, form in forms.items() if form in Image.registered_extensions().values()]
    for k, name in enumerate(known):
        Image.new("RGB", (16, 16), (40 * k, 0, 0)).save(tmp_path / name, forms[name])
    source = ImageFolder(tmp_path, image_size=8, test_every=0, n_validation=0)
    source.prepare()
    assert source.n_train == len(known) == len(pictures_in([tmp_path])) >= 2


def test_hidden_files_are_skipped_and_looping_links_end(photos: Path) -> None:
    (photos / "apple" / ".hidden.png").write_bytes(b"")
    (photos / ".trash").mkdir()
    (photos / ".trash" / "x.png").write_bytes(b"")
    (photos / "apple" / "loop").symlink_to(photos)
    assert ImageFolder(photos, test_every=0).n_train == 20


@pytest.mark.parametrize(
    ("splits", "root", "test_root"),
    [
        (("train", "test"), "train", "test"),
        (("train", "val"), "train", "val"),
        (("Training", "validation", "Test"), "Training", "Test"),
        (("train", "training"), "train", None),
        (("test", "val"), "val", "test"),
        (("val", "validation"), "validation", "val"),
    ],
)
def test_split_folders_are_not_taken_for_classes(
    tmp_path: Path, splits: tuple[str, ...], root: str, test_root: str | None
) -> None:
    for name in splits:
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "a.png")
    fix = f"Set data.root={tmp_path / root}"
    fix += "." if test_root is None else f" and data.test_root={tmp_path / test_root}."
    with pytest.raises(UserError) as refusal:
        ImageFolder(tmp_path, test_every=0).prepare()
    assert str(refusal.value).endswith(fix)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test_every": 1}, "data.test_every=1"),
        ({"image_size": 64, "resize": 32}, "data.resize=64"),
    ],
)
def test_impossible_options_are_refused_at_once(options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        ImageFolder("anywhere", **options)


def test_a_file_that_vanishes_is_named(photos: Path) -> None:
    source = ImageFolder(photos, image_size=8, workers=0)
    source.prepare()
    for path in photos.rglob("*.webp"):
        path.unlink()
    with pytest.raises(UserError, match=r"\.webp could be read when the folder was checked"):
        take(source, 3)


def test_workers_are_at_most_one_per_core(photos: Path, monkeypatch) -> None:
    asked = {}
    loader = folders.DataLoader

    def spying(*args, **options):
        asked.update(options)
        return loader(*args, **{**options, "num_workers": 0})

    monkeypatch.setattr(folders, "DataLoader", spying)
    take(ImageFolder(photos, image_size=8, workers=10_000), 1)
    assert asked["num_workers"] == len(os.sched_getaffinity(0))


def test_copies_of_a_test_image_are_not_trained_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(12):
        picture = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
        for copy in range(3):
            picture.save(tmp_path / f"{k}-{copy}.png")
    source = ImageFolder(tmp_path, image_size=8, test_every=5)
    train, test = (
        {pixels.numpy().tobytes() for chunk, _ in source.arrays(split) for pixels in chunk}
        for split in ("train", "test")
    )
    assert test and train and not train & test


def test_a_pipe_or_a_device_is_reported_and_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(4):
        Image.new("L", (8, 8), 60 * k).save(tmp_path / f"{k}.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").symlink_to(tmp_path / "nowhere")
    shutil.copy(tmp_path / "0.png", os.fsencode(tmp_path) + b"/\xff.png")
    with pytest.raises(UserError, match="4 of 8 images"):
        ImageFolder(tmp_path, image_size=8, workers=0).count("train")
    folder = ImageFolder(tmp_path, image_size=8, workers=0, on_corrupt="skip", test_every=0)
    assert folder.count("train") == 4
    faults = {file.name: file.fault for file in census.examine(tmp_path)}
    assert faults["pipe.png"] == faults["zero.png"] == "it is not a regular file"
    assert faults["\udcff.png"] == "its name is not UTF-8"
    capsys.readouterr()
    with pytest.raises(UnreadableImageError, match="not a regular file"):
        open_image(tmp_path / "pipe.png")


@pytest.mark.parametrize("option", ["test_every", "n_validation"])
def test_every_class_keeps_images_to_train_on(tmp_path, option: str) -> None:
    """40 classes of one image, among them test images; and one of 200."""
    rng = np.random.default_rng(0)
    for name in [f"rare{k}/only" for k in range(40)] + [f"many/{k}" for k in range(200)]:
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    splits = {"test_every": 0, "n_validation": 0, option: 10 if option == "test_every" else 24}
    source = ImageFolder(tmp_path / "photos", image_size=8, **splits)
    held_out = "test" if option == "test_every" else "validation"
    assert source.n_classes == 41
    assert source.labels_of("train").unique().tolist() == list(range(41))
    assert source.labels_of(held_out).unique().tolist() == [0]
    assert source.n_train + source.count(held_out) == 240
    assert source.count(held_out) >= 20  # the share of the large class, or more


def test_a_rare_class_with_copies_is_not_held_out_whole(photos: Path) -> None:
    """Copies of one image are in one split."""
    for number in range(2):
        (photos / "quince").mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), "yellow").save(photos / "quince" / f"{number}.png")
    for seen in range(2, 23):
        source = ImageFolder(photos, image_size=8, test_every=seen)
        assert source.class_names == ["apple", "pear", "quince"]
        assert source.n_train + source.n_test == 22
        assert 2 in source.labels_of("train")


def test_images_of_the_test_folder_are_not_trained_on(photos: Path, tmp_path, capsys) -> None:
    (tmp_path / "tests" / "apple").mkdir(parents=True)
    for number in (1, 3):
        shutil.copy(next((photos / "apple").glob(f"{number}.*")), tmp_path / "tests" / "apple")
    source = ImageFolder(photos, image_size=8, test_root=tmp_path / "tests")
    assert (source.n_train, source.n_test, source.class_names) == (18, 2, ["apple", "pear"])
    assert "2 of 20 images" in capsys.readouterr().err
    alone = ImageFolder(photos, image_size=8, test_root=photos)
    with pytest.raises(UserError, match="is left to train on.*another data.test_root"):
        alone.prepare()


def test_copies_of_one_image_are_no_data_set(tmp_path: Path) -> None:
    for number in range(10):
        Image.new("L", (8, 8)).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match="all are copies of held-out ones.*data.test_every=0"):
        ImageFolder(tmp_path, image_size=8).prepare()
    assert ImageFolder(tmp_path, image_size=8, test_every=0).n_train == 10


def test_a_worker_names_a_file_that_vanishes_without_a_traceback(photos: Path) -> None:
    source = ImageFolder(photos, image_size=8, workers=1)
    source.prepare()
    shutil.rmtree(photos)
    with pytest.raises(UserError, match=r"^\S+/photos/\S+ could be read when"):
        take(source, 1)
