"""Learning classes from a few labels and many images: the discriminator is the classifier.

For K classes, a sample's logits l_1 ... l_K and Z = sum of exp(l_k):
SGAN gives generated samples a class of their own, with a logit l_fake: the probability that a
sample is real is D = Z / (Z + exp(l_fake)), the sigmoid of log Z - l_fake; that of class k among
the real ones is exp(l_k) / Z. FeatureMatchingSGAN fixes l_fake = 0: only differences matter.

Source: Odena 2016, arXiv:1606.01583; Salimans et al. 2016, arXiv:1606.03498, Section 5.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Count, Weight
from gansweep.data.batch import Batch
from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.layers.heads import ClassLogits
from gansweep.layers.noisy import NormalizedClassLogits
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.gan import GAN
from gansweep.models.player_loss import Drawn, PlayerLoss, Scores
from gansweep.terms.clock import Clock
from gansweep.terms.collectives import average
from gansweep.terms.full_precision import in_full
from gansweep.terms.losses import NonSaturating

Head = Callable[[int, int], nn.Module]
SAMPLES_TO_BEGIN = 500  # as in the authors' code


class SGAN(GAN):
    """K + 1 classes: those of the data, and that of what the generator makes.

    L_D = mean of -log p(y | x, real) over samples with labels + unsupervised_weight * (the game's
    loss over all images and as many generated ones). With all labels and a weight of 1 this is the
    negative log-likelihood of K + 1 classes (Odena 2016, Algorithm 1); an image without its label
    counts as one of any real class, as in Salimans et al. 2016, Section 5.
    discriminator: a network that takes `head` and `n_classes`, as all of layers/ do.
    unsupervised_weight: 0 trains the classifier on the labels alone and lets the generator rest.
    """

    needs_labels = True
    uses_labelled = True
    averaged = ("discriminator", "generator")
    never_takes = frozenset({"packing", "loss"})
    head: Head = ClassLogits
    learns_fake_logit = True

    def __init__(
        self,
        *,
        discriminator: Callable[..., nn.Module],
        unsupervised_weight: Weight = 1.0,
        conditional: bool = False,
        packing: Count = 1,
        **game: Any,
    ) -> None:
        if conditional or packing > 1:
            raise UserError(
                f"model.conditional={conditional} model.packing={packing}: this discriminator "
                "finds the class of each sample, so it must see samples alone and without their "
                "labels. Use conditional=false and packing=1."
            )
        n_logits = (game.get("n_classes") or 0) + self.learns_fake_logit
        network = partial(discriminator, n_classes=n_logits, head=type(self).head)
        super().__init__(discriminator=network, **game)
        self.needs_labels = True  # of the data, though no network gets them
        self.unsupervised_weight = unsupervised_weight

    def turn(self) -> tuple[str, ...]:
        return super().turn() if self.unsupervised_weight else ("discriminator",)

    def class_logits(self, logits: Tensor) -> Tensor:
        """(N, K) of the network's logits."""
        return logits[:, : self.n_classes]

    def realness(self, logits: Tensor) -> Tensor:
        """(N,): the logit of D, log Z - l_fake."""
        return self.class_logits(logits).logsumexp(1) - logits[:, -1]

    def judge(self, samples: Tensor, labels: Tensor | None, clock: Clock) -> Tensor:
        return self.realness(in_full(self.discriminator(samples)))

    def supervised_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean of -l_y + log Z."""
        return F.cross_entropy(self.class_logits(logits), labels)

    def discriminator_loss(
        self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        known, labels = _with_labels(batch)
        supervised = self.supervised_loss(in_full(self.discriminator(known)), labels)
        game = partial(super().discriminator_loss, batch, drawn, fakes, clock)
        return self._weighed(supervised, game)

    def _weighed(self, supervised: Tensor, game: Callable[[], PlayerLoss]) -> PlayerLoss:
        """The loss of the labels and of the game, which is left out where it weighs nothing."""
        parts = {"supervised": supervised.detach()}
        if not self.unsupervised_weight:
            return PlayerLoss(supervised, parts)
        terms = game()
        parts |= {"unsupervised": terms.loss.detach()} | terms.parts
        return PlayerLoss(supervised + self.unsupervised_weight * terms.loss, parts, terms.scores)

    @torch.no_grad()
    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """The class logits of the averaged discriminator, without noise."""
        with evaluating(self.sampler("discriminator")) as network:
            logits = network(like_weights(batch.images, network))
            return {"logits": self.class_logits(logits)}


class FeatureMatchingSGAN(SGAN):
    """K logits, and a generator whose features are to have the mean of those of real images.

    L_D = mean of -l_y + log Z over samples with labels + unsupervised_weight / 2 * (mean of
    softplus(-log Z) over all images + mean of softplus(log Z) over generated ones).
    L_G compares the two means of the discriminator's last hidden layer over the whole batch, of
    all processes: the mean over features of their squared ("squared", the authors' code for MNIST)
    or absolute difference ("absolute", their code for CIFAR-10). Departure: both players see the
    same real images, where the code draws others for the generator.
    discriminator: a network with `features`. If it has a `noise_width`, it takes that many standard
        normal numbers for each sample in training. If it has a `begin_on`, some samples set its
        first weights.
    """

    never_takes = SGAN.never_takes | {"penalties", "augment", "ada"}
    head: Head = NormalizedClassLogits
    learns_fake_logit = False

    def __init__(
        self, *, matching: Literal["squared", "absolute"] = "squared", **game: Any
    ) -> None:
        # its losses have no place for the terms that other games take
        super().__init__(
            loss=NonSaturating(),
            penalties={},
            terms={},
            penalty_interval=1,
            dequantise=False,
            augment=None,
            top_k=None,
            feature_matching=0.0,
            adversarial=1.0,
            **game,
        )
        self.sliceable = False  # it compares means over the batch
        self.matching = matching
        self.noise_width: int = getattr(self.discriminator, "noise_width", 0)

    def begin_on(self, data: DataSource) -> None:
        """The discriminator's scales begin by a pass of training samples, if it has a `begin_on`;
        samples and noise are the same for every seed."""
        begin_on = getattr(self.discriminator, "begin_on", None)
        if begin_on is not None:
            parts = [batch.images for batch in data.batches("train", SAMPLES_TO_BEGIN)]
            samples, rng = torch.cat(parts), torch.Generator().manual_seed(0)
            begin_on(samples, torch.randn(len(samples), self.noise_width, generator=rng))

    def realness(self, logits: Tensor) -> Tensor:
        """(N,): log Z."""
        return logits.logsumexp(1)

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        drawn = super().draw(draws, batch, clock)
        passes = ("labelled", "real", "fake", "matched_real", "matched_fake")
        n, dtype = len(batch), batch.images.dtype
        for name in passes if self.noise_width else ():
            drawn[f"noise/{name}"] = draws.normal(n, self.noise_width, dtype=dtype)
        return drawn

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        if player == "generator":
            return self.matching_loss(batch, drawn, fakes)
        return super().player_loss(player, batch, drawn, fakes, clock)

    def discriminator_loss(
        self, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """The classes of labelled samples, and, unless it weighs nothing, the game of log Z."""

        def logits(samples: Tensor, name: str) -> Tensor:
            return in_full(self.discriminator(samples, **_noise(drawn, name)))

        def game() -> PlayerLoss:
            real = self.realness(logits(batch.images, "real"))
            fake = self.realness(logits(fakes.detach(), "fake"))  # D's step must not reach G
            loss = 0.5 * self.loss.discriminator(real, fake)
            return PlayerLoss(loss, scores=Scores(real.detach(), fake.detach(), self.loss.kind))

        known, labels = _with_labels(batch)
        return self._weighed(self.supervised_loss(logits(known, "labelled"), labels), game)

    def matching_loss(self, batch: Batch, drawn: Drawn, fakes: Tensor) -> PlayerLoss:
        features = cast(Any, self.discriminator).features
        with torch.no_grad():
            real = features(batch.images, **_noise(drawn, "matched_real"))
        fake = features(fakes, **_noise(drawn, "matched_fake"))
        difference = average(in_full(real).mean(0) - in_full(fake).mean(0))
        distances = difference.square() if self.matching == "squared" else difference.abs()
        return PlayerLoss(distances.mean())


def _with_labels(batch: Batch) -> tuple[Tensor, Tensor]:
    """The images whose labels are known, and these: the batch itself where all are."""
    known = batch if batch.labelled is None else batch.labelled
    assert known.labels is not None, "data without labels are refused when the model is built"
    return known.images, known.labels


def _noise(drawn: Drawn, name: str) -> dict[str, Tensor]:
    noise = drawn.get(f"noise/{name}")
    return {} if noise is None else {"noise": noise}
