"""The scores of a run, all from one pass of generated samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics import Metric

from gansweep.config.ranges import Count, Seed, Share
from gansweep.data.batch import Batch
from gansweep.data.order import generator_for
from gansweep.data.source import DataSource, Split
from gansweep.errors import UserError, nearest
from gansweep.metrics.features.backbone import Backbone
from gansweep.metrics.features.backbones import BACKBONES, load_backbone
from gansweep.metrics.features.classifier import is_readable, refuse_unfit
from gansweep.metrics.measure import Measure, Seen, Setting
from gansweep.metrics.measures import MEASURES
from gansweep.metrics.protocol import (
    DEFAULT_OBJECTIVES,
    DIRECTIONS,
    QUICK,
    Protocol,
    Score,
    score_name,
)
from gansweep.metrics.reference import real_side

# their published tables are measured under Inception-v3, whatever their size here
PUBLISHED_UNDER_INCEPTION = ("cifar10", "stl10", "celeba")
DEFAULT_COUNTS = {None: 2500, "classifier": 1000}  # of generated samples; 10,000 elsewhere
STACKED_COUNT = 26_000  # Srivastava et al. 2017 and all after them
SAMPLES_A_CLASS = 10  # at least, by default
NORMAL_95 = 1.96
LARGEST_PIXEL = 20.0  # of what is still taken for an unbounded generator's image in [-1, 1]

Generate = Callable[[int, torch.Generator], Tensor | Batch]
Progress = Callable[[str, int, int], None]


class Panel:
    """Scores generated samples of one data set under one stated protocol.

    data: the real side.
    n_fake: generated samples; by default 2,500 points, 1,000 images under the data set's own
        classifier (10 a class at least; 26,000 of stacked digits), 10,000 under other backbones.
    split: the real images, "train", "validation" or "test".
    n_real: at most so many of them; None: all.
    backbone: "classifier" (trained on the data itself), "inception", "dinov2", "clip", or "auto":
        the classifier for labelled images up to 32 pixels that are grey, of at most 20 classes or
        stacked, unless their tables are published under Inception. Points need none.
    scores: words of `MEASURES`; None: the quick ones that fit the data and the backbone; "all":
        every one that fits, also the number of real images.
    noise_seed: of the samples' noise.
    batch_size: samples made and scored at once, each batch from noise of its own; None: what suits
        the backbone.
    weights_path: a file of weights for the backbone; None: the published ones, downloaded.
    min_test_accuracy: of the data set's classifier, below which it is refused.
    conditional: the generator follows the labels it is asked for.
    balanced: it is asked for every class equally often, instead of as often as in training.
    n_held_out: of the held-out samples that a model answers for, at most so many; None: all. The
        panel asks for none, `HeldOut` does.
    own: measures of the user's by any name, measured beside `scores`.
    held_out: the split of those, "validation" while a run is steered by its scores, which then
        must not look at the test split either, and "test" for what is reported of it.
    Raises: UserError for options that do not fit each other or the data.

    `notes` says which scores of the last samples could not be measured, and why. Where
    torch.distributed is initialized, all processes prepare and score together and get the same.
    The global random state is never touched.
    """

    def __init__(
        self,
        data: DataSource,
        *,
        n_fake: Count | None = None,
        split: Split = "train",
        n_real: Count | None = None,
        backbone: Literal["auto", "classifier", "inception", "dinov2", "clip"] = "auto",
        scores: Iterable[str] | str | None = None,
        noise_seed: Seed = 0,
        batch_size: Count | None = None,
        weights_path: str | Path | None = None,
        min_test_accuracy: Share = 0.9,
        conditional: bool = False,
        balanced: bool = False,
        own: Mapping[str, Measure] | None = None,
        n_held_out: Count | None = None,
        held_out: Split = "test",
    ) -> None:
        if split == "test" and held_out == "validation":
            raise UserError(
                "metrics.split=test would choose a run's best checkpoint, and a sweep's winner, by "
                "the test images, which are there to report what was chosen. Use "
                "metrics.split=validation (or train), and measure the trained run by 'gansweep "
                "evaluate RUN metrics.split=test'."
            )
        self.n_held_out, self.held_out = n_held_out, held_out
        self.data, self.split, self.n_real, self.noise_seed = data, split, n_real, noise_seed
        self.batch_size, self.weights_path = batch_size, weights_path
        self.min_test_accuracy, self.conditional = min_test_accuracy, conditional
        self.balanced = balanced
        if balanced and not conditional:
            raise UserError(
                "metrics.balanced=true asks for every class equally often, and this generator is "
                "asked for no class. Leave the option out, or train one that follows labels, as "
                "model=cgan."
            )
        self.backbone_choice = choose_backbone(data, backbone)
        if self.backbone_choice == "classifier":
            refuse_unfit(data)
        if weights_path and self.backbone_choice in (None, "classifier"):
            raise UserError(
                f"metrics.weights_path={weights_path} names weights of a published network, but "
                f"data={data.name} is scored without one here (backbone={backbone}). "
                "Use metrics=inception, or leave the option out."
            )
        self.takes_what_fits = scores == "all"
        self.own = tuple((own or {}).values())
        self.scores = self._chosen_scores(scores)
        known = (*MEASURES, *self.own)
        self.measures = [m for m in known if set(m.choices) & set(self.scores)]
        self.n_fake = self._default_count() if n_fake is None else n_fake
        for measure in self.measures:
            self._check_count("n_fake", self.n_fake, measure)
        self.backbone: Backbone | None = None
        self.device = torch.device("cpu")
        self.notes: list[str] = []
        self._metrics: list[Metric] | None = None
        self._left_out: list[str] = []  # for good, since the real side does not allow it
        self._protocols: dict[str, Protocol] = {}

    @property
    def objective(self) -> str | None:
        """The score that ranks runs on this data: FID for images, reverse KL for mixtures.

        Without it the next best that is measured; None where nothing is. After `prepare`.
        """
        found = {protocol["score"]: name for name, protocol in self.names().items()}
        return next((found[score] for score in DEFAULT_OBJECTIVES if score in found), None)

    def prepare(self, device: torch.device | str) -> None:
        """Load or train the backbone and work out the real side; nothing where that is done.

        Raises: UserError where weights or a sound classifier cannot be had.
        """
        device = torch.device(device)
        if device.type == "cuda" and device.index is None:  # else unequal to what a model says
            device = torch.device("cuda", torch.cuda.current_device())
        if self._metrics is not None and self.device == device:
            return
        self.device = device
        real = None
        if self.measures and self.backbone_choice is not None:
            self.backbone = load_backbone(
                self.backbone_choice,
                self.data,
                self.device,
                self.weights_path,
                self.min_test_accuracy,
            )
            wanted = any(measure.needs_features for measure in self.measures)
            real = real_side(self.data, self.split, self.n_real, self.backbone, wanted)
            real = real.to(self.device)
        setting = Setting(
            self.data,
            self.split,
            self.n_fake,
            self.device,
            self.backbone,
            real,
            self.conditional,
            self.balanced,
            self.held_out,
        )
        self._metrics = self._build(setting)
        self._protocols = self._stated_protocols(setting)

    def _build(self, setting: Setting) -> list[Metric]:
        """The metrics of `measures`, which lose what the real side does not allow.

        Raises: UserError instead where the scores were asked for by name.
        """
        built: list[tuple[Measure, Metric]] = []
        for measure in self.measures:
            try:
                if setting.real is not None:
                    self._check_count("n_real", setting.real.count, measure)
                built.append((measure, measure.build(setting).to(self.device)))
            except ValueError as error:
                words = ", ".join(word for word in measure.choices if word in self.scores)
                if self.takes_what_fits:
                    self._left_out.append(f"{words} left out: {error}")
                elif isinstance(error, UserError):
                    raise
                else:
                    raise UserError(
                        f"metrics.scores: {words} cannot be measured on data={self.data.name}: "
                        f"{error}"
                    ) from error
        self.measures = [measure for measure, _ in built]
        return [metric for _, metric in built]

    def names(self) -> dict[str, Protocol]:
        """Every score's name with its protocol; after `prepare`, which learns the weights."""
        assert self._metrics is not None, "Panel.prepare comes first"
        return {score_name(protocol): protocol for protocol in self._protocols.values()}

    @torch.no_grad()
    def score(self, generate: Generate, progress: Progress | None = None) -> dict[str, Score]:
        """Measure a generator: name -> score.

        generate: (n, CPU generator) -> n samples, (n, C, H, W) in [-1, 1] or points (n, D), whose
            only randomness is that generator; a Batch of them also says each one's class.
        progress: told (stage, done, total) as the work goes.
        Raises: ValueError for samples that are not finite, or of another shape or range.
        """
        assert self._metrics is not None, "Panel.prepare comes first"
        pairs = list(zip(self.measures, self._metrics, strict=True))
        tell = progress or (lambda stage, done, total: None)
        for metric in self._metrics:
            metric.reset()
        refused = None
        try:
            for seen, done in self._seen(generate) if pairs else ():
                for measure, metric in pairs:
                    measure.update(metric, seen)
                tell("samples", done, self.n_fake)
        except ValueError as error:
            refused = str(error)
        _raise_on_all(refused)
        values: dict[str, Tensor] = {}
        self.notes = list(self._left_out)
        for done, (measure, metric) in enumerate(pairs, start=1):
            try:
                values |= metric.compute()
            except ValueError as error:  # of this measure alone
                self.notes.append(f"{', '.join(measure.words)} left out: {error}")
            tell("scores", done, len(pairs))
            metric.reset()
        scores = [self._stated(word, values) for word in self._protocols if word in values]
        return {score.name: score for score in scores}

    def _stated(self, word: str, values: dict[str, Tensor]) -> Score:
        numbers = {name: value.item() for name, value in values.items() if value.numel() == 1}
        interval = None
        if word == "fid" and "fid_error" in numbers:  # of the mean FID of n_fake samples
            reach = NORMAL_95 * numbers["fid_error"]
            interval = (numbers[word] - reach, numbers[word] + reach)
        elif f"{word}_low" in numbers:
            interval = (numbers[f"{word}_low"], numbers[f"{word}_high"])
        listed = any(word in measure.lists for measure in self.measures)
        # torchmetrics makes a plain number of a list of one
        value = values[word].reshape(-1).tolist() if listed else numbers[word]
        return Score(value, self._protocols[word], numbers.get(f"{word}_std"), interval)

    def _seen(self, generate: Generate) -> Iterator[tuple[Seen, int]]:
        """This process's share of the samples, and how many all have made by then."""
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        own = self.backbone.batch_size if self.backbone else self.n_fake
        step = self.batch_size or own
        for number, start in enumerate(range(0, self.n_fake, step)):
            if number % world != rank:
                continue
            n = min(step, self.n_fake - start)
            made = generate(n, generator_for(self.noise_seed, start))
            batch = made if isinstance(made, Batch) else Batch(made)
            self._check(batch.images, n)
            yield self._as_seen(start, batch), min(start + n * world, self.n_fake)

    def _as_seen(self, start: int, batch: Batch) -> Seen:
        numbers = torch.arange(start, start + len(batch), device=self.device)
        if self.data.is_points:
            return Seen(numbers, batch.images)
        images = to_uint8(batch.images).to(self.device)
        features = logits = None
        if self.backbone is not None:
            features, logits = self.backbone.features(images)
        labels = batch.labels if self.conditional else None
        return Seen(numbers, images, features, logits, labels)

    def _check(self, samples: Tensor, n: int) -> None:
        if tuple(samples.shape) != (n, *self.data.shape):
            raise ValueError(
                f"The generator made samples of shape {tuple(samples.shape)} where {n} of "
                f"{self.data.shape} were asked for."
            )
        if not samples.isfinite().all():
            raise ValueError(
                "The generator made samples that are not finite (NaN or infinite), which no "
                "score can measure: the training has diverged."
            )
        if self.data.is_points:
            return
        if not samples.is_floating_point() or samples.abs().max() > LARGEST_PIXEL:
            low, high = samples.aminmax()
            raise ValueError(
                f"The generator made images of {str(samples.dtype).removeprefix('torch.')} from "
                f"{low.item():.4g} to {high.item():.4g}, where pixels from -1 (black) to 1 (white) "
                "are measured. Scale them, as by images / 127.5 - 1 from 0..255; of a generator "
                "that ends in no tanh this means that its training has diverged."
            )

    def _no_held_out(self, measure: Measure) -> str:
        if not measure.needs_held_out or self.data.count(self.held_out):
            return ""
        return f"it compares with {self.held_out} samples, and the data have none"

    def _chosen_scores(self, scores: Iterable[str] | str | None) -> tuple[str, ...]:
        own = [word for measure in self.own for word in measure.choices]
        for taken in {word for measure in MEASURES for word in measure.words} & set(own):
            raise UserError(f"metrics.own names a score '{taken}', which gansweep has: rename it.")
        misfits = {
            word: self._no_held_out(measure)
            or measure.misfit(self.data, self.backbone_choice, self.conditional)
            for measure in (*MEASURES, *self.own)
            for word in measure.choices
        }
        fitting = tuple(word for word, why in misfits.items() if not why)
        if scores == "all":
            return fitting
        if scores is None:
            scores = [word for word in fitting if word in QUICK]
        wanted = tuple(dict.fromkeys([*([scores] if isinstance(scores, str) else scores), *own]))
        for word in wanted:
            if word not in misfits:
                raise UserError(
                    f"metrics.scores knows no '{word}'.{nearest(word, misfits)} "
                    f"Choose of: {', '.join(misfits)}; or metrics.scores=all."
                )
            if misfits[word]:
                raise UserError(
                    f"The score '{word}' cannot be measured on data={self.data.name} with "
                    f"backbone={self.backbone_choice or 'none'}: {misfits[word]}. Fitting are: "
                    f"{', '.join(fitting) or 'none'}. Set metrics.scores=[{','.join(fitting)}]."
                )
        return wanted

    def _default_count(self) -> int:
        if self.data.stacked_from is not None:
            return STACKED_COUNT
        count = DEFAULT_COUNTS.get(self.backbone_choice, 10_000)
        if self.backbone_choice == "classifier":
            count = max(count, SAMPLES_A_CLASS * (self.data.n_classes or 0))
        return count

    def _check_count(self, option: str, count: int, measure: Measure) -> None:
        """Each score needs twice what it cannot be computed without."""
        needed = 2 * measure.least(self.data)[option == "n_real"]
        if count >= needed:
            return
        word = next(word for word in measure.choices if word in self.scores)
        mend = f"Raise metrics.{option}, or leave"
        if option == "n_real" and count == self.data.count(self.split):
            mend = f"The {self.split} split of data={self.data.name} holds no more: leave"
        raise UserError(
            f"metrics.{option}: {count} samples are too few for the score '{word}', which "
            f"needs at least {needed} here. {mend} the score out of metrics.scores."
        )

    def _stated_protocols(self, setting: Setting) -> dict[str, Protocol]:
        """Score word -> what its number is measured with."""
        stated: dict[str, Protocol] = {}
        for measure in self.measures:
            for word in measure.gives(self.data):
                if word in measure.choices and word not in self.scores:
                    continue
                protocol = self._shared_protocol(setting) | measure.protocol(setting, word)
                direction = DIRECTIONS.get(word, measure.directions.get(word))
                stated[word] = protocol | {"score": word, "direction": direction}
        return stated

    def _shared_protocol(self, setting: Setting) -> Protocol:
        backbone = setting.backbone
        return {
            "score": "",
            "direction": None,
            "n_fake": self.n_fake,
            "n_real": setting.real.count if setting.real else None,
            "feature_width": len(setting.real.gaussian.mean) if setting.real else None,
            "split": self.split,
            "n_validation": (self.split != "test" and self.data.n_set_aside) or None,
            "data": self.data.name,
            "data_fingerprint": self.data.fingerprint(self.split),
            "backbone": backbone.name if backbone else None,
            "weights_hash": backbone.weights_hash if backbone else None,
            "resizer": backbone.resizer if backbone else None,
            "noise_seed": self.noise_seed,
            # one that is asked as in training compares with one that is asked for nothing
            "asked": "every class alike" if self.balanced else None,
            **(backbone.extras if backbone else {}),
        }


def choose_backbone(data: DataSource, backbone: str) -> str | None:
    """ "classifier", "inception", ..., or None for points, which are measured as they are."""
    known = ("auto", *BACKBONES)
    if backbone not in known:
        raise UserError(
            f"metrics.backbone knows no '{backbone}'.{nearest(backbone, known)} "
            f"Choose of: {', '.join(known)}."
        )
    if data.is_points:
        return None
    if backbone != "auto":
        return backbone
    if data.stacked_from is not None:
        return "classifier"
    grey_or_few = data.shape[0] == 1 or (data.n_classes or 0) <= 20
    small = max(data.shape[1:]) <= 32 and data.name not in PUBLISHED_UNDER_INCEPTION
    return "classifier" if small and grey_or_few and is_readable(data) else "inception"


def _raise_on_all(refused: str | None) -> None:
    """Raise the ValueError of any process on every one, lest the others wait for its samples."""
    if dist.is_initialized():
        told: list[str | None] = [None] * dist.get_world_size()
        dist.all_gather_object(told, refused)
        refused = next((message for message in told if message), None)
    if refused:
        raise ValueError(refused)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as a file would hold them: clamped, then rounded to 0..255."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
