"""The named image sets: their content, and the errors if they cannot be read."""

import errno
import fcntl
import gzip
import multiprocessing
import shutil
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from idx_files import idx, write_idx_files
from PIL import Image

from gansweep.data import images as named
from gansweep.data.download import locked
from gansweep.data.images import CIFAR10, KMNIST, MNIST, STL10, CelebA, Digits, FashionMNIST
from gansweep.errors import UserError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def test_digits_are_those_of_scikit_learn_in_two_stratified_parts() -> None:
    from sklearn.datasets import load_digits

    source, known = Digits(), load_digits()
    assert (source.n_train, source.n_test, source.shape, source.n_classes) == (
        1437, 360, (1, 8, 8), 10)  # fmt: skip
    rows = Counter()
    for split in ("train", "test"):
        for pixels, labels in source.arrays(split):
            values = (pixels.double() * 16 / 255).round().flatten(1).byte().numpy()
            rows.update(zip(map(bytes, values), labels.tolist(), strict=True))
    expected = zip(map(bytes, known.data.astype(np.uint8)), known.target.tolist(), strict=True)
    assert rows == Counter(expected)
    test_counts = torch.cat([labels for _, labels in source.arrays("test")]).bincount()
    assert test_counts.min() >= 34
    assert test_counts.max() <= 38


def test_digits_reach_both_ends_of_the_range_and_grow_on_request() -> None:
    for size in (None, 32):
        pixels = torch.cat([p for p, _ in Digits(image_size=size).arrays("train")])
        assert pixels.shape[1:] == (1, size or 8, size or 8)
        assert (pixels.min(), pixels.max()) == (0, 255)


def test_digits_can_be_read_if_scikit_learn_moves_its_file(monkeypatch) -> None:
    usual = Digits().fingerprint("train")
    monkeypatch.setattr(named.importlib.util, "find_spec", lambda name: None)
    assert Digits().fingerprint("train") == usual


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_read_in_place_from_debian() -> None:
    source = FashionMNIST(root=DEBIAN)
    assert (source.n_train, source.n_test, source.shape) == (60_000, 10_000, (1, 28, 28))
    labels = torch.cat([labels for _, labels in source.arrays("test")])
    assert labels.bincount().tolist() == [1000] * 10
    pixels = torch.cat([pixels for pixels, _ in source.arrays("test")]).double()
    assert pixels.mean() / 255 == pytest.approx(0.2868, abs=1e-3)
    small = FashionMNIST(root=DEBIAN, image_size=14)
    assert next(small.arrays("test"))[0].shape == (1000, 1, 14, 14)


def test_missing_files_are_downloaded_after_a_message(tmp_path, monkeypatch, capsys) -> None:
    import torchvision.datasets.mnist as theirs

    fetched = []

    def fake(url: str, download_root: str, filename: str, md5: str) -> None:
        output = capsys.readouterr().err
        if not fetched:
            assert "Downloading about 12 MB" in output
            assert str(tmp_path / "new" / "MNIST" / "raw") in output
        fetched.append(filename)
        if len(fetched) == 4:
            write_idx_files(Path(download_root))
            for packed in Path(download_root).glob("*.gz"):
                packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))

    monkeypatch.setattr(theirs, "download_and_extract_archive", fake)
    source = MNIST(root=tmp_path / "new")
    source.prepare()
    assert sorted(fetched) == sorted(MNIST.idx_files)
    assert (source.n_train, source.shape) == (6, (1, 28, 28))
    assert next(source.arrays("train"))[1].tolist() == list(range(6))
    MNIST(root=tmp_path / "new").prepare()
    assert len(fetched) == 4
    assert "Downloading" not in capsys.readouterr().err


def test_idx_files_copied_to_the_root_need_no_download(tmp_path) -> None:
    write_idx_files(tmp_path)
    source = KMNIST(root=tmp_path)
    pixels, labels = next(source.arrays("test"))
    assert pixels[:, 0, 0, 0].tolist() == labels.tolist() == list(range(6))
    assert (pixels[:, 0, 1] == 1).all()


@pytest.mark.parametrize(
    ("source", "place", "files"),
    [
        (MNIST, "MNIST/raw", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]),
        (CIFAR10, "cifar-10-batches-py", ["data_batch_1", "cifar-10-python.tar.gz"]),
        (STL10, "stl10_binary", ["unlabeled_X.bin", "stl10_binary.tar.gz"]),
        (CelebA, "celeba", ["img_align_celeba", "list_eval_partition.txt"]),
    ],
)
def test_offline_error_names_files_place_and_alternative(
    source, place, files, tmp_path, monkeypatch, capsys
) -> None:
    def offline(self) -> None:
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setattr(source, "download", offline)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 0, 10**12))
    with pytest.raises(UserError) as refusal:
        source(root=tmp_path).prepare()
    output = str(refusal.value)
    assert all(file in output for file in files)
    assert f"Expected in {tmp_path / place}" in output
    assert "name resolution" in output
    assert "data.root=" in output
    assert "data=digits" in output
    assert "dataset-fashion-mnist" in output
    assert "\n" not in output
    assert capsys.readouterr().err.startswith("gansweep: data=")


def test_celeba_without_gdown_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(named.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 0, 10**12))
    with pytest.raises(UserError, match="pip install gdown"):
        CelebA(root=tmp_path).prepare()


def test_a_disk_too_small_is_refused_before_the_download(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 10**6))
    monkeypatch.setattr(CIFAR10, "download", lambda self: pytest.fail("it downloads"))
    with pytest.raises(UserError, match="needs 357 MB .* only 1 MB are free"):
        CIFAR10(root=tmp_path).prepare()


def test_a_disk_that_fills_up_is_named(tmp_path, monkeypatch) -> None:
    def full(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MNIST, "download", full)
    with pytest.raises(UserError, match="the disk is full"):
        MNIST(root=tmp_path).prepare()


def test_a_root_that_cannot_be_written_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr(MNIST, "download", lambda self: pytest.fail("it downloads"))
    with pytest.raises(UserError, match="cannot be written to"):
        MNIST(root=tmp_path).prepare()


@pytest.mark.parametrize("damage", ["cut", "other", "short"])
def test_a_damaged_file_is_named_with_the_fix(damage: str, tmp_path) -> None:
    write_idx_files(tmp_path)
    broken = tmp_path / "train-images-idx3-ubyte.gz"
    content = {
        "cut": broken.read_bytes()[:-20],
        "other": b"<html>not found</html>",
        "short": idx(np.zeros((6, 28, 28), np.uint8)[:5]),
    }[damage]
    broken.write_bytes(content)
    with pytest.raises(UserError, match="train-images-idx3-ubyte.gz.*Delete it"):
        MNIST(root=tmp_path).prepare()


def _hold(path: Path, ready, release) -> None:
    with locked(path):
        ready.set()
        release.wait(20)


def test_a_second_process_waits_for_the_first_ones_download(tmp_path, monkeypatch) -> None:
    context = multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / ".mnist.lock", ready, release))
    other.start()
    assert ready.wait(20)

    from threading import Thread

    source = MNIST(root=tmp_path)
    monkeypatch.setattr(MNIST, "download", lambda self: pytest.fail("both download"))
    waiting = Thread(target=source.prepare)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    write_idx_files(tmp_path)
    release.set()
    waiting.join(20)
    other.join(20)
    assert source.n_train == 6


def test_a_lock_in_a_folder_that_cannot_be_made_is_skipped(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with locked(tmp_path / "file" / "below" / ".lock"):
        assert (tmp_path / "file").read_text() == ""


def test_a_lock_in_a_file_system_without_locks_is_skipped(tmp_path, monkeypatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    write_idx_files(tmp_path)
    assert MNIST(root=tmp_path).n_train == 6


def test_stl10_turns_its_columns_into_rows(tmp_path) -> None:
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 3, 96, 96), dtype=np.uint8)
    for part in ("train", "test", "unlabeled"):
        stored = pictures[:2] if part == "train" else pictures
        stored.transpose(0, 1, 3, 2).tofile(folder / f"{part}_X.bin")
        np.arange(1, len(stored) + 1, dtype=np.uint8).tofile(folder / f"{part}_y.bin")
    source = STL10(root=tmp_path)
    pixels, labels = next(source.arrays("train"))
    assert np.array_equal(pixels.numpy(), pictures[:2])
    assert labels.tolist() == [0, 1]
    free = STL10(root=tmp_path, unlabelled=True, image_size=48)
    assert (free.n_train, free.n_classes, free.shape) == (3, None, (3, 48, 48))
    batch = next(free.train_batches(3, seed=0, device="cpu"))
    assert batch.images.shape == (3, 3, 48, 48)
    assert batch.labels is None


def test_celeba_decodes_the_centre_square_once(tmp_path, capsys) -> None:
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{k:06d}.jpg" for k in range(5)]
    for k, name in enumerate(names):
        image = Image.new("RGB", (178, 218), "blue")
        image.paste((40 * k, 0, 0), (0, 20, 178, 198))  # the centre square
        image.save(folder / "img_align_celeba" / name, quality=100)
    splits = zip(names, (0, 0, 1, 2, 0), strict=True)
    (folder / "list_eval_partition.txt").write_text("\n".join(f"{n} {s}" for n, s in splits) + "\n")
    source = CelebA(root=tmp_path, image_size=16)
    pixels, labels = next(source.arrays("train"))
    assert labels is None
    assert (source.n_train, source.n_test, source.shape) == (3, 1, (3, 16, 16))
    assert pixels[:, 0, 8, 8].tolist() == pytest.approx([0, 40, 160], abs=3)
    assert pixels[:, 2].max() < 60  # no blue from the parts above and below
    assert "once" in capsys.readouterr().err
    shutil.rmtree(folder / "img_align_celeba")
    (folder / "img_align_celeba").mkdir()
    assert torch.equal(next(CelebA(root=tmp_path, image_size=16).arrays("train"))[0], pixels)
    assert not list(folder.glob(".gansweep*"))


def test_a_broken_face_is_named_and_nothing_half_decoded_stays(tmp_path) -> None:
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    (folder / "img_align_celeba" / "000001.jpg").write_bytes(b"no image")
    (folder / "list_eval_partition.txt").write_text("000001.jpg 0\n")
    with pytest.raises(UserError, match="img_align_celeba/000001.jpg"):
        CelebA(root=tmp_path).prepare()
    assert not list(folder.glob("*.npy")) + list(folder.glob(".*.npy*"))


def test_cifar10_is_read_through_torchvision(tmp_path, monkeypatch) -> None:
    import torchvision.datasets

    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)

    class Stored:
        def __init__(self, root: Path, train: bool, download: bool = False) -> None:
            assert (root, download) == (tmp_path, False)
            self.data = pictures if train else pictures[:1]
            self.targets = [3, 1, 0, 2] if train else [9]

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Stored)
    (tmp_path / "cifar-10-batches-py").mkdir()
    for file in CIFAR10.archive.files:
        (tmp_path / "cifar-10-batches-py" / file).touch()
    source = CIFAR10(root=tmp_path)
    pixels, labels = next(source.arrays("train"))
    assert np.array_equal(pixels.permute(0, 2, 3, 1).numpy(), pictures)
    assert labels.tolist() == [3, 1, 0, 2]
    assert source.n_test == 1
