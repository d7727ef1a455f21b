"""Scores of what a model answers for held-out samples: its classes, images, codes and so on.

A model gives its answers by `Adversarial.answers`. Each kind of answer has its own scores. Every
process of a data-parallel run measures the whole split and gets the same numbers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import JaccardIndex, Metric
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy
from torchmetrics.image import PeakSignalNoiseRatio
from torchmetrics.regression import MeanAbsoluteError

from gansweep.data.batch import Batch
from gansweep.data.source import DataSource, Split
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
        Raises: ValueError for answers that are not finite.
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
        found: dict[str, _Reading] = {}
        if "logits" in answers and batch.labels is not None:
            found["class_error"] = ClassError(answers["logits"].shape[1])
        # whether the true answer is known
        known = batch.source is None or self.data.is_paired(self.split)
        if "images" in answers and known and not self.data.is_points:
            found |= {"l1": Distance("images"), "psnr": SignalToNoise()}
            if batch.source is not None and batch.source.shape == batch.images.shape:
                found["psnr_gain"] = Gain()
            if self.data.is_mask:
                found["iou"] = Overlap()
            if isinstance(backbone, DatasetClassifier) and batch.labels is not None:
                found["label_agreement"] = LabelAgreement(backbone)
        if "cycle" in answers:
            found["cycle_l1"] = Distance("cycle")
        # with training samples of one class only, retrieval means nothing
        alike = self.data.normal_class is not None
        if "codes" in answers and batch.labels is not None and not alike:
            parts = list(self._batches("train", TRAINING_LIMIT, device))
            codes = torch.cat([answer(part)["codes"] for part in parts])
            labels = torch.cat([part.labels for part in parts if part.labels is not None])
            found["retrieval"] = Retrieval(codes, labels)
        if self.data.normal_class is not None:
            for name in (key for key in answers if key.startswith("anomaly/")):
                word = f"auroc_{name.removeprefix('anomaly/')}"
                found[word] = Detection(name, self.data.normal_class)
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


class _Reading(ABC):
    """One score, updated batch by batch.

    facts: the part of its protocol that other held-out scores do not have.
    """

    def __init__(self, metric: Metric, facts: Protocol | None = None) -> None:
        metric.sync_on_compute = False  # every process has read the whole split
        self.metric = metric
        self.facts = facts or {}

    def to(self, device: torch.device) -> _Reading:
        self.metric.to(device)
        return self

    @abstractmethod
    def read(self, batch: Batch, answers: Answers) -> None: ...

    def value(self) -> float:
        return float(self.metric.compute())


class ClassError(_Reading):
    """Share of the samples that are classified wrongly, 0 to 1."""

    def __init__(self, n_classes: int) -> None:
        super().__init__(MulticlassAccuracy(n_classes, average="micro"))

    def read(self, batch: Batch, answers: Answers) -> None:
        self.metric.update(answers["logits"], batch.labels)

    def value(self) -> float:
        return 1 - super().value()


class Distance(_Reading):
    """Mean absolute difference per pixel, pixels in [-1, 1].

    answer: "images", compared with the true images, or "cycle", compared with the sources.
    """

    def __init__(self, answer: str) -> None:
        super().__init__(MeanAbsoluteError())
        self.answer = answer

    def read(self, batch: Batch, answers: Answers) -> None:
        truth = batch.images if self.answer == "images" else batch.source
        self.metric.update(answers[self.answer].float(), truth)


class SignalToNoise(_Reading):
    """Peak signal-to-noise ratio to the true images in dB, from the mean squared error of all."""

    def __init__(self) -> None:
        super().__init__(PeakSignalNoiseRatio(data_range=PIXEL_RANGE))

    def read(self, batch: Batch, answers: Answers) -> None:
        self.metric.update(answers["images"].float(), batch.images)


class Gain(SignalToNoise):
    """Peak signal-to-noise ratio of the answers minus that of the sources, in dB."""

    def __init__(self) -> None:
        super().__init__()
        self.untouched = SignalToNoise()

    def to(self, device: torch.device) -> Gain:
        self.metric.to(device)
        self.untouched.metric.to(device)
        return self

    def read(self, batch: Batch, answers: Answers) -> None:
        super().read(batch, answers)
        assert batch.source is not None
        self.untouched.read(batch, {"images": batch.source})

    def value(self) -> float:
        return super().value() - self.untouched.value()


class Overlap(_Reading):
    """Intersection over union of the pixels above 0 in the answer and in the true mask."""

    def __init__(self) -> None:
        super().__init__(JaccardIndex(task="binary"))

    def read(self, batch: Batch, answers: Answers) -> None:
        self.metric.update((answers["images"] > 0).int(), (batch.images > 0).int())


class LabelAgreement(_Reading):
    """Share of the answers that the data's classifier assigns to the class of the source."""

    def __init__(self, backbone: DatasetClassifier) -> None:
        assert backbone.n_classes is not None
        super().__init__(
            MulticlassAccuracy(backbone.n_classes, average="micro"),
            {
                "backbone": backbone.name,
                "weights_hash": backbone.weights_hash,
                "resizer": backbone.resizer,
                **backbone.extras,
            },
        )
        self.backbone = backbone

    def read(self, batch: Batch, answers: Answers) -> None:
        logits = self.backbone.features(to_uint8(answers["images"]))[1]
        self.metric.update(logits, batch.labels)


class Retrieval(_Reading):
    """Share of the 10 training samples with the nearest codes that have the sample's class, 0 to 1.

    codes: (M, L) of the training samples.   labels: (M,).
    """

    def __init__(self, codes: Tensor, labels: Tensor) -> None:
        super().__init__(MulticlassAccuracy(int(labels.max()) + 1, average="micro"),
                         {"neighbours": NEIGHBOURS, "n_real": len(codes)})  # fmt: skip
        self.codes, self.labels = codes.float(), labels

    def read(self, batch: Batch, answers: Answers) -> None:
        assert batch.labels is not None
        distances = torch.cdist(answers["codes"].float(), self.codes)
        nearest = distances.topk(NEIGHBOURS, largest=False).indices
        found = self.labels[nearest]
        self.metric.update(found.flatten(), batch.labels.repeat_interleave(NEIGHBOURS))


class Detection(_Reading):
    """Area under the ROC curve for separating the other classes from the normal one, 0 to 1."""

    def __init__(self, answer: str, normal_class: int) -> None:
        super().__init__(BinaryAUROC(), {"normal_class": normal_class})
        self.answer, self.normal_class = answer, normal_class
        self.scores: list[Tensor] = []
        self.strange: list[Tensor] = []

    def read(self, batch: Batch, answers: Answers) -> None:
        assert batch.labels is not None
        self.scores.append(answers[self.answer])
        self.strange.append(batch.labels != self.normal_class)

    def value(self) -> float:
        # ranks: torchmetrics applies a sigmoid to scores outside [0, 1], which ties large ones
        ranks = torch.unique(torch.cat(self.scores), return_inverse=True)[1].double()
        self.metric.update(ranks / ranks.max().clamp(min=1), torch.cat(self.strange).int())
        return super().value()


def _refuse_other_than_finite(answers: Answers) -> None:
    for name, answer in answers.items():
        if not answer.isfinite().all():
            raise ValueError(
                f"The model's answer '{name}' for held-out samples is not finite (NaN or "
                "infinite), which no score can measure: the training has diverged."
            )
