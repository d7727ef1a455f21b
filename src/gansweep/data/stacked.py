"""Stacked sets: the channels of an image are three labelled images: 1,000 modes of 10 classes."""

import itertools
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch

from gansweep.config.ranges import CountOrNone, Range, Side
from gansweep.data.images import MNIST, Digits, ImageSet
from gansweep.data.order import generator_for
from gansweep.data.resident import ResidentSource, whole
from gansweep.data.source import Arrays, Split

CHANNELS = 3
N_TRAIN = 128_000  # as VEEGAN and PacGAN's comparison with it
N_TEST = 26_000  # the number of samples in which both count modes
N_VALIDATION = 5_000  # ours; used if images of the base set are set aside
SPLIT_SEEDS: dict[Split, int] = {"train": 1, "test": 2, "validation": 3}


class StackedSet(ResidentSource):
    """Fixed triples of grey images, drawn with replacement. Each triple of classes is a mode.

    With 10 classes the label of classes a, b, c in the three channels is 100 a + 10 b + c. Every
    run trains on the same triples.

    n_train: number of training triples. They use only the training images of the base set, and the
        test triples only its test images (ours: the published triples mix both).
    n_validation: images of the base set to set aside; only validation triples use them.
    Source: Srivastava et al. 2017 (VEEGAN), arXiv:1705.07761; Lin et al. 2018 (PacGAN),
        arXiv:1712.04086, Section 4.2.
    """

    has_validation = True

    def __init__(self, n_train: int, n_validation: CountOrNone | None = 0, **resident: Any) -> None:
        super().__init__(**resident)
        self._n = {"train": n_train, "validation": N_VALIDATION, "test": N_TEST}
        self.wanted_validation = n_validation

    @cached_property
    @abstractmethod
    def stacked_from(self) -> ImageSet:
        """The labelled set of grey images that are the channels."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (CHANNELS, *self.stacked_from.shape[1:])

    @property
    def class_names(self) -> list[str]:
        names = self.stacked_from.class_names or []
        return ["".join(triple) for triple in itertools.product(names, repeat=CHANNELS)]

    @property
    def n_set_aside(self) -> int:
        return self.stacked_from.n_set_aside

    def count(self, split: Split) -> int:
        return self._n[split] if self.stacked_from.count(split) else 0

    def read(self, split: Split) -> Arrays:
        """Triples of grey images as channels, with labels from 0 to n_classes^3 - 1."""
        images, labels = whole(self.stacked_from, split)
        assert labels is not None  # the base sets are labelled
        draw = generator_for(SPLIT_SEEDS[split], CHANNELS)
        triples = torch.randint(len(images), (self._n[split], CHANNELS), generator=draw)
        stacked = images.index_select(0, triples.flatten()).view(-1, *self.shape)
        n_classes = self.stacked_from.n_classes or 0
        places = n_classes ** torch.arange(CHANNELS - 1, -1, -1)
        return stacked, (labels[triples] * places).sum(1)


class StackedDigits(StackedSet):
    """scikit-learn's digits, without a download: 1,437 images of 8x8 pixels form the triples."""

    name = "stacked_digits"

    def __init__(
        self,
        image_size: Side | None = None,
        n_train: Annotated[int, Range(1, 1_000_000)] = N_TRAIN,
        **resident: Any,
    ) -> None:
        super().__init__(n_train, **resident)
        self.image_size = image_size or Digits.native_size

    @cached_property
    def stacked_from(self) -> Digits:
        return Digits(self.image_size, n_validation=self.wanted_validation)


class StackedMNIST(StackedSet):
    """MNIST: 60,000 images of 28x28 pixels form the training triples, which take 301 MB."""

    name = "stacked_mnist"

    def __init__(
        self,
        root: str | Path = "data",
        image_size: Side | None = None,
        n_train: Annotated[int, Range(1, 1_000_000)] = N_TRAIN,
        **resident: Any,
    ) -> None:
        super().__init__(n_train, **resident)
        self.root = root
        self.image_size = image_size or MNIST.native_size

    @cached_property
    def stacked_from(self) -> MNIST:
        return MNIST(self.root, self.image_size, n_validation=self.wanted_validation)
