"""Data sets that fit into one tensor. Batches are made by indexing it."""

import copy
import hashlib
import itertools
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from gansweep.config.ranges import Count, CountOrNone, Range, Seed
from gansweep.data.batch import Batch
from gansweep.data.few_labels import PartlyLabelled
from gansweep.data.order import EndlessOrder, Streams, generator_for
from gansweep.data.source import Arrays, DataSource, Share, Split
from gansweep.data.validation import validation_count, validation_rows
from gansweep.errors import UserError, described

CHUNK = 1000


class ResidentSource(PartlyLabelled):
    """A data set in one tensor. A subclass only says how to read a split.

    flip: mirror each training image left to right with probability 1/2.
    resident_gib: a tensor up to this size is stored on the training device; of a larger one each
        batch is copied.
    n_labels: training images with known labels, see few_labels.py; None: all.
    label_seed: selects these images.
    n_validation: training images to set aside, see validation.py; None: a tenth.
    """

    has_validation = False  # whether `read` has its own validation split: then none is set aside

    def __init__(
        self,
        *,
        flip: bool = False,
        resident_gib: Annotated[float, Range(0, 1e6)] = 1.0,
        n_labels: Count | None = None,
        label_seed: Seed = 0,
        n_validation: CountOrNone | None = 0,
    ) -> None:
        self.flip = flip
        self.resident_gib = resident_gib
        self.n_labels = n_labels
        self.label_seed = label_seed
        self._wanted_validation = n_validation
        self._parts: dict[Split, Arrays] = {}
        self._chosen: dict[Split, Tensor | None] = {}
        self._fingerprints: dict[Split, str] = {}
        self._on_device: tuple[torch.device, Arrays] | None = None

    @abstractmethod
    def read(self, split: Split) -> Arrays:
        """Returns: uint8 (N, C, H, W) or float32 (N, D), and int64 (N,) labels or None.

        split: "train" (including the images to set aside), "test", or "validation" if the set
            `has_validation`.
        """

    @property
    def undivided(self) -> DataSource:
        if self._rows("train") is None:
            return self
        whole = copy.copy(self)  # shares the tensors
        whole._wanted_validation, whole._on_device = 0, None
        whole._chosen, whole._fingerprints = {}, {}
        return whole

    @property
    def n_set_aside(self) -> int:
        return 0 if self.has_validation else self.n_validation

    def labels_of(self, split: Split) -> Tensor | None:
        self.check_split(split)
        labels, rows = self._part(split)[1], self._rows(split)
        return labels if labels is None or rows is None else labels[rows]

    def count(self, split: Split) -> int:
        rows = self._rows(split)
        return len(self._part(split)[0]) if rows is None else len(rows)

    def arrays(self, split: Split, limit: int | None = None) -> Iterator[Arrays]:
        """Chunks of at most `CHUNK` rows, in the order of the split."""
        self.check_split(split)
        images, labels = self._part(split)
        chosen = self._rows(split)
        rows = torch.arange(len(images)) if chosen is None else chosen
        if limit is not None and limit < len(rows):
            # a fixed random subset, because files are often sorted, for instance by class
            rows = rows[torch.randperm(len(rows), generator=generator_for(0))[:limit]]
        for chunk in rows.split(CHUNK):
            yield images.index_select(0, chunk), None if labels is None else labels[chunk]

    def fingerprint(self, split: Split) -> str:
        """A hash over shape, pixels and labels, without augmentation."""
        if split not in self._fingerprints:
            content = hashlib.blake2b(repr(self.shape).encode(), digest_size=8)
            for images, labels in self.arrays(split):
                content.update(images.contiguous().numpy().data)
                if labels is not None:
                    content.update(labels.numpy().data)
            self._fingerprints[split] = content.hexdigest()
        return self._fingerprints[split]

    def _endless(self, share: Share, among: Tensor | None, streams: Streams) -> Iterator[Batch]:
        images, labels = self._home(share.device)
        chosen = self._rows("train")
        if chosen is not None:
            among = chosen if among is None else chosen[among]
        among = None if among is None else among.to(images.device)
        n = len(images) if among is None else len(among)
        order = EndlessOrder(n, share.seed, images.device, stream=streams.order)
        mine = share.rows
        for start in itertools.count(share.start_image, share.batch_size):
            rows = order.rows(start + mine.start, mine.stop - mine.start)
            rows = rows if among is None else among[rows]
            chosen = _moved(images.index_select(0, rows), share.device)
            if not self.is_points:
                # 0 -> -1, 255 -> 1
                chosen = chosen.to(share.dtype).div_(127.5).sub_(1)
            if self.flip:
                draw = generator_for(share.seed, start // share.batch_size, streams.chances)
                # for the whole batch, so that every process draws the same
                flips = torch.rand(share.batch_size, 1, 1, 1, generator=draw)[mine] < 0.5
                chosen = torch.where(_moved(flips, share.device), chosen.flip(-1), chosen)
            named = None if labels is None else _moved(labels.index_select(0, rows), share.device)
            yield Batch(chosen.to(share.dtype), named)

    def _part(self, split: Split) -> Arrays:
        """The tensors that contain a split."""
        part: Split = "train" if split == "validation" and not self.has_validation else split
        if part not in self._parts:
            self._parts[part] = self.read(part)
            self._refuse_misread(part, *self._parts[part])
        return self._parts[part]

    def _refuse_misread(self, split: Split, images: object, labels: object) -> None:
        """Raises: UserError if `read` returned something else than it must."""
        says = f"{type(self).__name__}.read('{split}') returned"
        if not isinstance(images, Tensor):
            raise UserError(f"{says} {_kind(images)}, not a tensor. Use torch.from_numpy(...).")
        shape, kind = tuple(self.shape), torch.float32 if self.is_points else torch.uint8
        if images.dtype != kind or images.shape[1:] != shape:
            raise UserError(
                f"{says} {_kind(images)}, where {kind} of shape (N, "
                f"{', '.join(map(str, shape))}) is needed. Pixels are whole numbers, 0 to 255."
            )
        if labels is None:
            return
        count = images.shape[:1]
        if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != count:
            raise UserError(
                f"{says} {len(images)} samples and as labels {_kind(labels)}. Give a tensor of "
                f"torch.int64 and shape ({len(images)},), or None."
            )

    def _rows(self, split: Split) -> Tensor | None:
        """The rows of a split in its tensors; None: all."""
        if split == "test" or self.has_validation:
            return None
        if split not in self._chosen:
            images, labels = self._part("train")
            count = validation_count(self._wanted_validation, len(images), self.name)
            aside = validation_rows(count, len(images), labels)
            kept = torch.ones(len(images), dtype=torch.bool)
            kept[aside] = False
            self._chosen["validation"] = aside
            self._chosen["train"] = kept.nonzero()[:, 0] if count else None
        return self._chosen[split]

    def _home(self, device: torch.device) -> Arrays:
        """The training tensors on the device, or in host memory if they are too large."""
        images, labels = self._part("train")
        if images.nbytes > self.resident_gib * 2**30:
            return images, labels
        if self._on_device is None or self._on_device[0] != device:
            there = images.to(device), None if labels is None else labels.to(device)
            self._on_device = device, there
        return self._on_device[1]


class DerivedSource(ResidentSource):
    """A data set in one tensor, with the splits and classes of its `base`."""

    has_validation = True  # the validation split of the base set

    def __init__(self, base: DataSource, name: str, *, flip: bool) -> None:
        super().__init__(flip=flip, resident_gib=getattr(base, "resident_gib", 1.0))
        self.base = base
        self.resize = base.resize
        self.name = name

    @property
    def class_names(self) -> list[str] | None:
        return self.base.class_names

    @property
    def n_set_aside(self) -> int:
        return self.base.n_set_aside

    def count(self, split: Split) -> int:
        if self.base.count(split) == 0:
            return 0  # arrays() of a split that does not exist would raise an error
        return super().count(split)


def whole(data: DataSource, split: Split) -> Arrays:
    """All images and labels of a split, in the order of `arrays`."""
    images, labels = zip(*data.arrays(split), strict=True)
    return torch.cat(images), None if labels[0] is None else torch.cat(labels)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`; to a GPU through pinned memory, so that Python does not wait."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _kind(value: object) -> str:
    """Such as "torch.uint8 of shape (600, 8, 8)", "a list"."""
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return described(value)
