"""A data set from any folder of images, streamed from the disk. Class folders become labels."""

import copy
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gansweep.config.ranges import Count, CountOrNone, Range, Seed, Side
from gansweep.data.batch import Batch
from gansweep.data.census import ImageFile, examine
from gansweep.data.decode import UnreadableImageError, open_image, square
from gansweep.data.few_labels import PartlyLabelled
from gansweep.data.order import EndlessOrder, Streams, generator_for
from gansweep.data.source import Arrays, DataSource, Share, Split
from gansweep.data.validation import validation_count, validation_rows
from gansweep.errors import UserError, nearest, tell

CHUNK = 256
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation"}


class Pick(NamedTuple):
    """One image to decode, with its random crop position and flip."""

    row: int
    top: float = 0.5
    left: float = 0.5
    flip: bool = False


@dataclass
class SquareImages(Dataset[tuple[Tensor, int]]):
    """The files of one split as (channels, size, size) uint8 squares, for a DataLoader.

    paths, labels: one per image; a label is -1 if the folder has no classes.
    """

    paths: list[Path]
    labels: list[int]
    channels: int
    size: int
    resize: int | None

    def __getitem__(self, pick: Pick) -> tuple[Tensor, int]:
        path = self.paths[pick.row]
        try:
            image = open_image(path)
        except UnreadableImageError as error:
            raise UserError(
                f"{path} could be read when the folder was checked, but cannot be read now "
                f"({error}). Restore the file, or start again, which checks the folder again."
            ) from error
        pixels = square(image, self.size, self.channels, resize=self.resize,
                        top=pick.top, left=pick.left)  # fmt: skip
        return pixels.flip(-1) if pick.flip else pixels, self.labels[pick.row]


class ImageFolder(PartlyLabelled):
    """A folder of image files of any size, cropped to squares.

    The first use decodes every file once to find unreadable ones, and stores the result in the
    user's cache folder.

    root: the folder. If every image is in one of two or more sub-folders, these are the classes.
    image_size: side of the square.   resize: short side before the crop; None: image_size.
    crop: "center" or "random" (only in training).   flip: mirror with probability 1/2.
    channels: "auto" is 1 if every file is grey, else 3.
    on_corrupt: "stop" with an error that names the file, or "skip" such files with a message.
    test_root: a folder of test images, of which no copy is trained on; None: every `test_every`-th
        file (0: no test split), but for a class that would have no other.
    workers: decoding processes, at most one per core; 0: decode between the training steps.
    n_labels: training images with known labels, which as many additional processes decode; None:
        all.   label_seed: selects these images, see few_labels.py.
    n_validation: training images to set aside, with their copies, see validation.py; None: a tenth.
    """

    def __init__(
        self,
        root: str | Path,
        image_size: Side = 64,
        channels: Literal["auto", 1, 3] = "auto",
        resize: Side | None = None,
        crop: Literal["center", "random"] = "center",
        flip: bool = False,
        on_corrupt: Literal["stop", "skip"] = "stop",
        test_root: str | Path | None = None,
        test_every: CountOrNone = 10,
        workers: Annotated[int, Range(0, 256)] = 4,
        n_labels: Count | None = None,
        label_seed: Seed = 0,
        n_validation: CountOrNone | None = 0,
    ) -> None:
        self.root = Path(root).expanduser()
        self.name = self.root.absolute().name
        self.test_root = None if test_root is None else Path(test_root).expanduser()
        self.image_size = image_size
        self.channels = channels
        self.resize = resize
        self.random_crop = crop == "random"
        self.flip = flip
        self.skip_corrupt = on_corrupt == "skip"
        self.test_every = test_every
        self.workers = workers
        self.n_labels = n_labels
        self.label_seed = label_seed
        self._wanted_validation = n_validation
        self._fingerprints: dict[Split, str] = {}
        self._found: dict[Path, list[ImageFile]] = {}
        if test_every == 1:
            raise UserError("data.test_every=1 leaves no training image: set 2 or more, or 0.")
        if resize is not None and resize < image_size:
            raise UserError(
                f"data.resize={resize} is smaller than data.image_size={image_size}, so no crop of "
                f"that size exists. Set data.resize={image_size} or more."
            )

    @property
    def n_set_aside(self) -> int:
        return self.count("validation")

    @property
    def undivided(self) -> DataSource:
        if not self._files["validation"]:
            return self
        whole = copy.copy(self)
        whole._wanted_validation, whole._fingerprints = 0, {}
        whole._files = {**self._files, "train": self._parts["train"], "validation": []}
        return whole

    @cached_property
    def _files(self) -> dict[Split, list[ImageFile]]:
        """The readable files of each split."""
        files, test = self._parts["train"], self._parts["test"]
        self._refuse_none(files)
        count = validation_count(self._wanted_validation, len(files), self.name)
        numbers = self._labels(files, self.root)
        labels = None if numbers is None else torch.tensor(numbers)
        rows = validation_rows(count, len(files), labels)
        train, validation = _parted(files, [files[row] for row in rows.tolist()])
        self._refuse_none(train)
        return {"train": train, "validation": validation, "test": test}

    def _refuse_none(self, train: list[ImageFile]) -> None:
        if not train:
            raise UserError(
                f"No image of {self.root} is left to train on: all are copies of held-out ones. "
                "Add other images, or hold none out: data.n_validation=0, and data.test_every=0 or "
                "another data.test_root."
            )

    @cached_property
    def _parts(self) -> dict[Split, list[ImageFile]]:
        """The readable files of "train", including those to set aside, and of "test"."""
        files = self._readable(self.root)
        if self.test_root is not None:
            test = self._readable(self.test_root)
            contents = {file.content for file in test}
            train = [file for file in files if file.content not in contents]
            if len(train) < len(files):
                tell(
                    f"gansweep: {len(files) - len(train)} of {len(files)} images of {self.root} "
                    f"are in data.test_root={self.test_root}, too: no training image is one of "
                    "them."
                )
            return {"train": train, "test": test}
        if self.test_every == 0:
            return {"train": files, "test": []}
        train, test = _parted(files, files[self.test_every - 1 :: self.test_every])
        return {"train": train, "test": test}

    def _readable(self, root: Path) -> list[ImageFile]:
        if root not in self._found:
            self._found[root] = self._without_faults(root, examine(root))
        return self._found[root]

    def _without_faults(self, root: Path, files: list[ImageFile]) -> list[ImageFile]:
        good = [file for file in files if not file.fault]
        if len(good) == len(files):
            return good
        first = next(file for file in files if file.fault)
        count = f"{len(files) - len(good)} of {len(files)} images of {root} cannot be read"
        example = f"the first is {root / first.name} ({first.fault})"
        if not self.skip_corrupt or not good:
            raise UserError(
                f"{count}; {example}. Repair or remove these files, or skip them with "
                "data.on_corrupt=skip."
            )
        tell(f"gansweep: {count} and are skipped; {example}.")
        return good

    @cached_property
    def _classes(self) -> list[str] | None:
        classes = sorted({_folder(file) for file in self._readable(self.root)})
        if "" in classes or len(classes) < 2:
            return None
        if {name.lower() for name in classes} <= SPLIT_NAMES:
            raise UserError(
                f"data.root={self.root} contains the folders {', '.join(classes)}, which look like "
                f"splits, not classes. Set {_roots(self.root, classes)}."
            )
        return classes

    def labels_of(self, split: Split) -> Tensor | None:
        """From the names of the files: no image is decoded."""
        self.check_split(split)
        return None if self._classes is None else torch.tensor(self._squares(split).labels)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        channels = self.channels
        if channels == "auto":
            shown = [*self._files["train"], *self._files["validation"]]
            channels = 1 if all(file.grey for file in shown) else 3
        return (channels, self.image_size, self.image_size)

    @property
    def class_names(self) -> list[str] | None:
        return self._classes

    def count(self, split: Split) -> int:
        return len(self._files[split])

    def _endless(self, share: Share, among: Tensor | None, streams: Streams) -> Iterator[Batch]:
        loader = DataLoader(
            self._squares("train"),
            batch_sampler=self._picks(share, among, streams),
            num_workers=min(self.workers, len(os.sched_getaffinity(0))),
            pin_memory=share.device.type == "cuda",
            # own generator: else the loader would draw from torch's global one
            generator=torch.Generator().manual_seed(0),
        )
        # one pass over an endless sampler, so that the workers start only once
        for pixels, labels in _in_own_words(loader):
            images = pixels.to(share.device, non_blocking=True).to(share.dtype).div_(127.5).sub_(1)
            known = self._classes is not None
            yield Batch(images, labels.to(share.device, non_blocking=True) if known else None)

    def _picks(self, share: Share, among: Tensor | None, streams: Streams) -> Iterator[list[Pick]]:
        """This process's share of every batch.   among: the rows to draw from; None: all."""
        among = torch.arange(self.n_train) if among is None else among
        order = EndlessOrder(len(among), share.seed, stream=streams.order)
        for start in itertools.count(share.start_image, share.batch_size):
            rows = among[order.rows(start, share.batch_size)[share.rows]].tolist()
            draw = generator_for(share.seed, start // share.batch_size, streams.chances)
            drawn = torch.rand(share.batch_size, 3, generator=draw)
            chances = drawn[share.rows].tolist()
            picks = [
                Pick(row, top, left, self.flip and flip < 0.5)
                for row, (top, left, flip) in zip(rows, chances, strict=True)
            ]
            yield picks if self.random_crop else [p._replace(top=0.5, left=0.5) for p in picks]

    def arrays(self, split: Split, limit: int | None = None) -> Iterator[Arrays]:
        """In the order of the files, which is random: `limit` takes the first ones."""
        self.check_split(split)
        squares = self._squares(split)
        end = len(squares.paths) if limit is None else min(limit, len(squares.paths))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in range(0, end, CHUNK):
                rows = range(start, min(start + CHUNK, end))
                pixels, labels = zip(*pool.map(squares.__getitem__, map(Pick, rows)), strict=True)
                yield torch.stack(pixels), None if self._classes is None else torch.tensor(labels)

    def fingerprint(self, split: Split) -> str:
        """A hash over the contents and labels of the files and the image size."""
        if split not in self._fingerprints:
            self.check_split(split)
            labels = self._squares(split).labels
            content = hashlib.blake2b(repr((self.shape, self.resize)).encode(), digest_size=8)
            for row in sorted(zip((f.content for f in self._files[split]), labels, strict=True)):
                content.update(repr(row).encode())
            self._fingerprints[split] = content.hexdigest()
        return self._fingerprints[split]

    def _squares(self, split: Split) -> SquareImages:
        root = self.root if split != "test" or self.test_root is None else self.test_root
        files = self._files[split]
        labels = self._labels(files, root) or [-1] * len(files)
        paths = [root / file.name for file in files]
        return SquareImages(paths, labels, self.shape[0], self.image_size, self.resize)

    def _labels(self, files: list[ImageFile], root: Path) -> list[int] | None:
        """The numbers of the files' classes; None without classes."""
        if self._classes is None:
            return None
        number = {name: k for k, name in enumerate(self._classes)}
        owners = [file.name.split("/")[0] for file in files]
        foreign = sorted(set(owners) - set(number))
        if foreign:
            raise UserError(
                f"{root} contains {foreign[0]}, which is not a class of {self.root} "
                f"({', '.join(self._classes)}).{nearest(foreign[0], self._classes)} "
                "Rename it, or move it out of data.test_root."
            )
        return [number[owner] for owner in owners]


def _in_own_words(loader: Iterable[Any]) -> Iterator[Any]:
    """What a loader loads.   Raises: UserError without the traceback of the worker it is from."""
    try:
        yield from loader
    except UserError as error:
        raise UserError(str(error).rpartition("UserError: ")[2].strip()) from None


def _parted(
    files: list[ImageFile], held_out: list[ImageFile]
) -> tuple[list[ImageFile], list[ImageFile]]:
    """Returns: training files and held-out files. A copy of a held-out file is held out too.

    A class that would have no training file keeps all of its files for the training.
    """
    contents = {file.content for file in held_out}
    rest = {_folder(file) for file in files if file.content not in contents}
    if "" not in {_folder(file) for file in files}:
        contents -= {file.content for file in files if _folder(file) not in rest}
    return (
        [file for file in files if file.content not in contents],
        [file for file in files if file.content in contents],
    )


def _roots(root: Path, splits: list[str]) -> str:
    """The options that name the training images and, where there are some, the test images."""

    def named(*starts: str) -> str | None:
        found = (name for start in starts for name in splits if name.lower().startswith(start))
        return next(found, None)

    test = named("test", "val")
    train = named("train") or next(name for name in reversed(splits) if name != test)
    words = f"data.root={root / train}"
    return words if test is None else f"{words} and data.test_root={root / test}"


def _folder(file: ImageFile) -> str:
    """The folder directly below the root that a file is in; "" for none."""
    return file.name.rpartition("/")[0].partition("/")[0]
