"""One generator against one discriminator: Goodfellow et al. 2014, arXiv:1406.2661, Algorithm 1.

Every two-player variant is this procedure with another loss, other penalties, other networks; the
terms against collapse and overfitting join any of them.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Count, Positive, Range, Weight, Width
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.minibatch_stddev import MinibatchStddev
from gansweep.models.adversarial import Adversarial, Schedule
from gansweep.models.clock import Clock
from gansweep.models.distributed import average
from gansweep.models.draws import Draws
from gansweep.models.packing import packs, packs_around
from gansweep.models.terms import Memories, Scores, Terms
from gansweep.terms.augment import ADA, Augmentation
from gansweep.terms.losses import Loss
from gansweep.terms.penalties import Penalty, ScorePenalty


class GAN(Adversarial):
    """A generator G: (N, latent_dim) -> samples, and a discriminator D: samples -> (N,) scores.

    generator, discriminator: callables that build the networks for the data's `sample_shape`.
    latent_distribution: "normal", or "uniform" on [-1, 1).
    conditional: G and D are also given the class of each sample, G(z, labels) and D(x, labels),
        and are built with `n_classes`.
    packing: D judges so many samples at once, side by side in their channels (Lin et al. 2018,
        PacGAN, arXiv:1712.04086, Section 3); 1 for none.
    penalty_interval: the penalties join the loss on every k-th of D's steps only, k times as strong
        (lazy regularisation: Karras et al. 2020, arXiv:1912.04958, Section 3.1).
    augment: what changes the samples, real and generated, before D sees them in training; penalties
        look at the changed samples. None for nothing.
    top_k: (kimg, budget_kimg) -> share of the batch's fakes, those that D takes most for real, that
        G learns from (Sinha et al. 2020, arXiv:2002.06224, Section 3); of a process's own slice of
        the batch. None for all.
    feature_matching: weight in G's loss of |E f(x) - E f(G(z))|^2, f being D's features (Salimans
        et al. 2016, arXiv:1606.03498, Section 3.1).
    adversarial: weight in G's loss of the game's own; 0 leaves feature matching alone.
    weight_clip: largest size of a weight of D after each of its steps (Arjovsky et al. 2017,
        arXiv:1701.07875, Algorithm 1); None for no clipping.
    """

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: Loss,
        penalties: Mapping[str, Penalty | ScorePenalty],
        latent_dim: Width,
        latent_distribution: Literal["normal", "uniform"] = "normal",
        conditional: bool = False,
        packing: Annotated[int, Range(1, 1_000)] = 1,
        penalty_interval: Count = 1,
        augment: Augmentation | None = None,
        top_k: Schedule | None = None,
        feature_matching: Weight = 0.0,
        adversarial: Weight = 1.0,
        weight_clip: Positive | None = None,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.conditional = self.needs_labels = conditional
        self.refuse_what_is_missing()
        self.packing = packing
        self.latent_dim = latent_dim
        self.latent_distribution = latent_distribution
        self.weight_clip = weight_clip
        self.penalty_interval = penalty_interval
        self.loss = loss
        self.penalties = dict(penalties)
        self.augment = augment
        self.top_k = top_k
        self.feature_matching = feature_matching
        self.adversarial = adversarial
        self._refuse_what_does_not_fit()
        self._build_networks(generator, discriminator)
        self._learning = nn.ModuleDict(
            {name: term for name, term in self._terms.items() if isinstance(term, nn.Module)}
        )

    def _build_networks(
        self, generator: Callable[..., nn.Module], discriminator: Callable[..., nn.Module]
    ) -> None:
        """Build both for the data, and see which samples they may be given together."""
        if self.conditional:
            _refuse_without_classes(generator)
        classes = {"n_classes": self.n_classes} if self.conditional else {}
        shape = self.sample_shape
        self.generator = generator(sample_shape=shape, latent_dim=self.latent_dim, **classes)
        self.discriminator = discriminator(
            sample_shape=(self.packing * shape[0], *shape[1:]), **classes
        )
        self._free_options = _free_options(discriminator)
        if self.feature_matching and not hasattr(self.discriminator, "features"):
            raise UserError(
                f"model.feature_matching={self.feature_matching} needs a discriminator with "
                f"features: {type(self.discriminator).__name__} has none. Use feature_matching=0."
            )
        layers = list(self.discriminator.modules())
        compares = any(getattr(layer, "compares_samples", False) for layer in layers)
        # Batch statistics must not mix real and generated samples.
        self._scores_together = not compares and not any(
            isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers
        )
        groups = [layer.group for layer in layers if isinstance(layer, MinibatchStddev)]
        self.judged_together = self.packing * math.lcm(*groups)
        whole = compares or self.top_k is not None or self.feature_matching
        self.sliceable = self.sliceable and not whole and "accumulate" in self.loss.combines_with

    @property
    def _terms(self) -> dict[str, Any]:
        return {**self.penalties, "augment": self.augment}

    def _refuse_what_does_not_fit(self) -> None:
        """Raises: UserError for options that exclude each other, or the data."""
        if self.conditional and self.packing > 1:
            raise UserError(
                f"model.packing={self.packing} puts samples of several classes before a "
                "discriminator that is told one. Use packing=1, or a model without classes."
            )
        if self.packing < 1 or self.penalty_interval < 1:
            raise UserError(
                f"model.packing={self.packing} and model.penalty_interval={self.penalty_interval} "
                "count samples and steps: use 1 for no packing and a penalty in every step."
            )
        if self.top_k is not None and "top_k" not in self.loss.combines_with:
            raise UserError(
                "model.top_k chooses among the fakes, and this loss compares each with real "
                "samples. Use model.top_k=null, or another loss, as "
                "gansweep.terms.losses.NonSaturating."
            )
        if min(self.feature_matching, self.adversarial) < 0 or not (
            self.feature_matching or self.adversarial
        ):
            raise UserError(
                f"model.feature_matching={self.feature_matching} and model.adversarial="
                f"{self.adversarial} weigh the generator's terms: use 0 or more, not 0 for both."
            )
        if self.augment is not None:
            self.augment.check(self.sample_shape)
            if isinstance(self.augment, ADA) and "ada" not in self.loss.combines_with:
                raise UserError(
                    "ADA follows how many samples the discriminator takes for real, and the "
                    f"scores of {type(self.loss).__name__} have no boundary that says so. Use "
                    "term=diffaugment, or another loss, as gansweep.terms.losses.NonSaturating."
                )
        for name, penalty in self.penalties.items():
            if len(self.sample_shape) == 1 and not penalty.takes_points:
                raise UserError(
                    f"model.penalties.{name} changes images, and the data are points. Leave it "
                    "out, or use image data, as data=digits."
                )

    @property
    def takes(self) -> frozenset[str]:
        """Those that the constructor would not refuse, and that are not there yet."""
        options = self._free_options
        if self.conditional:
            options -= {"head"}  # which is what tells D the class, where D has one
        if self.accumulate > 1:
            options -= {"head"}  # which may compare the samples of a batch
        found = {"loss", "penalties", *options}
        if self.packing == 1 and not self.conditional:
            found.add("packing")
        if self.augment is None and len(self.sample_shape) == 3:
            found.add("augment")
            if self.sample_shape[0] in ADA.channels and "ada" in self.loss.combines_with:
                found.add("ada")
        return frozenset(found)

    @property
    def uses(self) -> frozenset[str]:
        found = {"ada"} if isinstance(self.augment, ADA) else set()
        return super().uses | found | ({"top_k"} if self.top_k is not None else set())

    @property
    def memory(self) -> dict[str, nn.Module]:
        return dict(self._learning.items())

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> dict[str, Tensor]:
        """The latents "z", and as "PENALTY.KEY" and "augment.SHOWN.KEY" what its terms need."""
        images = packs(batch.images, self.packing)
        drawn = {"z": self.latents(draws, len(batch), images.dtype)}
        wanted = {n: p.noise(images) for n, p in self.penalties.items() if isinstance(p, Penalty)}
        if self.augment is not None:
            for shown in ("real", "fake", "generator"):
                wanted[f"augment.{shown}"] = self.augment.noise(len(batch))
        for name, noise in wanted.items():
            for key, (distribution, shape) in noise.items():
                draw = draws.uniform if distribution == "uniform" else draws.normal
                drawn[f"{name}.{key}"] = draw(*shape, dtype=images.dtype)
        return drawn

    def latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        if self.latent_distribution == "uniform":
            return draws.uniform(n, self.latent_dim, dtype=dtype).mul_(2).sub_(1)
        return draws.normal(n, self.latent_dim, dtype=dtype)

    def sampling_latents(self, draws: Draws, n: int, dtype: torch.dtype) -> Tensor:
        """Latents of the samples to look at and to measure: those of training."""
        return self.latents(draws, n, dtype)

    def generate(
        self, generator: nn.Module, z: Tensor, labels: Tensor | None, clock: Clock
    ) -> Tensor:
        """G(z), or G(z, labels) where it is conditional."""
        return generator(z, labels) if self.conditional else generator(z)

    def judge(self, samples: Tensor, labels: Tensor | None, clock: Clock) -> Tensor:
        """D(x), or D(x, labels) where it is conditional, of samples that are packed already."""
        return (
            self.discriminator(samples, labels) if self.conditional else self.discriminator(samples)
        )

    def features(self, samples: Tensor, clock: Clock) -> Tensor:
        """What D's score is a function of, (N, n_features), of samples that are packed already."""
        return self.discriminator.features(samples)  # type: ignore[operator]

    def make(self, batch: Batch, drawn: dict[str, Tensor], clock: Clock) -> Tensor:
        return self.generate(self.generator, drawn["z"], batch.labels, clock)

    def player_loss(
        self, player: str, batch: Batch, drawn: dict[str, Tensor], fakes: Tensor, clock: Clock
    ) -> Terms:
        if player == "generator":
            return self.generator_loss(batch, drawn, fakes, clock)
        return self.discriminator_loss(batch, drawn, fakes, clock)

    def shown(self, samples: Tensor, drawn: dict[str, Tensor], kind: str) -> Tensor:
        """What D sees of samples in training: augmented, then packed.

        kind: of the augmentation's draw; "real", "fake", or "generator" for fakes in G's loss.
        """
        if self.augment is not None:
            samples = self.augment(samples, _own(drawn, f"augment.{kind}"))
        return packs(samples, self.packing)

    def discriminator_loss(
        self, batch: Batch, drawn: dict[str, Tensor], fakes: Tensor, clock: Clock
    ) -> Terms:
        """The loss's own term, and each penalty with its weight in the steps in which it is due."""
        images = self.shown(batch.images, drawn, "real")
        # detach: the discriminator's step must not reach the generator
        fakes = self.shown(fakes.detach(), drawn, "fake")
        real, fake = self._score_both(images, fakes, batch.labels, clock)
        total = self.loss.discriminator(real, fake)
        parts = {} if self.augment is None else self.augment.parts()
        factor = clock.factor(self.penalty_interval)
        for name, penalty in self.penalties.items() if factor else ():
            if isinstance(penalty, ScorePenalty):
                value = penalty.of_scores(real, fake)
            else:
                judge = partial(self.judge, labels=batch.labels, clock=clock)
                value = penalty(judge, images, fakes, _own(drawn, name))
            parts[f"penalty/{name}"] = value.detach()
            total = total + penalty.weight * factor * value
        return Terms(total, parts, Scores(real.detach(), fake.detach(), self.loss.kind))

    def generator_loss(
        self, batch: Batch, drawn: dict[str, Tensor], fakes: Tensor, clock: Clock
    ) -> Terms:
        """`adversarial` times the loss's own term on the best fakes, and feature matching."""
        fakes = self.shown(fakes, drawn, "generator")
        real = None
        if self.loss.pairs_real:
            with torch.no_grad():
                real = self.judge(self.shown(batch.images, drawn, "real"), batch.labels, clock)
        fake = self.judge(fakes, batch.labels, clock)
        total = self.adversarial * self.loss.generator(real, self._best(fake, clock))
        if not self.feature_matching:
            return Terms(total)
        distance = self._feature_distance(self.shown(batch.images, drawn, "real"), fakes, clock)
        total = total + self.feature_matching * distance
        return Terms(total, {"feature_matching": distance.detach()})

    def _best(self, scores: Tensor, clock: Clock) -> Tensor:
        if self.top_k is None:
            return scores
        share = self.top_k(clock.kimg, clock.budget_kimg)
        realistic_is_high = self.loss.kind != "energy"
        return scores.topk(max(1, int(share * len(scores))), largest=realistic_is_high).values

    def _feature_distance(self, images: Tensor, fakes: Tensor, clock: Clock) -> Tensor:
        """|E f(x) - E f(G(z))|^2 over the batch of all processes; no gradient through f(x)."""
        with torch.no_grad():
            real = average(self.features(images, clock).mean(0))
        fake = average(self.features(fakes, clock).mean(0))
        return (real - fake).square().sum()

    def _score_both(
        self, real: Tensor, fake: Tensor, labels: Tensor | None, clock: Clock
    ) -> tuple[Tensor, Tensor]:
        if not self._scores_together:
            return self.judge(real, labels, clock), self.judge(fake, labels, clock)
        both = None if labels is None else torch.cat([labels, labels])
        scores = self.judge(torch.cat([real, fake]), both, clock)
        return scores[: len(real)], scores[len(real) :]

    def after_move(self, player: str) -> None:
        if self.weight_clip is not None and player == "discriminator":
            with torch.no_grad():
                weights: list[Tensor] = list(self.discriminator.parameters())
                torch._foreach_clamp_max_(weights, self.weight_clip)
                torch._foreach_clamp_min_(weights, -self.weight_clip)

    @torch.no_grad()
    def remembered(self, player: str, slices: Sequence[Terms]) -> Memories:
        """What the terms that follow the discriminator's scores take from those of the batch."""
        judged = [terms.scores for terms in slices if terms.scores is not None]
        if not self._learning or not judged:
            return {}
        real = torch.cat([scores.real for scores in judged])
        fake = torch.cat([scores.fake for scores in judged])
        taken = (real - (self.loss.boundary or 0.0)).sign().mean()  # ADA's r_t
        means = average(torch.stack([real.mean(), fake.mean(), taken]))
        world = 1 if self.draws is None else self.draws.world
        found: dict[str, Mapping[str, Tensor]] = {}
        for name, term in self._terms.items():
            if isinstance(term, ScorePenalty):
                found[name] = term.learned(means[0], means[1])
            elif isinstance(term, ADA):
                found[name] = term.adapted(means[2], len(real) * self.packing * world)
        return found

    @torch.no_grad()
    def fakes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """From latents of `rng` and the batch's labels, by the generator in evaluation mode."""
        draws = Draws(0, torch.device("cpu"))
        draws.generator = rng
        z = self.sampling_latents(draws, len(batch), torch.float32)
        generator = self.sampler()
        first = next(generator.parameters())
        trained = generator.training
        generator.eval()
        made = self.generate(generator, z.to(first.device, first.dtype), batch.labels, self.clock)
        generator.train(trained)
        return made

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        """In evaluation mode; with packing each of a batch's packs is judged as one sample."""
        real, fakes = (
            packs_around(samples, self.packing)
            for samples in (batch.images, self.fakes(batch, rng))
        )
        trained = self.discriminator.training
        self.discriminator.eval()
        real_scores, fake_scores = self._score_both(real, fakes, batch.labels, self.clock)
        self.discriminator.train(trained)
        return Scores(real_scores, fake_scores, self.loss.kind)

    def compile_networks(self) -> None:
        """Compile G, and D unless a penalty differentiates it twice, which compilation forbids."""
        self.generator.compile()
        if not any(penalty.of_gradients for penalty in self.penalties.values()):
            self.discriminator.compile()


def _own(drawn: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The draws called NAME.KEY, by their keys."""
    return {k[len(name) + 1 :]: v for k, v in drawn.items() if k.startswith(f"{name}.")}


def _free_options(network: Callable[..., nn.Module]) -> frozenset[str]:
    """Which of `spectral_norm` and `head` a network has as an option, and was not given."""
    given: dict[str, Any] = {}
    while isinstance(network, partial):
        given = {**network.keywords, **given}
        network = network.func
    known = inspect.signature(network).parameters
    return frozenset(n for n in ("spectral_norm", "head") if n in known and not given.get(n))


def _refuse_without_classes(network: Callable[..., nn.Module]) -> None:
    """Raises: UserError for a network that cannot be told a class."""
    known = inspect.signature(network).parameters.values()
    if not any(p.name == "n_classes" or p.kind is p.VAR_KEYWORD for p in known):
        raise UserError(
            "model.conditional=true tells both networks the class, and this generator takes none. "
            "Use model=cgan, model=acgan or model=cgan_projection; gansweep.layers.conditional "
            "tells the class to networks of your own, as conf/model/cgan.yaml shows."
        )
