"""Data for image translation: sources (`Batch.source`) and targets (`Batch.images`).

A model gets the source and should make the target. Labels are those of the targets.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from gansweep.config.ranges import Weight
from gansweep.data.batch import Batch
from gansweep.data.order import generator_for
from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import DataSource, Share, Split
from gansweep.data.tasks import TaskName, same, task_named
from gansweep.errors import UserError

HALVES_SEED = 20170330
Rows = Callable[[int], Tensor]  # number of images -> row numbers of some of them
SOURCE_ORDER = 1_000_003  # added to a run's seed to draw the sources of unpaired data


class Translation(DataSource):
    """Two data sets: `sources` and `targets`.

    aligned: the training rows of both are pairs and are drawn together; else each set is drawn in
        its own order.
    aligned_test: the validation and test rows are pairs.
    task: the name of the task, which scores and tables may show.
    """

    def __init__(
        self,
        name: str,
        task: str,
        sources: DataSource,
        targets: DataSource,
        *,
        aligned: bool,
        aligned_test: bool,
    ) -> None:
        self.name, self.task = name, task
        self.sources, self.targets = sources, targets
        self.aligned: dict[Split, bool] = {
            "train": aligned,
            "validation": aligned_test,
            "test": aligned_test,
        }

    def prepare(self) -> None:
        self.sources.prepare()
        self.targets.prepare()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.targets.shape

    @property
    def source_shape(self) -> tuple[int, ...]:
        return self.sources.shape

    @property
    def class_names(self) -> list[str] | None:
        return self.targets.class_names

    def is_paired(self, split: Split) -> bool:
        return self.aligned[split]

    def count(self, split: Split) -> int:
        return self.targets.count(split) if self.sources.count(split) else 0

    @property
    def n_set_aside(self) -> int:
        return self.targets.n_set_aside

    @property
    def undivided(self) -> DataSource:
        sources, targets = self.sources.undivided, self.targets.undivided
        if sources is self.sources and targets is self.targets:
            return self
        whole = copy.copy(self)
        whole.sources, whole.targets = sources, targets
        return whole

    def _drawn(self, share: Share) -> Iterator[Batch]:
        # pairs: both sets have the same size and seed, so they get the same order and flips
        aligned = self.aligned["train"]
        own = share if aligned else replace(share, seed=share.seed + SOURCE_ORDER)
        return map(_paired, self.targets.shared_batches(share), self.sources.shared_batches(own))

    def arrays(
        self, split: Split, limit: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        return self.targets.arrays(split, limit)

    def labels_of(self, split: Split) -> Tensor | None:
        return self.targets.labels_of(split)

    def batches(self, split: Split, limit: int | None = None) -> Iterator[Batch]:
        """One row for each target. Unpaired sources are repeated if there are fewer of them."""
        targets = self.targets.batches(split, limit)
        if self.aligned[split]:
            yield from map(_paired, targets, self.sources.batches(split, limit))
            return
        chunks = (c for _ in itertools.count() for c in self.sources.batches(split, limit))
        rows = (chunk.images[k : k + 1] for chunk in chunks for k in range(len(chunk)))
        for target in targets:
            source = torch.cat(list(itertools.islice(rows, len(target))))
            yield Batch(target.images, target.labels, source)

    def fingerprint(self, split: Split) -> str:
        parts = (self.task, self.sources.fingerprint(split), self.targets.fingerprint(split))
        return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _paired(target: Batch, source: Batch) -> Batch:
    return Batch(target.images, target.labels, source.images)


class _Side(ResidentSource):
    """The sources or the targets that a task makes from a base set.

    derive: uint8 images of a whole split -> uint8 images of this side.
    rows: rows of the training split to use; None: all.
    """

    has_validation = True  # the validation split of the base set

    def __init__(
        self,
        base: DataSource,
        channels: int | None,
        derive: Callable[[Tensor], Tensor],
        rows: Rows | None,
        flip: bool,
    ) -> None:
        super().__init__(flip=flip, resident_gib=getattr(base, "resident_gib", 1.0))
        self.name = base.name
        self.base = base
        self.channels = channels
        self.derive = derive
        self.rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels or self.base.shape[0], *self.base.shape[1:])

    @property
    def class_names(self) -> list[str] | None:
        return self.base.class_names

    def count(self, split: Split) -> int:
        if self.base.count(split) == 0:
            return 0  # arrays() of a split that does not exist would raise an error
        return super().count(split)

    @property
    def n_set_aside(self) -> int:
        return self.base.n_set_aside

    @property
    def undivided(self) -> DataSource:
        base = self.base.undivided
        if base is self.base:
            return self
        return _Side(base, self.channels, self.derive, self.rows, self.flip)

    def read(self, split: Split) -> Arrays:
        images, labels = zip(*self.base.arrays(split), strict=True)
        derived = self.derive(torch.cat(images))
        named = None if labels[0] is None else torch.cat(labels)
        if split != "train" or self.rows is None:
            return derived, named
        rows = self.rows(len(derived))
        return derived[rows], None if named is None else named[rows]


class _Derived(Translation):
    """Sources and targets made by a task.   parts: training rows of the sources and the targets;
    None: pairs from all rows."""

    def __init__(
        self,
        base: DataSource,
        task: str,
        sigma: float,
        flip: bool,
        parts: tuple[Rows, Rows] | None,
    ) -> None:
        chosen = task_named(task, base.shape, sigma)
        _refuse_unused_options(base)
        if flip and chosen.turns:
            raise UserError(
                f"data.flip=true does not fit data.task={task}: a mirrored target is not the "
                "rotation of the mirrored source. Use data.flip=false."
            )
        first, second = parts or (None, None)
        super().__init__(
            f"{base.name}_{task}",
            task,
            _Side(base, chosen.source_channels, chosen.source, first, flip),
            _Side(base, chosen.target_channels, chosen.target, second, flip),
            aligned=parts is None,
            aligned_test=True,
        )
        self._is_mask = chosen.is_mask
        self._base = base if chosen.target is same else None

    @property
    def classifier_from(self) -> DataSource | None:
        """The base set, if the targets are its unchanged images."""
        return self._base

    @property
    def is_mask(self) -> bool:
        return self._is_mask


def _refuse_unused_options(base: DataSource) -> None:
    """Raises: UserError for options of the base set that affect only its own batches."""
    idle = {"flip": False, "random_crop": False, "n_labels": None}
    for option, value in idle.items():
        if getattr(base, option, value) != value:
            key = {"random_crop": "crop"}.get(option, option)
            fix = " To mirror the pairs use data.flip=true." if option == "flip" else ""
            raise UserError(
                f"data.base.{key} has no effect on pairs, which are made from unchanged images."
                f"{fix} Leave data.base.{key} out."
            )


class Paired(_Derived):
    """Pairs made from every image of another data set.

    base: any set of images; its splits are kept.
    task: see tasks.py.   sigma: standard deviation of the noise of `denoise`, pixels in [-1, 1].
    flip: mirror a source and its target together with probability 1/2.
    """

    def __init__(
        self, base: DataSource, task: TaskName, sigma: Weight = 0.5, flip: bool = False
    ) -> None:
        super().__init__(base, task, sigma, flip, None)


class Unpaired(_Derived):
    """Sources and targets made from different images of another data set.

    The sources come from one half of the training images and the targets from the other half, so
    that training never sees a pair. The halves are the same in every run. Each side has its own
    order and flips. The validation and test splits contain pairs, for the scores.
    The options are those of `Paired`.
    """

    def __init__(
        self, base: DataSource, task: TaskName, sigma: Weight = 0.5, flip: bool = False
    ) -> None:
        super().__init__(base, task, sigma, flip, (_first_half, _second_half))


def _first_half(n: int) -> Tensor:
    return torch.randperm(n, generator=generator_for(HALVES_SEED))[: n // 2]


def _second_half(n: int) -> Tensor:
    """As many rows as the first half: if `n` is odd, one row belongs to neither."""
    return torch.randperm(n, generator=generator_for(HALVES_SEED))[n // 2 : n // 2 * 2]
