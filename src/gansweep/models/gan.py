"""One generator against one discriminator: Goodfellow et al. 2014, arXiv:1406.2661, Algorithm 1.

Every two-player variant is this game with another loss, networks, and terms (terms/term.py).
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from gansweep.config.ranges import (
    Count,
    Positive,
    Range,
    Scheduled,
    Share,
    Weight,
    WeightInTime,
    Width,
)
from gansweep.data.batch import Batch, joined
from gansweep.errors import UserError
from gansweep.layers.minibatch_stddev import MinibatchStddev
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.models.evaluating import cut_off, evaluating, like_weights
from gansweep.models.player_loss import Drawn, Memories, PlayerLoss, Scores, all_scores
from gansweep.models.refusals import NOTHING_TO_LEARN, refuse_classes, refuse_misfit
from gansweep.models.standing import ROWS, StandingStatistics, batch_norms
from gansweep.terms.augment import ADA, Augmentation, DiffAugment
from gansweep.terms.clock import Clock
from gansweep.terms.collectives import average
from gansweep.terms.dequantise import Dequantise
from gansweep.terms.feature_matching import FeatureMatching
from gansweep.terms.full_precision import in_full
from gansweep.terms.joined import Joined
from gansweep.terms.losses import Loss
from gansweep.terms.packing import Packing, packs, packs_around
from gansweep.terms.penalties import WeightClip
from gansweep.terms.returned import one_each, scalar
from gansweep.terms.term import Judged, Step, Term
from gansweep.terms.top_k import TopK


class GAN(Adversarial):
    """A generator G: (N, latent_dim) -> samples, and a discriminator D: samples -> (N,) scores.

    generator, discriminator: callables that build the networks for the data's `sample_shape`.
    latent_distribution: "normal", or "uniform" on [-1, 1).
    conditional: G and D are also given the class of each sample, G(z, labels) and D(x, labels),
        and are built with `n_classes`.
    penalties, terms: name -> what joins the losses; their curves: penalty/NAME and term/NAME.
    penalty_interval: see Joined.
    adversarial: weight in G's loss of the game's own; 0 leaves the terms alone.
    standing_statistics: batches of 64 samples on which the means and variances of the generator's
        batch normalisation are measured before it makes samples, see StandingStatistics; 0: samples
        are made with the running averages of training.
    dequantise, augment, packing, top_k, feature_matching, weight_clip: terms of terms/ that have
        an option of their own: Dequantise, an Augmentation, Packing, TopK, FeatureMatching,
        WeightClip.
    """

    from_noise = True
    never_takes: ClassVar[frozenset[str]] = frozenset()  # what `takes` leaves out
    classes: ClassVar[Literal["always", "never", "optional"]] = "optional"  # conditional

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: Loss,
        penalties: Mapping[str, Term],
        terms: Mapping[str, Term] | None = None,
        latent_dim: Width,
        latent_distribution: Literal["normal", "uniform"] = "normal",
        conditional: bool = False,
        packing: Annotated[int, Range(1, 1_000)] = 1,
        penalty_interval: Count = 1,
        dequantise: bool = False,
        augment: Augmentation | None = None,
        top_k: Scheduled[Share] | None = None,
        feature_matching: WeightInTime = 0.0,
        adversarial: Weight = 1.0,
        weight_clip: Positive | None = None,
        standing_statistics: Annotated[int, Range(0, 10_000)] = 0,
        **training: Any,
    ) -> None:
        refuse_classes(conditional, self.classes, type(self).__name__)
        super().__init__(**training)
        self.conditional = self.needs_labels = conditional
        self.refuse_what_is_missing()
        self.packing = packing
        self.latent_dim = latent_dim
        self.latent_distribution = latent_distribution
        self.loss = loss
        self.adversarial = adversarial
        with_options: dict[str, Term | None] = {
            "dequantise": Dequantise() if dequantise else None,
            "augment": augment,
            "packing": Packing(packing) if packing > 1 else None,
            "top_k": TopK(top_k) if top_k is not None else None,
            "feature_matching": FeatureMatching(feature_matching) if feature_matching else None,
            "weight_clip": WeightClip(weight_clip) if weight_clip is not None else None,
        }
        self.terms = Joined(penalties, terms or {}, with_options, penalty_interval)
        self.terms.refuse_misfits(self)
        self._build_networks(generator, discriminator)
        if standing_statistics and not batch_norms(self.generator):
            raise UserError(
                f"model.standing_statistics={standing_statistics} measures what batch "
                "normalisation samples with, and this generator has none. Use 0."
            )
        self.standing = StandingStatistics(standing_statistics)
        if not (adversarial or self.terms.acting_on("generator")):
            raise UserError(NOTHING_TO_LEARN)

    def _build_networks(
        self, generator: Callable[..., nn.Module], discriminator: Callable[..., nn.Module]
    ) -> None:
        """Build both for the data, and see which samples they may be given together."""
        refuse_misfit(generator, self.conditional)
        refuse_misfit(discriminator, self.conditional)
        classes = {"n_classes": self.n_classes} if self.conditional else {}
        shape = self.sample_shape
        self.generator = generator(sample_shape=shape, latent_dim=self.latent_dim, **classes)
        packed = (self.packing * shape[0], *shape[1:])
        self.discriminator = discriminator(sample_shape=packed, **classes)
        self._free_options = _free_options(discriminator)
        self.terms.refuse_without_features(self.discriminator)
        layers = list(self.discriminator.modules())
        self.compares_samples = any(getattr(m, "compares_samples", False) for m in layers)
        # Batch statistics must not mix real and generated samples.
        self._scores_together = not self.compares_samples and not any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers
        )
        self._spreads = [layer for layer in layers if isinstance(layer, MinibatchStddev)]
        self.judged_together = self.packing * math.lcm(*(layer.group for layer in self._spreads))
        whole = self.compares_samples or self.terms.compares_samples
        self.sliceable = self.sliceable and not whole and "accumulate" in self.loss.combines_with

    @property
    def pairs_classes(self) -> bool:  # type: ignore[override]
        return self.loss.pairs_real

    @property
    def takes(self) -> frozenset[str]:
        """Those that the constructor would not refuse, and that are not there yet."""
        found = {"loss", "penalties", *self._free_options}
        if self.conditional or self.accumulate > 1 or self.generator_batch > 1:
            found -= {"head"}  # one that takes the class, or one that may compare samples
        free: dict[str, Term] = {}
        if "augment" not in self.terms:
            free |= {"augment": DiffAugment(policy=[]), "ada": ADA()}
        if "packing" not in self.terms:
            free |= {"packing": Packing(2)}
        found |= {name for name, term in free.items() if not term.misfit(self)}
        return frozenset(found - self.never_takes)

    @property
    def uses(self) -> frozenset[str]:
        names = {"ada" if isinstance(term, ADA) else name for name, term in self.terms.items()}
        return super().uses | (names & {"ada", "top_k"})

    def scheduled(self, clock: Clock) -> dict[str, float]:
        return super().scheduled(clock) | self.terms.scheduled(clock)

    @property
    def memory(self) -> dict[str, nn.Module]:
        return self.terms.memory

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        """The latents "z", and what the terms need as "NAME.KEY" (see `Joined.noise`)."""
        images = batch.images
        drawn = {"z": self.latents(draws, len(batch), images.dtype)}
        for name, noise in self.terms.noise(images, packs(images, self.packing)).items():
            for key, (distribution, shape) in noise.items():
                draw = draws.uniform if distribution == "uniform" else draws.normal
                drawn[f"{name}.{key}"] = draw(*shape, dtype=images.dtype)
        return drawn

    def latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        if self.latent_distribution == "uniform":
            return draws.uniform(n, self.latent_dim, dtype=dtype).mul_(2).sub_(1)
        return draws.normal(n, self.latent_dim, dtype=dtype)

    @property
    def latents_in_words(self) -> str:
        """The distribution of `latents`, for who uses the generator elsewhere."""
        is_uniform = self.latent_distribution == "uniform"
        return "uniform on [-1, 1)" if is_uniform else "normal, of variance 1"

    def sampling_latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        """Latents of the samples to look at and to measure: those of training."""
        return self.latents(draws, n, dtype)

    def generate(
        self, generator: nn.Module, z: Tensor, labels: Tensor | None, clock: Clock
    ) -> Tensor:
        """G(z), or G(z, labels) where it is conditional."""
        return generator(z, labels) if self.conditional else generator(z)

    def samples_of(self, generator: nn.Module, z: Tensor, labels: Tensor | None) -> Tensor:
        """What `generate` makes at present, as it leaves: (N, C, H, W) in [-1, 1], or (N, D)."""
        return cut_off(self.generate(generator, z, labels, self.clock))

    def as_judged(self, samples: Tensor) -> Tensor:
        """Samples as they leave -> as D takes them at present: as they are."""
        return samples

    def judge(self, samples: Tensor, labels: Tensor | None, clock: Clock) -> Tensor:
        """D(x), or D(x, labels) where it is conditional, of samples that are packed already."""
        given = (samples, labels) if self.conditional else (samples,)
        return one_each(in_full(self.discriminator(*given)), self.discriminator)

    def features(self, samples: Tensor, clock: Clock) -> Tensor:
        """What D's score is a function of, (N, n_features), of samples that are packed already."""
        return self.discriminator.features(samples)  # type: ignore[operator]

    def make(self, batch: Batch, drawn: Drawn, clock: Clock) -> Tensor:
        return self.generate(self.generator, drawn["z"], batch.labels, clock)

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        if player == "generator":
            return self.generator_loss(batch, drawn, fakes, clock)
        return self.discriminator_loss(batch, drawn, fakes, clock)

    def shown(self, samples: Tensor, drawn: Drawn, view: str, clock: Clock) -> Tensor:
        """What D sees of samples in training: changed by the terms that do so, packed.

        view: whose draw they use; "real", "fake", or "generator" for fakes in G's loss.
        """
        return self.terms.shown(samples, drawn, view, clock)

    def discriminator_loss(
        self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """The loss's own value, and what the terms add."""
        made = fakes.detach()  # D's step must not reach G
        differentiable = self.terms.at_samples(clock)
        if torch.is_autocast_enabled(made.device.type):  # scores of too few digits for a gradient
            differentiable = frozenset()
        if "real" in differentiable:
            batch = replace(batch, images=batch.images.detach().requires_grad_())
        made.requires_grad_("fake" in differentiable)
        images = self.shown(batch.images, drawn, "real", clock)
        fakes = self.shown(made, drawn, "fake", clock)
        # apart, so that a gradient at one kind of sample does not pass through the other's
        both = images, fakes, batch.labels, clock
        real, fake = self._score_both(*both, apart=bool(differentiable))
        step, said = self._step(batch, made, drawn, clock), type(self.loss).__name__
        total, parts = self.terms.join(
            "discriminator",
            scalar(self.loss.discriminator(real, fake), f"the value of {said}.discriminator"),
            partial(step, images, fakes, real, fake, differentiable=differentiable),
        )
        scores = Scores(real.detach(), fake.detach(), self.loss.kind)
        return PlayerLoss(total, self.terms.parts() | parts, scores)

    def generator_loss(self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock) -> PlayerLoss:
        """`adversarial` times the loss's own value, and what the terms add."""
        made, fakes = fakes, self.shown(fakes, drawn, "generator", clock)
        real = None
        if self.loss.pairs_real:
            with torch.no_grad():
                images = self.shown(batch.images, drawn, "real", clock)
                real = self.judge(images, batch.labels, clock)
        fake = self.judge(fakes, batch.labels, clock)
        chosen = self.terms.chosen(fake, self.loss.kind, clock)

        def step() -> Step:
            images = self.shown(batch.images, drawn, "real", clock)
            return self._step(batch, made, drawn, clock)(images, fakes, real, fake)

        own, said = self.loss.generator(real, chosen), type(self.loss).__name__
        game = self.adversarial * scalar(own, f"the value of {said}.generator")
        return PlayerLoss(*self.terms.join("generator", game, step))

    def _step(self, batch: Batch, made: Tensor, drawn: Drawn, clock: Clock) -> Callable[..., Step]:
        """What the terms see; it is called with real, fake, and the scores of both."""
        return partial(
            Step,
            judge=partial(self.judge, labels=batch.labels, clock=clock),
            features=partial(self.features, clock=clock),
            raw_real=batch.images,
            raw_fake=made,
            show=partial(self.shown, drawn=drawn, clock=clock),
            draw=drawn,
            clock=clock,
        )

    def _score_both(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        clock: Clock,
        *,
        apart: bool = False,
    ) -> tuple[Tensor, Tensor]:
        for layer in self._spreads:  # no group may hold both kinds of sample
            layer.check(len(real))
        if apart or not self._scores_together:
            return self.judge(real, labels, clock), self.judge(fake, labels, clock)
        both = None if labels is None else torch.cat([labels, labels])
        scores = self.judge(torch.cat([real, fake]), both, clock)
        return scores[: len(real)], scores[len(real) :]

    def after_move(self, player: str) -> None:
        if player == "discriminator":
            self.terms.after_move(self.discriminator)

    @torch.no_grad()
    def remembered(self, player: str, slices: Sequence[PlayerLoss]) -> Memories:
        """What the terms that follow the discriminator's scores take from those of the batch."""
        judged = all_scores(slices) if self.terms.memory else None
        if judged is None:
            return {}
        real, fake = judged.real, judged.fake
        taken = (real - (self.loss.boundary or 0.0)).sign().mean()
        means = average(torch.stack([real.mean(), fake.mean(), taken]))
        images = len(real) * self.packing * (1 if self.draws is None else self.draws.world)
        return self.terms.learned(Judged(means[0], means[1], means[2], images))

    def sampler(self, player: str = "generator") -> nn.Module:
        """The generator's has standing statistics, where these are asked for."""
        network = super().sampler(player)
        if player != "generator" or not self.standing.batches:
            return network
        weight = next(network.parameters())
        moment = (self.steps, weight.device, weight.dtype, self.truncated)
        return self.standing.of(network, moment, self._samples)

    def _samples(self, generator: nn.Module, rng: torch.Generator) -> Tensor:
        """ROWS samples, of the training data's classes where it is conditional."""
        draws = Draws(0, torch.device("cpu"))
        draws.generator = rng
        z = like_weights(self.sampling_latents(draws, ROWS, torch.float32), generator)
        labels = draws.classes(ROWS, self.class_ends.cpu()) if self.conditional else None
        asked = None if labels is None else labels.to(z.device)
        return self.generate(generator, z, asked, self.clock)

    def load_networks(self, state: Mapping[str, Any]) -> None:
        super().load_networks(state)
        self.standing.forget()

    @property
    def draws_classes(self) -> bool:
        return super().draws_classes or (self.conditional and self.standing.batches > 0)

    def declared(self) -> dict[str, Any]:
        """With the batches that samples are made after, where these are asked for."""
        n = self.standing.batches
        return super().declared() | ({"standing_statistics": n} if n else {})

    @torch.no_grad()
    def fakes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """From latents of `rng` and the batch's labels, by the generator in evaluation mode."""
        draws = Draws(0, torch.device("cpu"))
        draws.generator = rng
        z = self.sampling_latents(draws, len(batch), torch.float32)
        with evaluating(self.sampler()) as generator:
            return self.samples_of(generator, like_weights(z, generator), batch.labels)

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        """In evaluation mode; with packing each of a batch's packs is judged as one sample.

        Where D judges groups, the last group is filled up with the first samples.
        """
        n, group = len(batch), math.lcm(*(layer.group for layer in self._spreads))
        short = -n % group
        whole = joined([batch, *[batch] * (short // n), batch[: short % n]]) if short else batch
        real, fakes = (packs_around(x, self.packing) for x in self.judged(whole, rng))
        with evaluating(self.discriminator):
            real_scores, fake_scores = self._score_both(real, fakes, whole.labels, self.clock)
        return Scores(real_scores[:n], fake_scores[:n], self.loss.kind)

    def judged(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The real and the generated samples of `scores`, as D judges them."""
        return batch.images, self.fakes(batch, rng)

    def compile_networks(self) -> None:
        """Compile G, and D unless a term differentiates it twice, which compilation forbids."""
        self.generator.compile()
        if not self.terms.of_gradients:
            self.discriminator.compile()


def _free_options(network: Callable[..., nn.Module]) -> frozenset[str]:
    """Which of `spectral_norm` and `head` a network has as an option, and was not given."""
    given: dict[str, Any] = {}
    while isinstance(network, partial):
        given = {**network.keywords, **given}
        network = network.func
    known = inspect.signature(network).parameters
    return frozenset(n for n in ("spectral_norm", "head") if n in known and not given.get(n))
