"""Scores of a model's answers for held-out samples."""

import math
from collections.abc import Callable

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.data.images import Digits
from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import Split
from gansweep.data.toy import Ring
from gansweep.metrics.features.classifier import dataset_classifier
from gansweep.metrics.panel import to_uint8
from gansweep.metrics.protocol import Score, comparable
from gansweep.metrics.scores.held_out import NEIGHBOURS, HeldOut, first_measured

CPU = torch.device("cpu")


class Pairs(ResidentSource):
    """Images whose sources are the same images, darker by a tenth of the range."""

    name = "pairs"
    shape = (1, 8, 8)
    source_shape = (1, 8, 8)
    class_names = None

    def __init__(self, n_test: int = 700, is_mask: bool = False) -> None:
        super().__init__()
        self.n_test_images, self._is_mask = n_test, is_mask

    @property
    def is_mask(self) -> bool:
        return self._is_mask

    def read(self, split: Split) -> Arrays:
        n = self.n_test_images if split == "test" else 10
        rng = torch.Generator().manual_seed(len(split))
        images = torch.randint(0, 256, (n, *self.shape), generator=rng)
        return (images // 128 * 255 if self._is_mask else images).byte(), None

    def batches(self, split: Split, limit: int | None = None):  # type: ignore[no-untyped-def]
        for batch in super().batches(split, limit):
            yield Batch(batch.images, None, batch.images - 0.2)


def scores_of(data: ResidentSource, answer, backbone=None) -> dict[str, float]:  # type: ignore[no-untyped-def]
    found = HeldOut(data, "test").score(answer, CPU, backbone)
    return {score.protocol["score"]: float(score.value) for score in found.values()}  # type: ignore[arg-type]


def test_class_error_is_the_share_of_wrong_classes() -> None:
    data = Digits()

    def wrong_on_ones(batch: Batch) -> dict[str, Tensor]:
        assert batch.labels is not None
        predicted = torch.where(batch.labels == 1, 7, batch.labels)
        return {"logits": torch.nn.functional.one_hot(predicted, 10).float()}

    found = HeldOut(data, "test").score(wrong_on_ones, CPU)
    (name,) = found
    assert name == "class_error_360_test"
    labels = torch.cat([labels for _, labels in data.arrays("test") if labels is not None])
    assert found[name].value == pytest.approx(float((labels == 1).float().mean()), abs=1e-6)
    assert found[name].protocol["direction"] == "minimize"


def test_image_distances_match_their_formulas() -> None:
    found = scores_of(Pairs(), lambda batch: {"images": batch.images + 0.1})
    assert found["l1"] == pytest.approx(0.1, rel=1e-5)
    assert found["psnr"] == pytest.approx(10 * math.log10(4 / 0.01), abs=1e-3)
    # the sources are off by 0.2: twice the error is 20 log10(2) dB
    assert found["psnr_gain"] == pytest.approx(20 * math.log10(2), abs=1e-3)
    assert set(found) == {"l1", "psnr", "psnr_gain"}


def test_cycle_is_measured_against_the_source() -> None:
    def answer(batch: Batch) -> dict[str, Tensor]:
        assert batch.source is not None
        return {"cycle": batch.source - 0.25}

    assert scores_of(Pairs(), answer) == {"cycle_l1": pytest.approx(0.25, rel=1e-5)}


def test_overlap_of_masks() -> None:
    data = Pairs(n_test=300, is_mask=True)

    def half_of_each(batch: Batch) -> dict[str, Tensor]:
        answer = batch.images.clone()
        answer[:, :, :4] = -1
        return {"images": answer}

    truth = torch.cat([batch.images for batch in data.batches("test")]) > 0
    kept = truth[:, :, 4:].sum() / truth.sum()
    assert scores_of(data, half_of_each)["iou"] == pytest.approx(float(kept), rel=1e-5)


def test_agreement_is_the_classifiers_accuracy_for_true_images() -> None:
    data = Digits()
    classifier = dataset_classifier(data, CPU)
    found = HeldOut(data, "test").score(lambda batch: {"images": batch.images}, CPU, classifier)
    score = found["label_agreement_digitsnet1_360_test"]
    images = torch.cat([images for images, _ in data.arrays("test")])
    labels = torch.cat([labels for _, labels in data.arrays("test") if labels is not None])
    right = (classifier.features(to_uint8(images / 127.5 - 1))[1].argmax(1) == labels).float()
    assert score.value == pytest.approx(float(right.mean()), abs=1e-6)
    assert score.protocol["weights_hash"] == classifier.weights_hash


def test_retrieval_matches_a_slow_search() -> None:
    data = Digits()

    def codes(batch: Batch) -> dict[str, Tensor]:
        return {"codes": batch.images.flatten(1)[:, 10:30]}

    def split(name: Split) -> Batch:
        parts = list(data.batches(name, 10_000))
        return Batch(torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts]))  # type: ignore[arg-type, misc]

    train, test = split("train"), split("test")
    assert train.labels is not None and test.labels is not None
    known, asked = codes(train)["codes"], codes(test)["codes"]
    hits = 0
    for code, label in zip(asked, test.labels, strict=True):
        nearest = (known - code).square().sum(1).sort(stable=True).indices[:NEIGHBOURS]
        hits += int((train.labels[nearest] == label).sum())
    expected = hits / NEIGHBOURS / len(asked)
    assert scores_of(data, codes)["retrieval"] == pytest.approx(expected, abs=2e-3)  # ties


def test_codes_far_from_the_origin_are_retrieved_as_those_around_it() -> None:
    data = Digits()

    def codes(offset: float) -> Callable[[Batch], dict[str, Tensor]]:
        return lambda batch: {"codes": batch.images.flatten(1)[:, 10:30] + offset}

    found = [scores_of(data, codes(offset))["retrieval"] for offset in (0.0, 1000.0)]
    assert found[1] == pytest.approx(found[0], abs=2e-3)  # ties


class FewDigits(Digits):
    """Digits of which six train."""

    def read_native(self, split: Split) -> Arrays:
        images, labels = super().read_native(split)
        assert labels is not None
        return (images[:6], labels[:6]) if split == "train" else (images, labels)


def test_of_fewer_training_samples_than_neighbours_all_are_neighbours() -> None:
    data = FewDigits()
    labels, known = data.labels_of("test"), data.labels_of("train")
    assert labels is not None and known is not None and len(known) == 6
    expected = float((known[:, None] == labels[None]).double().mean())
    found = scores_of(data, lambda batch: {"codes": batch.images.flatten(1)})
    assert found["retrieval"] == pytest.approx(expected)


class FewerClasses(Digits):
    """Digits without a training image of the last two classes."""

    def read_native(self, split: Split) -> Arrays:
        images, labels = super().read_native(split)
        assert labels is not None
        kept = labels < 8 if split == "train" else labels < 10
        return images[kept], labels[kept]


def test_a_class_without_training_samples_is_never_retrieved() -> None:
    data = FewerClasses()

    def classes(batch: Batch) -> dict[str, Tensor]:
        assert batch.labels is not None
        return {"codes": batch.labels[:, None].float()}

    labels = data.labels_of("test")
    assert labels is not None
    known = float((labels < 8).double().mean())
    assert scores_of(data, classes)["retrieval"] == pytest.approx(known)


class Zeros(Digits):
    normal_class = 0


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4], ids=str)
def test_detection_matches_scikit_learn_at_any_scale(scale: float) -> None:
    data = Zeros()

    def answer(batch: Batch) -> dict[str, Tensor]:
        return {"anomaly/latent": scale * batch.images.flatten(1)[:, 20:24].sum(1).round()}

    parts = list(data.batches("test"))
    scores = torch.cat([answer(part)["anomaly/latent"] for part in parts])
    labels = torch.cat([part.labels for part in parts if part.labels is not None])
    expected = roc_auc_score((labels != 0).numpy(), scores.numpy())
    assert scores_of(data, answer)["auroc_latent"] == pytest.approx(expected, abs=1e-6)


def test_only_some_of_a_large_split_are_asked_for() -> None:
    asked = []

    def answer(batch: Batch) -> dict[str, Tensor]:
        asked.append(len(batch))
        return {"images": batch.images}

    found = HeldOut(Pairs(n_test=5000), "test", limit=2000).score(answer, CPU)
    assert sum(asked) == 2000 and "l1_2k_test" in found


def test_all_of_a_split_are_asked_for_by_default() -> None:
    found = HeldOut(Pairs(n_test=2400), "test").score(lambda b: {"images": b.images}, CPU)
    assert "l1_2400_test" in found


def test_scores_of_two_splits_differ_in_name_and_protocol() -> None:
    data = Digits(n_validation=None)

    def constant(batch: Batch) -> dict[str, Tensor]:
        return {"logits": torch.ones(len(batch), 10)}

    (tuned,), (reported,) = (
        HeldOut(data, split).score(constant, CPU).values() for split in ("validation", "test")
    )
    assert (tuned.name, reported.name) == ("class_error_143_validation", "class_error_360_test")
    assert not comparable(tuned.protocol, reported.protocol)
    assert tuned.protocol["n_validation"] == 143 and reported.protocol["n_validation"] is None


def test_nothing_is_measured_without_answers_or_held_out_samples() -> None:
    assert HeldOut(Digits(), "test").score(lambda batch: {}, CPU) == {}
    assert HeldOut(Pairs(n_test=0), "test").score(lambda batch: {"images": batch.images}, CPU) == {}


def test_answers_that_are_not_finite_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'images'.*diverged"):
        HeldOut(Pairs(), "test").score(lambda batch: {"images": batch.images * math.nan}, CPU)


def test_points_that_are_made_again_have_no_pixels_to_compare() -> None:
    data = Ring(n_train=100)
    assert scores_of(data, lambda batch: {"images": batch.images}) == {}


def test_runs_are_judged_by_the_first_score_that_is_there() -> None:
    scores = {
        "psnr_360_test": Score(20.0, {"score": "psnr"}),
        "l1_360_test": Score(0.1, {"score": "l1"}),
    }
    assert first_measured(scores, ("class_error", "psnr", "l1")) == "psnr_360_test"
    assert first_measured(scores, ("class_error",)) is None
