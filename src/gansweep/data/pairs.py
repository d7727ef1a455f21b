"""Data for image translation: sources (`Batch.source`) and targets (`Batch.images`).

A model gets the source and should make the target. Labels are those of the targets.
"""

import copy
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from gansweep.config.ranges import Weight
from gansweep.data.batch import Batch
from gansweep.data.order import generator_for
from gansweep.data.resident import DerivedSource, whole
from gansweep.data.source import Arrays, DataSource, Share, Split
from gansweep.data.tasks import TaskName, same, task_named
from gansweep.errors import UserError

HALVES_SEED = 20170330
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
        self.resize = targets.resize
        self.aligned = {"train": aligned, "validation": aligned_test, "test": aligned_test}

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

    def arrays(self, split: Split, limit: int | None = None) -> Iterator[Arrays]:
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


class _Side(DerivedSource):
    """The sources or the targets that a task makes from a base set.

    channels: of the made images; None: those of the base set.
    derive: uint8 images of a whole split -> uint8 images of this side.
    half: which half of the training images to use, 0 or 1; None: all.
    """

    def __init__(
        self,
        base: DataSource,
        channels: int | None,
        derive: Callable[[Tensor], Tensor],
        half: int | None,
        flip: bool,
    ) -> None:
        super().__init__(base, base.name, flip=flip)
        self.channels = channels
        self.derive = derive
        self.half = half

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels or self.base.shape[0], *self.base.shape[1:])

    @property
    def undivided(self) -> DataSource:
        base = self.base.undivided
        if base is self.base:
            return self
        return _Side(base, self.channels, self.derive, self.half, self.flip)

    def read(self, split: Split) -> Arrays:
        """The derived images; of the training split only this half's, so that no pair is whole."""
        images, labels = whole(self.base, split)
        derived = self.derive(images)
        if split != "train" or self.half is None:
            return derived, labels
        n = len(derived) // 2  # if the number is odd, one row belongs to neither half
        shuffled = torch.randperm(len(derived), generator=generator_for(HALVES_SEED))
        rows = shuffled[self.half * n : (self.half + 1) * n]
        return derived[rows], None if labels is None else labels[rows]


class _Derived(Translation):
    """Sources and targets made by a task.

    base: any set of images; its splits are kept.
    task: see tasks.py.   sigma: standard deviation of the noise of `denoise`, pixels in [-1, 1].
    flip: mirror with probability 1/2; a source and its target together.
    """

    paired: ClassVar[bool]

    def __init__(
        self, base: DataSource, task: TaskName, sigma: Weight = 0.5, flip: bool = False
    ) -> None:
        chosen = task_named(task, base.shape, sigma)
        _refuse_unused_options(base)
        if flip and chosen.turns:
            raise UserError(
                f"data.flip=true does not fit data.task={task}: a mirrored target is not the "
                "rotation of the mirrored source. Use data.flip=false."
            )
        halves = (None, None) if self.paired else (0, 1)
        super().__init__(
            f"{base.name}_{task}",
            task,
            _Side(base, chosen.source_channels, chosen.source, halves[0], flip),
            _Side(base, chosen.target_channels, chosen.target, halves[1], flip),
            aligned=self.paired,
            aligned_test=True,
        )
        self.is_mask = chosen.is_mask
        self.classifier_from = base if chosen.target is same else None


def _refuse_unused_options(base: DataSource) -> None:
    """Raises: UserError for options of the base set that affect only its own batches."""
    for option, key in (("flip", "flip"), ("random_crop", "crop"), ("n_labels", "n_labels")):
        if getattr(base, option, None):
            fix = " To mirror the pairs use data.flip=true." if option == "flip" else ""
            raise UserError(
                f"data.base.{key} has no effect on pairs, which are made from unchanged images."
                f"{fix} Leave data.base.{key} out."
            )


class Paired(_Derived):
    """Pairs made from every image of another data set."""

    paired = True


class Unpaired(_Derived):
    """Sources and targets made from different images of another data set.

    The sources come from one half of the training images and the targets from the other half, so
    that training never sees a pair. The halves are the same in every run. Each side has its own
    order and flips. The validation and test splits contain pairs, for the scores.
    """

    paired = False
