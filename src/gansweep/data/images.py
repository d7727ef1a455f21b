"""Named image sets: digits comes with scikit-learn, the others are downloaded."""

import gzip
import importlib.util
import os
import sys
import zlib
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansweep.config.ranges import Side
from gansweep.data.decode import UnreadableImageError, open_image, resize_all, square
from gansweep.data.download import Archive, fetch, locked
from gansweep.data.resident import ResidentSource
from gansweep.data.source import Arrays, Split
from gansweep.errors import UserError
from gansweep.records.drafts import drafted, remove_drafts


class ImageSet(ResidentSource):
    """A named set of square images. Another `image_size` resizes them with antialias."""

    channels: int
    native_size: int
    classes: tuple[str, ...] | None

    def __init__(self, image_size: Side | None = None, **resident: Any) -> None:
        super().__init__(**resident)
        self.image_size = image_size or self.native_size

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, self.image_size, self.image_size)

    @property
    def class_names(self) -> list[str] | None:
        return None if self.classes is None else list(self.classes)

    @abstractmethod
    def read_native(self, split: Split) -> Arrays:
        """Returns: uint8 (N, C, H, W) in the set's native size, and int64 (N,) labels or None."""

    def read(self, split: Split) -> Arrays:
        images, labels = self.read_native(split)
        return resize_all(images, self.image_size), labels


class Digits(ImageSet):
    """1,797 handwritten digits of 8x8 pixels (UCI, 1998), shipped inside scikit-learn.

    Every fifth image of each class is a test image: 1,437 training images, 360 test images.
    """

    name = "digits"
    channels, native_size = 1, 8
    classes = tuple("0123456789")

    def read_native(self, split: Split) -> Arrays:
        table = self._table()
        labels = table[:, 64].astype(np.int64)
        test = np.zeros(len(labels), dtype=bool)
        test[np.argsort(labels, kind="stable")[::5]] = True
        rows = test if split == "test" else ~test
        pixels = np.round(table[rows, :64] * (255 / 16)).astype(np.uint8)  # values 0 to 16
        return torch.from_numpy(pixels.reshape(-1, 1, 8, 8)), torch.from_numpy(labels[rows])

    @staticmethod
    def _table() -> np.ndarray:
        """(1797, 65): 64 pixels and the label."""
        spec = importlib.util.find_spec("sklearn")
        for place in (spec.submodule_search_locations if spec else None) or ():
            file = Path(place, "datasets", "data", "digits.csv.gz")
            if file.exists():  # importing scikit-learn for one small table would take a second
                return np.loadtxt(file, delimiter=",")
        from sklearn.datasets import load_digits

        digits = load_digits()
        return np.column_stack([digits.data, digits.target])


class DownloadedSet(ImageSet):
    """A set that torchvision downloads to `root` if it is not there."""

    archive: Archive

    def __init__(
        self, root: str | Path = "data", image_size: Side | None = None, **resident: Any
    ) -> None:
        super().__init__(image_size, **resident)
        self.root = Path(root).expanduser()

    def is_there(self) -> bool:
        """Whether the files exist, so that no download is needed."""
        return all((self.root / self.archive.folder / file).exists() for file in self.archive.files)

    def download(self) -> object:
        """Download and unpack everything below `root`, by torchvision's class of the same name."""
        import torchvision.datasets  # type: ignore[import-untyped]

        return getattr(torchvision.datasets, type(self).__name__)(self.root, download=True)

    def read(self, split: Split) -> Arrays:
        """Download the set if it is missing (under a lock), then read the split.

        Raises: UserError if it cannot be downloaded, or if a file is damaged or incomplete.
        """
        with locked(self.root / f".{self.name}.lock"):
            if not self.is_there():
                fetch(self.name, self.root, self.archive, self.download)
            try:
                return super().read(split)
            except (OSError, EOFError, RuntimeError, ValueError, zlib.error) as error:
                folder = (self.root / self.archive.folder).absolute()
                raise UserError(
                    f"data={self.name} cannot be read: {error}. The file is damaged or incomplete. "
                    f"Delete it (or all of {folder}) and run the same command again, which "
                    "downloads it again."
                ) from error


class MNIST(DownloadedSet):
    """70,000 handwritten digits (LeCun et al. 1998), 28x28: four idx files, gzip or not."""

    name = "mnist"
    channels, native_size = 1, 28
    classes = tuple("0123456789")
    idx_files = tuple(
        f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    )  # fmt: skip
    archive = Archive("MNIST/raw", idx_files, "", 12, 67)

    def is_there(self) -> bool:
        return all(self._find(file) for file in self.idx_files)

    def read_native(self, split: Split) -> Arrays:
        images, labels = self.idx_files[:2] if split == "train" else self.idx_files[2:]
        pixels, classes = self._read(images), self._read(labels)
        if len(pixels) != len(classes):
            raise ValueError(f"{len(pixels)} images in {images}, {len(classes)} labels in {labels}")
        return torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(classes).long()

    def _find(self, file: str) -> Path | None:
        """The file in `root` itself (Debian, copies by hand) or in torchvision's folder."""
        places = (folder / name for folder in (self.root, self.root / self.archive.folder)
                  for name in (file, file.removesuffix(".gz")))  # fmt: skip
        return next((place for place in places if place.is_file()), None)

    def _read(self, file: str) -> np.ndarray:
        path = self._find(file)
        assert path is not None, file
        try:
            return _read_idx(path)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise ValueError(f"{path}: {error}") from error


class FashionMNIST(MNIST):
    """70,000 articles of clothing (Xiao et al. 2017, arXiv:1708.07747), 28x28."""

    name = "fashion_mnist"
    classes = ("T-shirt", "trouser", "pullover", "dress", "coat",
               "sandal", "shirt", "sneaker", "bag", "ankle boot")  # fmt: skip
    archive = Archive("FashionMNIST/raw", MNIST.idx_files, "", 31, 86)


class KMNIST(MNIST):
    """70,000 cursive Japanese characters (Clanuwat et al. 2018, arXiv:1812.01718), 28x28."""

    name = "kmnist"
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    archive = Archive("KMNIST/raw", MNIST.idx_files, "", 21, 77)


class CIFAR10(DownloadedSet):
    """60,000 colour photographs of 10 classes (Krizhevsky 2009), 32x32."""

    name = "cifar10"
    channels, native_size = 3, 32
    classes = ("airplane", "automobile", "bird", "cat", "deer",
               "dog", "frog", "horse", "ship", "truck")  # fmt: skip
    archive = Archive(
        "cifar-10-batches-py",
        (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"),
        "cifar-10-python.tar.gz", 171, 357,
    )  # fmt: skip

    def read_native(self, split: Split) -> Arrays:
        import torchvision.datasets

        # checks every file's hash
        stored = torchvision.datasets.CIFAR10(self.root, train=split == "train")
        images = torch.from_numpy(stored.data).permute(0, 3, 1, 2).contiguous()
        return images, torch.tensor(stored.targets)


class STL10(DownloadedSet):
    """Photographs of 10 classes, 96x96 (Coates et al. 2011): 5,000 training, 8,000 test images.

    unlabelled: train on the 100,000 images without labels instead, as most GAN papers do: 0.7 GB
        at image_size=48, 2.8 GB at 96.
    """

    name = "stl10"
    channels, native_size = 3, 96
    archive = Archive(
        "stl10_binary",
        ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin"),
        "stl10_binary.tar.gz", 2_641, 5_770,
    )  # fmt: skip
    labelled_classes = ("airplane", "bird", "car", "cat", "deer",
                        "dog", "horse", "monkey", "ship", "truck")  # fmt: skip

    def __init__(
        self,
        root: str | Path = "data",
        image_size: Side | None = None,
        unlabelled: bool = False,
        **resident: Any,
    ) -> None:
        super().__init__(root, image_size, **resident)
        self.unlabelled = unlabelled
        self.classes = None if unlabelled else self.labelled_classes

    def read_native(self, split: Split) -> Arrays:
        """Raises: ValueError if the numbers of images and labels differ."""
        folder = self.root / self.archive.folder
        part = "unlabeled" if split == "train" and self.unlabelled else split
        # a memory map, so that 2.8 GB are read chunk by chunk; the file has columns before rows
        pixels = np.memmap(folder / f"{part}_X.bin", dtype=np.uint8, mode="c")
        images = torch.from_numpy(pixels).reshape(-1, 3, 96, 96).transpose(2, 3)
        if self.unlabelled:
            return images, None
        labels = np.fromfile(folder / f"{part}_y.bin", dtype=np.uint8).astype(np.int64) - 1
        if len(labels) != len(images):
            raise ValueError(f"{part}_X.bin has {len(images)} images, {part}_y.bin {len(labels)}")
        return images, torch.from_numpy(labels)


class CelebA(DownloadedSet):
    """202,599 faces (Liu et al. 2015), cropped to the largest centre square, resized; no labels.

    162,770 training, 19,867 validation and 19,962 test images. The first use decodes them into one
    file beside the photographs (2.0 GB at 64x64), which later runs map into memory.
    """

    name = "celeba"
    channels, native_size = 3, 64
    classes = None
    has_validation = True
    archive = Archive(
        "celeba", ("img_align_celeba", "list_eval_partition.txt"),
        "celeba/img_align_celeba.zip", 1_470, 5_200,
    )  # fmt: skip

    def download(self) -> object:
        if importlib.util.find_spec("gdown") is None:
            raise RuntimeError("the download needs the package gdown: pip install gdown")
        return super().download()

    def read_native(self, split: Split) -> Arrays:
        stored = self.root / self.archive.folder / f"gansweep-{split}-{self.image_size}.npy"
        if not stored.exists():
            self._decode_all(split, stored)
        return torch.from_numpy(np.load(stored, mmap_mode="c")), None

    def _decode_all(self, split: Split, stored: Path) -> None:
        wanted = {"train": "0", "validation": "1", "test": "2"}[split]
        folder = self.root / self.archive.folder
        lines = (folder / "list_eval_partition.txt").read_text().splitlines()
        names = [line.split()[0] for line in lines if line.split()[-1:] == [wanted]]
        remove_drafts(folder)
        with drafted(stored) as draft:
            pixels = np.lib.format.open_memmap(
                draft, "w+", np.uint8, (len(names), 3, self.image_size, self.image_size)
            )
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                squares = pool.map(lambda name: self._square(folder, name), names)
                for row, image in enumerate(squares):
                    pixels[row] = image
                    if row % 20_000 == 0:
                        print(f"gansweep: decoding {split} faces (only once): {row:,} of "
                              f"{len(names):,}", file=sys.stderr, flush=True)  # fmt: skip
            pixels.flush()

    def _square(self, folder: Path, name: str) -> np.ndarray:
        try:
            image = open_image(folder / "img_align_celeba" / name)
        except UnreadableImageError as error:
            raise ValueError(f"img_align_celeba/{name}: {error}") from error
        return square(image, self.image_size, 3).numpy()


def _read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an idx file, with or without gzip.

    Raises: ValueError, EOFError or OSError if it is another kind of file or incomplete.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError("not an idx file of unsigned bytes")
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4).astype(int)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    if values.size != shape.prod():
        raise ValueError(f"it has {values.size} values, its header says {shape.prod()}")
    return values.reshape(shape).copy()
