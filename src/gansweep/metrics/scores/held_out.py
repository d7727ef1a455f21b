"""Scores of what a model answers for held-out samples: its classes, images, codes and so on.

A model gives its answers by `Adversarial.answers`. Each kind of answer has its own scores. Every
process of a data-parallel run measures the whole split and gets the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import JaccardIndex, Metric
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.regression import MeanAbsoluteError

from gansweep.data.batch import Batch
from gansweep.data.source import DataSource, Split
from gansweep.errors import DivergedError
from gansweep.metrics.features.backbone import Backbone
from gansweep.metrics.features.classifier import DatasetClassifier
from gansweep.metrics.panel import to_uint8
from gansweep.metrics.protocol import DIRECTIONS, HELD_OUT, Protocol, Score

TRAINING_LIMIT = 10_000  # training samples among which the nearest codes are searched
BATCH = 250
NEIGHBOURS = 10
PIXEL_RANGE = 2.0  # pixels in [-1, 1]

Answers = dict[str, Tensor]
Answer = Callable[[Batch], Answers]
Pair = Callable[[Batch, Answers], tuple[Any, Any]]


class HeldOut:
    """The scores of a model's answers on a held-out split of one data set.

    data: gives the true images and classes.
    split: "validation" for scores that steer a run, "test" for scores that are reported.
    limit: the largest number of samples; None: the whole split.
    """

    def __init__(self, data: DataSource, split: Split, limit: int | None = None) -> None:
        self.data, self.split = data, split
        self.count = data.count(split) if limit is None else min(limit, data.count(split))

    def score(
        self, answer: Answer, device: torch.device, backbone: Backbone | None = None
    ) -> dict[str, Score]:
        """Name -> score; empty if the model gives no answers or the split is empty.

        answer: a batch on `device` -> the model's answers.
        backbone: the data's own classifier, if the scores use it.
        Raises: DivergedError for answers that are not finite.
        """
        readings: dict[str, _Reading] = {}
        for batch in self._batches(self.split, self.count, device) if self.count else ():
            answers = answer(batch)
            if not answers:
                return {}
            _refuse_other_than_finite(answers)
            if not readings:
                readings = self._readings(batch, answers, answer, backbone, device)
            for reading in readings.values():
                reading.read(batch, answers)
        scores = [
            Score(reading.value(), self._protocol(word) | reading.facts)
            for word, reading in readings.items()
        ]
        return {score.name: score for score in scores}

    def _batches(self, split: Split, limit: int, device: torch.device) -> Iterator[Batch]:
        for chunk in self.data.batches(split, limit):
            for start in range(0, len(chunk), BATCH):
                yield chunk[slice(start, start + BATCH)].to(device)

    def _readings(
        self,
        batch: Batch,
        answers: Answers,
        answer: Answer,
        backbone: Backbone | None,
        device: torch.device,
    ) -> dict[str, _Reading]:
        """Word -> its reading, for the kinds of answers that the model gives."""
        data, normal = self.data, self.data.normal_class
        found: dict[str, _Reading] = {}
        if "logits" in answers and batch.labels is not None:
            accuracy = MulticlassAccuracy(answers["logits"].shape[1], average="micro")
            found["class_error"] = _ClassError(accuracy, lambda b, a: (a["logits"], b.labels))
        # whether the true answer is known
        known = batch.source is None or data.is_paired(self.split)
        if "images" in answers and known and not data.is_points:
            found["l1"] = _Reading(MeanAbsoluteError(), _images)
            # in dB, from the mean squared error of all
            found["psnr"] = _Reading(PeakSignalNoiseRatio(data_range=PIXEL_RANGE), _images)
            if batch.source is not None and batch.source.shape == batch.images.shape:
                found["psnr_gain"] = _Gain()
            if data.is_mask:  # of the pixels above 0
                overlap = JaccardIndex(task="binary")
                found["iou"] = _Reading(
                    overlap, lambda b, a: ((a["images"] > 0).int(), (b.images > 0).int())
                )
            if isinstance(backbone, DatasetClassifier) and batch.labels is not None:
                found["label_agreement"] = _label_agreement(backbone)
        if "cycle" in answers:
            found["cycle_l1"] = _Reading(
                MeanAbsoluteError(), lambda b, a: (a["cycle"].float(), b.source)
            )
        # with training samples of one class only, retrieval means nothing
        if "codes" in answers and batch.labels is not None and normal is None:
            parts = list(self._batches("train", TRAINING_LIMIT, device))
            codes = torch.cat([answer(part)["codes"] for part in parts])
            labels = torch.cat([part.labels for part in parts if part.labels is not None])
            found["retrieval"] = _retrieval(codes, labels, data.n_classes or 0)
        if normal is not None:
            kinds = [key.removeprefix("anomaly/") for key in answers if key.startswith("anomaly/")]
            found |= {f"auroc_{kind}": _Detection(f"anomaly/{kind}", normal) for kind in kinds}
        return {word: reading.to(device) for word, reading in found.items()}

    def _protocol(self, word: str) -> Protocol:
        assert word in HELD_OUT, word
        return {
            "score": word,
            "direction": DIRECTIONS[word],
            "n_fake": self.count,
            "n_real": None,
            "split": self.split,
            "n_validation": (self.split != "test" and self.data.n_set_aside) or None,
            "data": self.data.name,
            "data_fingerprint": self.data.fingerprint(self.split),
            "backbone": None,
        }


def first_measured(scores: Mapping[str, Score], words: Sequence[str]) -> str | None:
    """The full name of the first of `words` that was measured; None if none was."""
    names = {score.protocol["score"]: name for name, score in scores.items()}
    return next((names[word] for word in words if word in names), None)


class _Reading:
    """One score, updated batch by batch.

    pair: (batch, answers) -> what `metric` compares: the answers and the truth.
    facts: the part of its protocol that other held-out scores do not have.
    """

    def __init__(self, metric: Metric, pair: Pair, facts: Protocol | None = None) -> None:
        metric.sync_on_compute = False  # every process has read the whole split
        self.metric, self.pair, self.facts = metric, pair, facts or {}

    def to(self, device: torch.device) -> _Reading:
        self.metric.to(device)
        return self

    def read(self, batch: Batch, answers: Answers) -> None:
        self.metric.update(*self.pair(batch, answers))

    def value(self) -> float:
        return float(self.metric.compute())


class _ClassError(_Reading):
    """Share of the samples that are classified wrongly, 0 to 1."""

    def value(self) -> float:
        return 1 - super().value()


class _Gain(_Reading):
    """Peak signal-to-noise ratio of the answers minus that of the sources, in dB."""

    def __init__(self) -> None:
        super().__init__(PeakSignalNoiseRatio(data_range=PIXEL_RANGE), _images)
        metric = PeakSignalNoiseRatio(data_range=PIXEL_RANGE)
        self.untouched = _Reading(metric, lambda batch, _: (batch.source, batch.images))

    def to(self, device: torch.device) -> _Reading:
        self.untouched.to(device)
        return super().to(device)

    def read(self, batch: Batch, answers: Answers) -> None:
        super().read(batch, answers)
        self.untouched.read(batch, answers)

    def value(self) -> float:
        return super().value() - self.untouched.value()


class _Detection(_Reading):
    """Area under the ROC curve for separating the other classes from the normal one, 0 to 1."""

    def __init__(self, answer: str, normal_class: int) -> None:
        super().__init__(
            BinaryAUROC(),
            lambda batch, answers: (answers[answer], batch.labels != normal_class),
            {"normal_class": normal_class},
        )
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def read(self, batch: Batch, answers: Answers) -> None:
        self.pairs.append(self.pair(batch, answers))

    def value(self) -> float:
        scores, strange = (torch.cat(side) for side in zip(*self.pairs, strict=True))
        # ranks: torchmetrics applies a sigmoid to scores outside [0, 1], which ties large ones
        ranks = torch.unique(scores, return_inverse=True)[1].double()
        self.metric.update(ranks / ranks.max().clamp(min=1), strange.int())
        return super().value()


def _images(batch: Batch, answers: Answers) -> tuple[Tensor, Tensor]:
    return answers["images"].float(), batch.images


def _label_agreement(backbone: DatasetClassifier) -> _Reading:
    """Share of the answers that the data's classifier assigns to the class of the source."""
    assert backbone.n_classes is not None

    def pair(batch: Batch, answers: Answers) -> tuple[Tensor, Tensor | None]:
        return backbone.features(to_uint8(answers["images"]))[1], batch.labels

    facts = {word: getattr(backbone, word) for word in ("weights_hash", "resizer")}
    facts = {"backbone": backbone.name, **facts, **backbone.extras}
    return _Reading(MulticlassAccuracy(backbone.n_classes, average="micro"), pair, facts)


def _retrieval(codes: Tensor, labels: Tensor, n_classes: int) -> _Reading:
    """Share of the 10 training samples with the nearest codes that have the sample's class, 0 to 1.

    codes: (M, L) of the training samples; all of them are neighbours where M < 10.
    labels: (M,), which may lack some of the classes.
    """
    k = min(NEIGHBOURS, len(codes))

    def pair(batch: Batch, answers: Answers) -> tuple[Tensor, Tensor]:
        assert batch.labels is not None
        # not by products, which lose the distances of codes that lie far from the origin
        mode = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(answers["codes"].float(), codes.float(), compute_mode=mode)
        nearest = distances.topk(k, largest=False).indices
        return labels[nearest].flatten(), batch.labels.repeat_interleave(k)

    metric = MulticlassAccuracy(n_classes, average="micro")
    return _Reading(metric, pair, {"neighbours": k, "n_real": len(codes)})


def _refuse_other_than_finite(answers: Answers) -> None:
    for name, answer in answers.items():
        if not answer.isfinite().all():
            raise DivergedError(
                f"The model's answer '{name}' for held-out samples is not finite (NaN or "
                "infinite), which no score can measure: the training has diverged."
            )
