"""The panel: measures all scores of a run from one pass of generated samples."""

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
from gansweep.errors import DivergedError, UserError, described
from gansweep.metrics.choice import choose_backbone, choose_scores, default_count
from gansweep.metrics.features.backbone import Backbone
from gansweep.metrics.features.backbones import load_backbone
from gansweep.metrics.features.classifier import refuse_unfit
from gansweep.metrics.measure import Measure, Seen, Setting
from gansweep.metrics.measures import MEASURES
from gansweep.metrics.protocol import DEFAULT_OBJECTIVES, DIRECTIONS, Protocol, Score, score_name
from gansweep.metrics.reference import real_side
from gansweep.records.notation import plural

NORMAL_95 = 1.96
LARGEST_PIXEL = 20.0  # a generator without tanh may leave [-1, 1]; beyond this it is an error

Generate = Callable[[int, torch.Generator], Tensor | Batch]
Progress = Callable[[str, int, int], None]


class Panel:
    """Scores generated samples of one data set under one stated protocol.

    data: the real side.
    n_fake: number of generated samples. By default 2,500 points, 1,000 images under the data set's
        own classifier (at least 10 per class; 26,000 for stacked sets), else 10,000.
    split: of the real images: "train", "validation" or "test".
    n_real: the largest number of real images; None: all.
    backbone: "classifier" (trained on the data itself), "inception", "dinov2", "clip" or "auto".
        "auto" takes the classifier for labelled images up to 32 pixels that are grey, stacked or
        have at most 20 classes, unless their published tables use Inception. Points need none.
    scores: words of `MEASURES`; None: the quick ones that fit the data and the backbone; "all":
        every one that fits the data, the backbone and the number of real images.
    noise_seed: of the samples' noise.
    batch_size: samples that are made and scored at once. Each batch has its own noise, so it
        changes the samples. None: suitable for the backbone.
    weights_path: a file of weights for the backbone; None: the published ones, downloaded.
    min_test_accuracy: the data set's classifier is refused below it.
    conditional: the generator follows labels.
    balanced: labels are requested equally often, instead of as often as in training.
    own: name -> a measure of the user, measured in addition to `scores`.
    n_held_out: how many held-out samples a model answers for; None: all. Only `HeldOut` reads it.
    held_out: the split of the held-out samples: "validation" if the scores steer a run, which then
        must not use the test split at all; "test" if they are reported.
    Raises: UserError for options that do not fit each other or the data.

    `notes` says which scores of the last samples could not be measured, and why. If
    torch.distributed is initialized, all processes prepare and score together and get the same
    result. The global random state is not touched.
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
        self.n_held_out, self.held_out = n_held_out, held_out
        self.data, self.split, self.n_real, self.noise_seed = data, split, n_real, noise_seed
        self.batch_size, self.weights_path = batch_size, weights_path
        self.min_test_accuracy, self.conditional = min_test_accuracy, conditional
        self.balanced = balanced
        self.backbone_choice = choose_backbone(data, backbone)
        self._refuse_misfits(backbone)
        self.wants_all = scores == "all"
        added, choice = tuple((own or {}).values()), self.backbone_choice
        self.scores = choose_scores(scores, added, data, choice, conditional, held_out)
        known = (*MEASURES, *added)
        self.measures = [m for m in known if set(m.choices) & set(self.scores)]
        self.n_fake = default_count(data, self.backbone_choice) if n_fake is None else n_fake
        for measure in self.measures:
            self._check_count("n_fake", self.n_fake, measure)
        self.backbone: Backbone | None = None
        self.device = torch.device("cpu")
        self.notes: list[str] = []
        self._metrics: list[Metric] | None = None
        self._left_out: list[str] = []  # notes on scores that the real side does not allow
        self._protocols: dict[str, Protocol] = {}

    def _refuse_misfits(self, backbone: str) -> None:
        """Raises: UserError for options that do not fit each other or the data."""
        if self.split == "test" and self.held_out == "validation":
            raise UserError(
                "With metrics.split=test, the test images would choose a run's best checkpoint and "
                "a sweep's winner, but they are meant for the final report only. Use "
                "metrics.split=validation (or train), and measure the trained run with 'gansweep "
                "evaluate RUN metrics.split=test'."
            )
        if self.balanced and not self.conditional:
            raise UserError(
                "metrics.balanced=true requests every class equally often, but this generator "
                "takes no class. Leave the option out, or train one that follows labels, such as "
                "model=cgan."
            )
        if self.backbone_choice == "classifier":
            refuse_unfit(self.data)
        if self.weights_path and self.backbone_choice in (None, "classifier"):
            raise UserError(
                f"metrics.weights_path={self.weights_path} is for a published network, but "
                f"data={self.data.name} is scored without one (backbone={backbone}). Use "
                "metrics=inception, or leave the option out."
            )

    @property
    def objective(self) -> str | None:
        """The score that ranks runs on this data: FID for images, reverse KL for mixtures.

        It is the first of `DEFAULT_OBJECTIVES` that is measured, or None. Call `prepare` first.
        """
        found = {protocol["score"]: name for name, protocol in self.names().items()}
        return next((found[score] for score in DEFAULT_OBJECTIVES if score in found), None)

    def prepare(self, device: torch.device | str) -> None:
        """Load or train the backbone and measure the real side. Does nothing the second time.

        Raises: UserError if weights cannot be loaded or the classifier is not accurate enough.
        """
        device = torch.device(device)
        if device.type == "cuda" and device.index is None:  # a model's device has an index
            device = torch.device("cuda", torch.cuda.current_device())
        if self._metrics is not None and self.device == device:
            return
        self.device = device
        real = None
        choice, accuracy = self.backbone_choice, self.min_test_accuracy
        if self.measures and choice is not None:
            self.backbone = load_backbone(choice, self.data, device, self.weights_path, accuracy)
            wanted = any(measure.needs_features for measure in self.measures)
            real = real_side(self.data, self.split, self.n_real, self.backbone, wanted).to(device)
        sides = (self.data, self.split, self.n_fake, device, self.backbone, real)
        setting = Setting(*sides, self.conditional, self.balanced, self.held_out)
        self._metrics = self._build(setting)
        self._protocols = self._stated_protocols(setting)

    def _build(self, setting: Setting) -> list[Metric]:
        """The metrics of `measures`. Measures that the real side does not allow are removed.

        Raises: UserError for such a measure, if its score was requested by name.
        """
        built: list[tuple[Measure, Metric]] = []
        for measure in self.measures:
            try:
                if setting.real is not None:
                    self._check_count("n_real", setting.real.count, measure)
                built.append((measure, measure.build(setting).to(self.device)))
            except ValueError as error:
                words = ", ".join(word for word in measure.choices if word in self.scores)
                if self.wants_all:
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
        """Every score's name with its protocol. Call `prepare` first: it knows the weights."""
        assert self._metrics is not None, "Panel.prepare comes first"
        return {score_name(protocol): protocol for protocol in self._protocols.values()}

    @torch.no_grad()
    def score(self, generate: Generate, progress: Progress | None = None) -> dict[str, Score]:
        """Measure a generator: name -> score.

        generate: (n, CPU generator) -> n samples, (n, C, H, W) in [-1, 1] or points (n, D). All
            their randomness comes from that generator. A Batch also gives the requested classes.
        progress: called with (stage, done, total).
        Raises: DivergedError for samples that are not finite or far from the range of images;
            UserError for samples of another shape, or a measure that computes something else than
            its words.
        """
        assert self._metrics is not None, "Panel.prepare comes first"
        pairs = list(zip(self.measures, self._metrics, strict=True))
        report = progress or (lambda stage, done, total: None)
        for metric in self._metrics:
            metric.reset()
        refused = None
        try:
            for seen, done in self._seen(generate) if pairs else ():
                for measure, metric in pairs:
                    measure.update(metric, seen)
                report("samples", done, self.n_fake)
        except DivergedError as error:
            refused = str(error)
        _raise_on_all(refused)
        values: dict[str, Tensor] = {}
        self.notes = list(self._left_out)
        for done, (measure, metric) in enumerate(pairs, start=1):
            try:
                values |= self._computed(measure, metric)
            except UserError:
                raise
            except ValueError as error:  # only this measure fails
                self.notes.append(f"{', '.join(measure.words)} left out: {error}")
            report("scores", done, len(pairs))
            metric.reset()
        scores = [self._stated(word, values) for word in self._protocols if word in values]
        return {score.name: score for score in scores}

    def _computed(self, measure: Measure, metric: Metric) -> dict[str, Tensor]:
        """What a metric computed.   Raises: UserError if it is not what its measure promises."""
        found = metric.compute()
        name, words = type(measure).__name__, [w for w in measure.words if w in self._protocols]
        is_named = isinstance(found, Mapping)
        if not is_named or (words and found.keys().isdisjoint(words)):
            said = ", ".join(found) or "nothing" if is_named else described(found)
            raise UserError(
                f"The metric of {name} computed {said}, where its words are needed: "
                f"{', '.join(measure.words)}. Return word -> value, as "
                f"gansweep.metrics.ordered.as_scores({measure.words[0]}=...) does."
            )
        for word in found.keys() & set(words) - set(measure.lists):
            if not isinstance(found[word], Tensor) or found[word].numel() != 1:
                raise UserError(
                    f"The metric of {name} computed {described(found[word])} for '{word}', where "
                    "a tensor of one number is needed. Use torch.tensor(NUMBER), or "
                    f"lists = ('{word}',) in {name} if there is a number for each mode or class."
                )
        return dict(found)

    def _stated(self, word: str, values: dict[str, Tensor]) -> Score:
        numbers = {name: value.item() for name, value in values.items() if value.numel() == 1}
        interval = None
        if word == "fid" and "fid_error" in numbers:  # covers the mean FID of n_fake samples
            reach = NORMAL_95 * numbers["fid_error"]
            interval = (numbers[word] - reach, numbers[word] + reach)
        elif f"{word}_low" in numbers:
            interval = (numbers[f"{word}_low"], numbers[f"{word}_high"])
        listed = any(word in measure.lists for measure in self.measures)
        # torchmetrics turns a list of one number into a number
        value = values[word].reshape(-1).tolist() if listed else numbers[word]
        return Score(value, self._protocols[word], numbers.get(f"{word}_std"), interval)

    def _seen(self, generate: Generate) -> Iterator[tuple[Seen, int]]:
        """This process's share of the samples, and how many all processes have made so far."""
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
            raise UserError(
                f"The generator made samples of shape {tuple(samples.shape)}, but "
                f"{(n, *self.data.shape)} was requested. Correct what the model's `fakes` returns."
            )
        if not samples.isfinite().all():
            raise DivergedError(
                "The generator made samples that are not finite (NaN or infinite), so no score "
                "can be computed: the training has diverged."
            )
        if self.data.is_points:
            return
        if not samples.is_floating_point() or samples.abs().max() > LARGEST_PIXEL:
            low, high = samples.aminmax()
            raise DivergedError(
                f"The generator made images of {str(samples.dtype).removeprefix('torch.')} from "
                f"{low.item():.4g} to {high.item():.4g}, but pixels must be floats from -1 (black) "
                "to 1 (white). Scale them; from 0..255 it is images / 127.5 - 1. If the generator "
                "has no tanh at its end, its training has diverged."
            )

    def _check_count(self, option: str, count: int, measure: Measure) -> None:
        """Raises: UserError for fewer than twice the samples that the score is computable from."""
        needed = 2 * measure.least(self.data)[option == "n_real"]
        if count >= needed:
            return
        word = next(word for word in measure.choices if word in self.scores)
        fix = f"Raise metrics.{option}, or leave"
        if option == "n_real" and count == self.data.count(self.split):
            fix = f"The {self.split} split of data={self.data.name} has no more samples: leave"
        raise UserError(
            f"metrics.{option}: {plural(count, 'sample')} cannot give the score '{word}', which "
            f"needs at least {needed} here. {fix} the score out of metrics.scores."
        )

    def _stated_protocols(self, setting: Setting) -> dict[str, Protocol]:
        """Word of the score -> its protocol."""
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
            # null with labels as in training: comparable with a generator without labels
            "asked": "every class alike" if self.balanced else None,
            **(backbone.extras if backbone else {}),
        }


def _raise_on_all(refused: str | None) -> None:
    """Raise a process's DivergedError on all of them: otherwise they would wait for it."""
    if dist.is_initialized():
        messages: list[str | None] = [None] * dist.get_world_size()
        dist.all_gather_object(messages, refused)
        refused = next((message for message in messages if message), None)
    if refused:
        raise DivergedError(refused)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, the values of an image file: clamped, then rounded."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
