"""The scores of a run, all from one pass of generated samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.data.source import DataSource, Split
from gansweep.errors import UserError, nearest
from gansweep.metrics.features import Backbone
from gansweep.metrics.frechet import FrechetDistance
from gansweep.metrics.inception_score import inception_score
from gansweep.metrics.kernel import KernelDistance
from gansweep.metrics.modes import (
    ModeCoverage,
    class_modes,
    min_confidence,
    mixture_modes,
)
from gansweep.metrics.protocol import Direction, Protocol, Score, score_name
from gansweep.metrics.reference import real_side

SCORES = ("fid", "is", "kid", "modes")
BACKBONES = ("auto", "classifier", "inception")
# their published tables are measured under Inception-v3, whatever their size here
PUBLISHED_UNDER_INCEPTION = ("cifar10", "stl10", "celeba")
IS_SPLITS = 10
KID_SUBSETS = 100
DIRECTIONS: dict[str, Direction | None] = {
    "fid": "minimize",
    "is": "maximize",
    "kid": "minimize",
    "modes": "maximize",
    "high_quality": "maximize",
    "reverse_kl": "minimize",
    "mode_counts": None,
}

Generate = Callable[[int, torch.Generator], Tensor | Batch]


class Panel:
    """Scores generated samples of one data set under one stated protocol.

    data: the real side.
    n_fake: generated samples; by default 2,500 points, 1,000 images under the data set's own
        classifier, 10,000 under Inception.
    split: the real images, "train" or "test".   n_real: at most so many of them; None: all.
    backbone: "classifier" (trained on the data itself), "inception", or "auto": the classifier
        for labelled images up to 32 pixels that are grey or of at most 20 classes, unless their
        tables are published under Inception. Points need none.
    scores: of fid, is, kid, modes; None: all that fit the data and the backbone.
    noise_seed: of the generator that draws the samples' noise.
    batch_size: samples made and scored at once; None: what suits the backbone.
    weights_path: a file of Inception weights; None: the published ones, downloaded.
    min_test_accuracy: of the data set's classifier, below which it is refused.
    Raises: UserError for options that do not fit each other or the data.

    The global random state is never touched.
    """

    def __init__(
        self,
        data: DataSource,
        *,
        n_fake: int | None = None,
        split: Split = "train",
        n_real: int | None = None,
        backbone: str = "auto",
        scores: Iterable[str] | None = None,
        noise_seed: int = 0,
        batch_size: int | None = None,
        weights_path: str | Path | None = None,
        min_test_accuracy: float = 0.9,
        conditional: bool = False,
    ) -> None:
        self.conditional = conditional
        self.data, self.split, self.n_real, self.noise_seed = data, split, n_real, noise_seed
        self.batch_size, self.weights_path = batch_size, weights_path
        self.min_test_accuracy = min_test_accuracy
        self.backbone_choice = choose_backbone(data, backbone)
        if weights_path and self.backbone_choice != "inception":
            raise UserError(
                f"metrics.weights_path={weights_path} names weights of Inception-v3, but "
                f"data={data.name} is scored without it here (backbone={backbone}). "
                "Use metrics=inception, or leave the option out."
            )
        self.scores = self._chosen_scores(scores)
        default_count = {None: 2500, "classifier": 1000, "inception": 10_000}
        self.n_fake = default_count[self.backbone_choice] if n_fake is None else n_fake
        self._check_count("n_fake", self.n_fake)
        self.backbone: Backbone | None = None
        self.device = torch.device("cpu")
        self._protocols: list[Protocol] | None = None

    @property
    def objective(self) -> str | None:
        """The score that ranks runs on this data: FID for images, reverse KL for mixtures.

        Without it the next best that is measured; None where nothing is. After `prepare`.
        """
        ranked = ("fid", "kid", "is", "reverse_kl")
        found = {protocol["score"]: name for name, protocol in self.names().items()}
        return next((found[score] for score in ranked if score in found), None)

    def prepare(self, device: torch.device | str) -> None:
        """Load or train the backbone and work out the real side; nothing where that is done.

        Raises: UserError where weights or a sound classifier cannot be had.
        """
        if self._protocols is not None and self.device == torch.device(device):
            return
        self.device = torch.device(device)
        if self.scores and not self.data.is_points:
            self.backbone = self._load_backbone()
            self.real = real_side(
                self.data, self.split, self.n_real, self.backbone, "kid" in self.scores
            )
            self._check_count("n_real", self.real.count)
            gaussian = self.real.gaussian.to(self.device)
            # scored on one process: a sync with others that do not take part would wait for ever
            self._frechet = FrechetDistance(gaussian, sync_on_compute=False).to(self.device)
            if self.real.features is not None:
                size = self._subset_size(self.real.count)
                features = self.real.features.to(self.device)
                self._kernel = KernelDistance(features, self.n_fake, KID_SUBSETS, size)
        self._protocols = self._stated_protocols()

    def names(self) -> dict[str, Protocol]:
        """Every score's name with its protocol; after `prepare`, which learns the weights."""
        assert self._protocols is not None, "Panel.prepare comes first"
        return {score_name(protocol): protocol for protocol in self._protocols}

    @torch.no_grad()
    def score(self, generate: Generate) -> dict[str, Score]:
        """Measure a generator: name -> score.

        generate: called as generate(n, generator) for n samples at a time, images (n, C, H, W)
            in [-1, 1] or points (n, D), all of whose noise comes from that CPU generator.
        Raises: ValueError for samples that are not finite.
        """
        assert self._protocols is not None, "Panel.prepare comes first"
        values: dict[str, tuple[Any, float | None]] = {}
        if self.scores:
            values = self._of_points(generate) if self.data.is_points else self._of_images(generate)
        scores = [Score(values[p["score"]][0], p, values[p["score"]][1]) for p in self._protocols]
        return {score.name: score for score in scores}

    def _of_points(self, generate: Generate) -> dict[str, tuple[Any, float | None]]:
        assert self.data.mixture is not None
        points = torch.cat([part.detach().cpu() for part in self._samples(generate, 2500)])
        return _mode_values(mixture_modes(points, self.data.mixture))

    def _of_images(self, generate: Generate) -> dict[str, tuple[Any, float | None]]:
        assert self.backbone is not None
        features, logits = [], []
        self._frechet.reset()
        for images in self._samples(generate, self.backbone.batch_size):
            pool, class_logits = self.backbone.features(to_uint8(images))
            self._frechet.update(pool)
            logits.append(class_logits)
            if "kid" in self.scores:
                features.append(pool)
        values: dict[str, tuple[Any, float | None]] = {}
        if "fid" in self.scores:
            values["fid"] = self._frechet.compute().item(), None
        if "is" in self.scores:
            values["is"] = inception_score(torch.cat(logits), IS_SPLITS)
        if "kid" in self.scores:
            values["kid"] = self._kernel.compute(torch.cat(features))
        if "modes" in self.scores:
            assert self.real.class_counts is not None
            values |= _mode_values(class_modes(torch.cat(logits), self.real.class_counts))
        return values

    def _samples(self, generate: Generate, batch_size: int) -> Iterable[Tensor]:
        generator = torch.Generator().manual_seed(self.noise_seed)
        step = self.batch_size or batch_size
        for start in range(0, self.n_fake, step):
            n = min(step, self.n_fake - start)
            made = generate(n, generator)
            samples = made.images if isinstance(made, Batch) else made
            assert tuple(samples.shape) == (n, *self.data.shape), samples.shape
            if not samples.isfinite().all():
                raise ValueError(
                    "The generator made samples that are not finite (NaN or infinite), which no "
                    "score can measure: the training has diverged."
                )
            yield samples

    def _load_backbone(self) -> Backbone:
        if self.backbone_choice == "classifier":
            from gansweep.metrics.classifier import dataset_classifier

            return dataset_classifier(self.data, self.device, self.min_test_accuracy)
        from gansweep.metrics.inception import Inception  # imports torchvision

        return Inception(self.device, self.weights_path)

    def _chosen_scores(self, scores: Iterable[str] | None) -> tuple[str, ...]:
        if self.backbone_choice is None:
            fitting: tuple[str, ...] = ("modes",) if self.data.mixture else ()
        else:
            fitting = SCORES if self.backbone_choice == "classifier" else SCORES[:3]
        if scores is None:
            return fitting
        wanted = tuple(dict.fromkeys(scores))
        for score in wanted:
            if score not in SCORES:
                raise UserError(
                    f"metrics.scores knows no '{score}'.{nearest(score, SCORES)} "
                    f"Choose of: {', '.join(SCORES)}."
                )
            if score not in fitting:
                raise UserError(
                    f"The score '{score}' cannot be measured on data={self.data.name} with "
                    f"backbone={self.backbone_choice or 'none'}: fid, is and kid compare images, "
                    "modes needs a known mixture or the data set's own classifier. Fitting are: "
                    f"{', '.join(fitting) or 'none'}. Set metrics.scores=[{','.join(fitting)}]."
                )
        return wanted

    def _check_count(self, option: str, count: int) -> None:
        """Each score needs twice what it cannot be computed without."""
        if self.data.mixture is not None:
            n_modes = len(self.data.mixture.means)
        else:
            n_modes = self.data.n_classes or 1
        needs = {"fid": 2, "is": IS_SPLITS, "kid": 2, "modes": n_modes}
        if option == "n_real":
            needs["is"] = 0
        for score in self.scores:
            if count < 2 * needs[score]:
                raise UserError(
                    f"metrics.{option}: {count} samples are too few for the score '{score}', which "
                    f"needs at least {2 * needs[score]} here. Raise metrics.{option}, or leave the "
                    "score out of metrics.scores."
                )

    def _subset_size(self, n_real: int) -> int:
        """As published, 1,000, but at most half of either side: whole sets would all be alike."""
        return min(1000, self.n_fake // 2, n_real // 2)

    def _stated_protocols(self) -> list[Protocol]:
        extras: dict[str, dict[str, Any]] = {
            "fid": {},
            "is": {"splits": IS_SPLITS, **dict.fromkeys(("n_real", "split", "data_fingerprint"))},
            "kid": {"kernel": "cubic", "subsets": KID_SUBSETS},
            "modes": {},
        }
        if "kid" in self.scores:
            extras["kid"]["subset_size"] = self._subset_size(self.real.count)
        coverage = ["modes", "high_quality", "reverse_kl", "mode_counts"]
        if self.data.mixture is not None:
            extras["modes"] = {
                "max_sigmas": self.data.mixture.max_sigmas,
                "sigma": self.data.mixture.sigma,
                "split": None,
            }
        else:
            extras["modes"] = {"min_confidence": min_confidence(self.data.n_classes or 1)}
            coverage.remove("high_quality")  # a classifier's confidence is no measure of quality
        words = {"modes": coverage}
        stated = [
            self._shared_protocol(word) | extras[score]
            for score in self.scores
            for word in words.get(score, [score])
        ]
        if not self.data.is_points:  # the components of a mixture have no names
            for protocol in stated:
                if protocol["score"] == "mode_counts":
                    protocol["mode_names"] = self.data.class_names
        return stated

    def _shared_protocol(self, word: str) -> Protocol:
        backbone = self.backbone
        return {
            "score": word,
            "direction": DIRECTIONS[word],
            "n_fake": self.n_fake,
            "n_real": self.real.count if backbone else None,
            "split": self.split,
            "data": self.data.name,
            "data_fingerprint": self.data.fingerprint(self.split),
            "backbone": backbone.name if backbone else None,
            "weights_hash": backbone.weights_hash if backbone else None,
            "resizer": backbone.resizer if backbone else None,
            "noise_seed": self.noise_seed,
            **(backbone.extras if backbone else {}),
        }


def choose_backbone(data: DataSource, backbone: str) -> str | None:
    """ "classifier", "inception", or None for points, which are measured as they are."""
    if backbone not in BACKBONES:
        raise UserError(
            f"metrics.backbone knows no '{backbone}'.{nearest(backbone, BACKBONES)} "
            f"Choose of: {', '.join(BACKBONES)}."
        )
    if data.is_points:
        return None
    if backbone != "auto":
        return backbone
    grey_or_few = data.shape[0] == 1 or (data.n_classes or 0) <= 20
    small = max(data.shape[1:]) <= 32 and data.name not in PUBLISHED_UNDER_INCEPTION
    return "classifier" if data.n_classes and small and grey_or_few else "inception"


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as a file would hold them: clamped, then rounded to 0..255."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def _mode_values(coverage: ModeCoverage) -> dict[str, tuple[Any, float | None]]:
    return {
        "modes": (float(coverage.captured), None),
        "high_quality": (coverage.high_quality, None),
        "reverse_kl": (coverage.reverse_kl, None),
        "mode_counts": ([float(count) for count in coverage.counts], None),
    }
