"""Data to translate: sources that a model starts from, and images that it is to make of them.

`Batch.source` is what a model is given, `Batch.images` the target. Labels are the targets'.
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
Rows = Callable[[int], Tensor]  # how many images there are -> the numbers of some of them
SOURCE_ORDER = 1_000_003  # added to a run's seed where sources are drawn apart from the targets


class Translation(DataSource):
    """Two data sets side by side: `sources` and `targets`.

    aligned: the training rows of both are counterparts and are drawn together; else each is
        drawn in an order of its own.
    aligned_test: the validation and test rows are counterparts.
    task: what is to be made, which scores and tables may name.
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
        # counterparts are as many and drawn by the same seed: in the same order, mirrored alike
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
        """As many rows as there are targets; where sources are no counterparts, as many of them,
        over and over if they are fewer."""
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
    """The sources or the targets that a task derives from a base set.

    derive: uint8 images of a whole split -> uint8 of this side.
    rows: of the training split; None for all of them.
    """

    has_validation = True  # the base set's own

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
            return 0  # arrays() of a split that does not exist would refuse
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
    """Both sides by a task; `parts` are the training rows of the sources and of the targets."""

    def __init__(
        self,
        base: DataSource,
        task: str,
        sigma: float,
        flip: bool,
        parts: tuple[Rows, Rows] | None,
    ) -> None:
        chosen = task_named(task, base.shape, sigma)
        _refuse_what_is_passed_over(base)
        if flip and chosen.turns:
            raise UserError(
                f"data.flip=true would mirror what data.task={task} turns, so that a target were "
                "no longer the turned source. Use data.flip=false."
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
        """The base set, where the targets are its own images."""
        return self._base

    @property
    def is_mask(self) -> bool:
        return self._is_mask


def _refuse_what_is_passed_over(base: DataSource) -> None:
    """Raises: UserError for options of the base that act on its own batches alone."""
    idle = {"flip": False, "random_crop": False, "n_labels": None}
    for option, value in idle.items():
        if getattr(base, option, value) != value:
            key = {"random_crop": "crop"}.get(option, option)
            mend = " Mirror the pairs with data.flip=true." if option == "flip" else ""
            raise UserError(
                f"data.base.{key} does nothing for pairs, which are made of the images as they "
                f"are.{mend} Leave data.base.{key} out."
            )


class Paired(_Derived):
    """True pairs, derived from every image of another data set.

    base: any set of images; its own training and test splits are kept.
    task: see tasks.py.   sigma: noise of `denoise`, pixels in [-1, 1].
    flip: mirror a source and its target together with probability 1/2.
    """

    def __init__(
        self, base: DataSource, task: TaskName, sigma: Weight = 0.5, flip: bool = False
    ) -> None:
        super().__init__(base, task, sigma, flip, None)


class Unpaired(_Derived):
    """Sources and targets of different images, derived from another data set.

    The sources are made of one half of the base's training images, the targets of the other, so
    that no target's source is ever shown; the halves are the same in every run. Each side is
    drawn, and mirrored, in an order of its own. The validation and test splits hold true pairs, to
    measure on.
    The options are those of `Paired`.
    """

    def __init__(
        self, base: DataSource, task: TaskName, sigma: Weight = 0.5, flip: bool = False
    ) -> None:
        super().__init__(base, task, sigma, flip, (_first_half, _second_half))


def _first_half(n: int) -> Tensor:
    return torch.randperm(n, generator=generator_for(HALVES_SEED))[: n // 2]


def _second_half(n: int) -> Tensor:
    """As many as the first: the odd one out belongs to neither."""
    return torch.randperm(n, generator=generator_for(HALVES_SEED))[n // 2 : n // 2 * 2]
