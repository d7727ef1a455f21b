"""The interface of every data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.errors import UserError

Split = Literal["train", "validation", "test"]
Arrays = tuple[Tensor, Tensor | None]  # images or points, and labels


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture of isotropic Gaussians, the exact distribution of toy data.

    means: (K, D) float64.   weights: (K,), sum 1.
    sigma: standard deviation of every mode in each of its directions, of which flat modes have few.
    max_sigmas: a sample is good if its distance to a mode's mean is below this multiple of sigma.
    """

    means: Tensor
    sigma: float
    weights: Tensor
    max_sigmas: float = 3.0


@dataclass(frozen=True, slots=True)
class Share:
    """The part of every training batch for one process, see `DataSource.train_batches`."""

    batch_size: int
    seed: int
    device: torch.device
    rank: int
    world: int
    start_image: int
    dtype: torch.dtype

    @property
    def rows(self) -> slice:
        """The rows of this share in the whole batch."""
        n = self.batch_size // self.world
        return slice(self.rank * n, (self.rank + 1) * n)


class DataSource(ABC):
    """One data set: endless training batches, and whole splits for the metrics.

    The splits "train", "validation" (for choices) and "test" (for reports) share no sample.
    All methods that need it call `prepare` themselves. Call it first to decide when the download
    or the check of a folder happens.

    n_labels: training images with known labels; None: all.
    mixture: the exact distribution of toy data.
    classifier_from: the set whose classifier can judge these images; None: one of this set.
    normal_class: the only class in the training split of an anomaly-detection set.
    is_mask: the images are masks: each pixel is -1 or 1.
    resize: short side of a picture before a square is cut out of it; None: that of the square.
    """

    name: str
    n_labels: int | None = None
    mixture: Mixture | None = None
    classifier_from: DataSource | None = None
    normal_class: int | None = None
    is_mask: bool = False
    resize: int | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Download and read the data. Cheap the second time, safe in several processes.

        Raises: UserError if files are missing, damaged or cannot be downloaded.
        """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of an image, or (D,) of a point."""

    @property
    @abstractmethod
    def class_names(self) -> list[str] | None:
        """One name per class in the order of the label numbers, or None without labels."""

    @abstractmethod
    def count(self, split: Split) -> int:
        """Number of samples in a split; 0 if the set has no such split."""

    def train_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        device: torch.device | str,
        rank: int = 0,
        world: int = 1,
        start_image: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> Iterator[Batch]:
        """Endless batches of process `rank` of `world`, images in [-1, 1], on `device`.

        batch_size: of all processes; each gets batch_size / world rows.
        start_image: images that all processes have seen, a multiple of batch_size: the batches
            equal those of an uninterrupted run bit for bit.
        Raises: UserError for sizes that do not fit, before the first batch.
        """
        return self.shared_batches(
            Share(batch_size, seed, torch.device(device), rank, world, start_image, dtype)
        )

    def shared_batches(self, share: Share) -> Iterator[Batch]:
        """The `train_batches` of one share."""
        self.check_sizes(share.batch_size, share.world, share.start_image)
        return self._drawn(share)

    @abstractmethod
    def _drawn(self, share: Share) -> Iterator[Batch]:
        """The `train_batches` of a share whose sizes were checked."""

    @abstractmethod
    def arrays(self, split: Split, limit: int | None = None) -> Iterator[Arrays]:
        """Chunks of a split in one fixed order, without augmentation, on the CPU.

        Yields: (uint8 (n, C, H, W) or float32 (n, D), int64 (n,) labels or None).
        limit: of a larger split, a fixed random subset of this many samples.
        Raises: UserError if the split does not exist or is empty.
        """

    def batches(self, split: Split, limit: int | None = None) -> Iterator[Batch]:
        """The chunks of `arrays` as batches for a model: images in [-1, 1], with their sources."""
        for images, labels in self.arrays(split, limit):
            yield Batch(images if self.is_points else images.float().div_(127.5).sub_(1), labels)

    def labels_of(self, split: Split) -> Tensor | None:
        """(N,) int64, the class of every sample of a split in the order of `arrays`, or None."""
        labels = [part for _, part in self.arrays(split) if part is not None]
        return torch.cat(labels) if labels else None

    @abstractmethod
    def fingerprint(self, split: Split) -> str:
        """16 hex digits of a hash over shape, pixels and labels of a split, without its name."""

    @property
    def undivided(self) -> DataSource:
        """The set without a validation split: its images are training images again."""
        return self

    @property
    def stacked_from(self) -> DataSource | None:
        """The set whose images are the channels of this one's images; None if not stacked."""
        return None

    @property
    def source_shape(self) -> tuple[int, ...] | None:
        """(C', H, W) of the sources; None if the set has no sources."""
        return None

    def is_paired(self, split: Split) -> bool:
        """Whether the source and the image of a row are a pair (the true target is known)."""
        return self.source_shape is not None

    @property
    def is_points(self) -> bool:
        return len(self.shape) == 1

    @property
    def n_classes(self) -> int | None:
        return None if self.class_names is None else len(self.class_names)

    @property
    def n_train(self) -> int:
        return self.count("train")

    @property
    def n_validation(self) -> int:
        return self.count("validation")

    @property
    def n_set_aside(self) -> int:
        """Training images that are set aside as the validation split; 0 if the set has its own."""
        return 0

    @property
    def n_test(self) -> int:
        return self.count("test")

    def check_split(self, split: Split) -> None:
        """Raises: UserError if `split` is unknown or empty."""
        known = get_args(Split)
        if split not in known:
            raise UserError(f"data={self.name} has no split {split!r}: use {', '.join(known)}.")
        if self.count(split) == 0:
            fix = "give the data set a test split"
            if split == "validation":
                fix = "set some training images aside with data.n_validation"
            raise UserError(
                f"data={self.name} has no {split} images, so nothing can be measured on them. "
                f"Use another split, or {fix}."
            )

    def check_sizes(self, batch_size: int, world: int, start_image: int = 0) -> None:
        """Raises: UserError for a batch size that does not fit the data, the number of processes,
        or the images that a resumed run has seen."""
        if batch_size < 1:
            raise UserError(f"batch_size={batch_size} is no batch: set model.batch_size=1 or more.")
        if batch_size > self.n_train:
            n = self.n_set_aside
            fix = f", or also train on the {n} validation images: n_validation=0" if n else ""
            raise UserError(
                f"batch_size={batch_size} is larger than the {self.n_train} training images of "
                f"data={self.name}: a batch would contain images twice. "
                f"Set model.batch_size={self.n_train} or less{fix}."
            )
        if batch_size % world:
            below, above = batch_size // world * world, -(-batch_size // world) * world
            fitting = f"{below} or {above}" if below else f"{above}"
            raise UserError(
                f"batch_size={batch_size} cannot be shared equally by {world} processes. "
                f"Set model.batch_size={fitting}, or change trainer.devices=."
            )
        if start_image % batch_size:
            raise UserError(
                f"The run stopped after {start_image} images, which is no multiple of batch_size="
                f"{batch_size}. Continue with the run's own batch size, or start a new run."
            )
