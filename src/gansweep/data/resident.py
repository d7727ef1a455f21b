"""Data sets small enough to live as one tensor: batches are made by indexing it."""

from __future__ import annotations

import hashlib
import itertools
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.data.few_labels import PartlyLabelled
from gansweep.data.order import EndlessOrder, Streams, generator_for
from gansweep.data.source import Share, Split
from gansweep.ranges import Count, Range, Seed

CHUNK = 1000
Arrays = tuple[Tensor, Tensor | None]


class ResidentSource(PartlyLabelled):
    """A data set held as one tensor; a subclass says only how a split is read.

    flip: mirror each training image left to right with probability 1/2.
    resident_gib: up to this size the tensor lives on the training device; a larger one stays in
        host memory, is indexed there, and each batch is copied. The batches are the same.
    n_labels: training images whose labels training is shown, see few_labels.py; None: all.
    label_seed: decides which these are.
    """

    def __init__(
        self,
        *,
        flip: bool = False,
        resident_gib: Annotated[float, Range(0, 1e6)] = 1.0,
        n_labels: Count | None = None,
        label_seed: Seed = 0,
    ) -> None:
        self.flip = flip
        self.resident_gib = resident_gib
        self.n_labels = n_labels
        self.label_seed = label_seed
        self._splits: dict[Split, Arrays] = {}
        self._fingerprints: dict[Split, str] = {}
        self._on_device: tuple[torch.device, Arrays] | None = None

    @abstractmethod
    def read(self, split: Split) -> Arrays:
        """Read a split: uint8 (N, C, H, W) or float32 (N, D), and int64 (N,) labels or None."""

    def _train_labels(self) -> Tensor | None:
        return self._split("train")[1]

    def labels_of(self, split: Split) -> Tensor | None:
        self.check_split(split)
        return self._split(split)[1]

    def count(self, split: Split) -> int:
        return len(self._split(split)[0])

    def arrays(self, split: Split, limit: int | None = None) -> Iterator[Arrays]:
        """Chunks of at most `CHUNK` rows, in the order in which the split is read."""
        self.check_split(split)
        images, labels = self._split(split)
        rows = torch.arange(len(images))
        if limit is not None and limit < len(images):
            # a fixed random subset: files are often sorted by class, writer or difficulty
            rows = torch.randperm(len(images), generator=generator_for(0))[:limit]
        for chunk in rows.split(CHUNK):
            yield images.index_select(0, chunk), None if labels is None else labels[chunk]

    def fingerprint(self, split: Split) -> str:
        """A hash over pixels and labels as they are read, before any mirroring."""
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
        among = None if among is None else among.to(images.device)
        n = len(images) if among is None else len(among)
        order = EndlessOrder(n, share.seed, images.device, stream=streams.order)
        mine = share.rows
        for start in itertools.count(share.start_image, share.batch_size):
            rows = order.rows(start + mine.start, mine.stop - mine.start)
            rows = rows if among is None else among[rows]
            chosen = _moved(images.index_select(0, rows), share.device)
            if not self.is_points:
                # in place on the fresh copy: 0 -> -1, 255 -> 1
                chosen = chosen.to(share.dtype).div_(127.5).sub_(1)
            if self.flip:
                draw = generator_for(share.seed, start // share.batch_size, streams.chances)
                flips = self._flips(share.batch_size, draw)[mine]
                chosen = torch.where(_moved(flips, share.device), chosen.flip(-1), chosen)
            named = None if labels is None else _moved(labels.index_select(0, rows), share.device)
            yield Batch(chosen.to(share.dtype), named)

    @staticmethod
    def _flips(batch_size: int, draw: torch.Generator) -> Tensor:
        """(batch_size, 1, 1, 1) bool of the whole batch, so that a resumed run draws the same."""
        return torch.rand(batch_size, 1, 1, 1, generator=draw) < 0.5

    def _split(self, split: Split) -> Arrays:
        if split not in self._splits:
            self._splits[split] = self.read(split)
        return self._splits[split]

    def _home(self, device: torch.device) -> Arrays:
        """Where the training tensor is indexed: the device, or the host where it is too large."""
        images, labels = self._split("train")
        if images.nbytes > self.resident_gib * 2**30:
            return images, labels
        if self._on_device is None or self._on_device[0] != device:
            there = images.to(device), None if labels is None else labels.to(device)
            self._on_device = device, there
        return self._on_device[1]


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On `device`; from the host to a GPU through pinned memory, so that Python need not wait."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
