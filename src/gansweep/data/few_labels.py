"""Data sets of which only a few training labels are known, for semi-supervised training."""

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.data.order import ALL_IMAGES, LABELLED_IMAGES, Streams, generator_for
from gansweep.data.source import DataSource, Share
from gansweep.errors import UserError


def known_rows(
    labels: Tensor | None, n_labels: int, label_seed: int, *, n_classes: int | None, name: str
) -> Tensor:
    """Row numbers of the training samples with known labels: (n_labels,) int64, ascending.

    labels: (N,) int64 of the training split, or None.
    Every class gets the same number of labels if it has enough samples. A remainder goes to random
    classes, one label each. The subsets of one seed are nested.
    Raises: UserError without labels, for more labels than samples, or for fewer than classes.
    """
    if labels is None or n_classes is None:
        raise UserError(
            f"data.n_labels={n_labels} needs labels, but data={name} has none. Use labelled data "
            "(data=digits, or a folder with one sub-folder for each class), or data.n_labels=null."
        )
    if n_labels > len(labels):
        raise UserError(
            f"data.n_labels={n_labels} is more than the {len(labels)} training images of "
            f"data={name}. Set data.n_labels={len(labels)} or less, or null to use every label."
        )
    if n_labels < n_classes:
        raise UserError(
            f"data.n_labels={n_labels} is less than one label for each of the {n_classes} classes "
            f"of data={name}. Set data.n_labels={n_classes} or more."
        )
    draw = generator_for(label_seed)
    shuffled = torch.randperm(len(labels), generator=draw)
    turn = torch.randperm(n_classes, generator=draw)  # the order of the classes within a round
    # in rounds: the first sample of every class, then the second of every class, ...
    place = torch.empty(len(labels), dtype=torch.int64)
    for k in range(n_classes):
        members = shuffled[labels[shuffled] == k]
        place[members] = torch.arange(len(members)) * n_classes + turn[k]
    return place.argsort()[:n_labels].sort().values


class PartlyLabelled(DataSource):
    """A data set that can hide most of its training labels.

    n_labels: number of training images with known labels; None: all.
    label_seed: selects these images.
    """

    label_seed: int

    @abstractmethod
    def _endless(self, share: Share, among: Tensor | None, streams: Streams) -> Iterator[Batch]:
        """Endless batches.   among: rows to draw from; None: all.   streams: random numbers."""

    def prepare(self) -> None:
        self._known_rows()

    def _known_rows(self) -> Tensor | None:
        """The training rows with known labels; None if all labels are known."""
        labels = self.labels_of("train")
        if self.n_labels is None:
            return None
        return known_rows(
            labels, self.n_labels, self.label_seed, n_classes=self.n_classes, name=self.name
        )

    def _drawn(self, share: Share) -> Iterator[Batch]:
        known = self._known_rows()
        whole = self._endless(share, None, ALL_IMAGES)
        if known is None:
            return whole
        both = zip(whole, self._endless(share, known, LABELLED_IMAGES), strict=False)
        return (Batch(batch.images, None, batch.source, few) for batch, few in both)
