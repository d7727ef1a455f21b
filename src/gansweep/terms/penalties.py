"""What holds the discriminator: penalties on its gradient, consistency and scores; weight clipping.

A penalty is called as penalty(discriminator, real, fake, draw) and returns an unweighted scalar;
the discriminator's loss adds weight * penalty. It is a term (see term.py): the caller draws the
random tensors that `noise(real)` asks for.

real, fake: (N, C, H, W) or (N, D). The computation leaves autocast and keeps the dtype of `real`;
no gradient reaches the generator. A discriminator with batch normalisation mixes the samples of a
batch: then the gradient is that of the batch's sum, not of each sample's score.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Decay, Positive, WeightInTime
from gansweep.terms.augment import mirrored, reach_of, shifted, shifts
from gansweep.terms.term import Draw, Judged, Noise, Step, Term

Discriminator = Callable[[Tensor], Tensor]  # samples -> (N,) scores


def _input_gradients(judge: Discriminator, points: Tensor) -> Tensor:
    """Gradient of each score, flattened: (scores, features), differentiable once more."""
    points = points.detach().requires_grad_(True)
    with torch.autocast(device_type=points.device.type, enabled=False):
        return _gradients(judge(points), points)


def _gradients(scores: Tensor, points: Tensor) -> Tensor:
    """The same of scores that were computed from the points, which require a gradient."""
    (gradients,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
    return gradients.reshape(len(scores), -1)  # of a pack, those of all its samples


def _squared_distance_from(target: float, gradients: Tensor) -> Tensor:
    return (torch.linalg.vector_norm(gradients, dim=1) - target).square().mean()


def _per_sample(real: Tensor) -> tuple[int, ...]:
    return (real.shape[0],) + (1,) * (real.dim() - 1)


class Penalty(Term, ABC):
    """A term of the discriminator's loss that looks at how its scores change with its input."""

    of_gradients = True

    def __init__(self, *, weight: WeightInTime) -> None:
        self.weight = weight

    def discriminator(self, step: Step) -> Tensor:
        return self(step.judge, step.real, step.fake, step.draw)

    @abstractmethod
    def __call__(self, judge: Discriminator, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        """The penalty of one batch.   Returns: scalar, unweighted."""


class GradientPenalty(Penalty):
    """E(|grad f(x^)| - 1)^2 at x^ = e x + (1 - e) G(z), one e ~ U[0, 1] a sample.

    weight: the paper's lambda, 10.
    Source: Gulrajani et al. 2017, arXiv:1704.00028, Eq. 3 and Algorithm 1.
    """

    def noise(self, real: Tensor) -> Noise:
        return {"epsilon": ("uniform", _per_sample(real))}

    def __call__(self, judge: Discriminator, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        between = torch.lerp(fake.detach().to(real.dtype), real, draw["epsilon"].to(real))
        return _squared_distance_from(1.0, _input_gradients(judge, between))


class DRAGAN(Penalty):
    """E(|grad f(x^)| - 1)^2 at x^ = x + a 0.5 std(x) U, near the real samples.

    U is uniform on [0, 1) in each feature, a ~ U[0, 1] one a sample, std(x) the one standard
    deviation of all features of the batch: the authors' published code (the paper has a normal
    perturbation). Under DDP, and with `accumulate`, it is that of a slice of the batch.
    weight: the paper's lambda, 10.
    Source: Kodali et al. 2017, arXiv:1705.07215.
    """

    def noise(self, real: Tensor) -> Noise:
        shape = tuple(real.shape)
        return {"perturbation": ("uniform", shape), "alpha": ("uniform", _per_sample(real))}

    def __call__(self, judge: Discriminator, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        spread = 0.5 * real.std(correction=0)
        shift = draw["alpha"].to(real) * spread * draw["perturbation"].to(real)
        return _squared_distance_from(1.0, _input_gradients(judge, real + shift))


class _ZeroCentred(Penalty):
    """1/2 E |grad f|^2; the half is inside, so weight is the paper's gamma.

    through_augmentation: the gradient is that at the samples themselves, through what augmentation
        makes of them before D sees them, as in the papers that have both (Karras et al. 2020,
        arXiv:2006.06676; Huang et al. 2024, arXiv:2501.05441); false: at what D sees.

    In a game it is the gradient of the scores that the loss has, where these allow it: they need
    not be computed again. Called by itself it computes them.
    """

    view: ClassVar[Literal["real", "fake"]]

    def __init__(self, *, weight: WeightInTime, through_augmentation: bool = True) -> None:
        super().__init__(weight=weight)
        self.through_augmentation = through_augmentation

    def discriminator(self, step: Step) -> Tensor:
        real = self.view == "real"
        raw, seen = (step.raw_real, step.real) if real else (step.raw_fake, step.fake)
        scores = step.real_scores if real else step.fake_scores
        points = raw if self.through_augmentation else seen
        as_here = type(self).__call__ is _ZeroCentred.__call__  # a subclass may have another
        if as_here and self.view in step.differentiable and scores is not None:
            return _half_square(_gradients(scores, points))
        if not self.through_augmentation:
            return super().discriminator(step)

        def judge(samples: Tensor) -> Tensor:
            return step.judge(step.show(samples, view=self.view))

        return self(judge, step.raw_real, step.raw_fake, step.draw)

    def __call__(self, judge: Discriminator, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        points = real if self.view == "real" else fake.to(real.dtype)
        return _half_square(_input_gradients(judge, points))


def _half_square(gradients: Tensor) -> Tensor:
    return 0.5 * gradients.square().sum(1).mean()


class R1(_ZeroCentred):
    """On real samples.   Source: Mescheder et al. 2018, arXiv:1801.04406, Eq. 9."""

    view = "real"
    at_samples = ("real",)


class R2(_ZeroCentred):
    """On generated samples.   Source: Mescheder et al. 2018, arXiv:1801.04406, Eq. 10."""

    view = "fake"
    at_samples = ("fake",)


class Consistency(Penalty):
    """E(f(x) - f(T(x)))^2: a score should not depend on a mirroring and a small shift T.

    T moves by up to an eighth of the side in whole pixels, borders reflected (4 pixels of 32, as in
    the paper), and with `flip` mirrors every second image.
    of: "real" is CR; with a second penalty of "fake" samples it is bCR, whose weights are 10 each.
    Source: Zhang et al. 2020 (CR), arXiv:1910.12027, Eq. 2; Zhao et al. 2021 (bCR),
        arXiv:2002.04724, Section 2.1.
    """

    takes_points = False
    of_gradients = False

    def __init__(
        self, *, weight: WeightInTime, of: Literal["real", "fake"] = "real", flip: bool = True
    ) -> None:
        super().__init__(weight=weight)
        self.of = of
        self.flip = flip

    def noise(self, real: Tensor) -> Noise:
        return {"shift": ("uniform", (len(real), 2)), "flip": ("uniform", (len(real),))}

    def discriminator(self, step: Step) -> Tensor:
        scores = step.real_scores if self.of == "real" else step.fake_scores
        if type(self).__call__ is not Consistency.__call__:  # a subclass's own
            return super().discriminator(step)
        assert scores is not None
        changed = self._changed(step.real if self.of == "real" else step.fake, step.draw)
        return (scores - step.judge(changed)).square().mean()

    def __call__(self, judge: Discriminator, real: Tensor, fake: Tensor, draw: Draw) -> Tensor:
        samples = real if self.of == "real" else fake.detach()
        return (judge(samples) - judge(self._changed(samples, draw))).square().mean()

    def _changed(self, samples: Tensor, draw: Draw) -> Tensor:
        changed = shifted(samples, shifts(draw["shift"], reach_of(samples)), reflect=True)
        return mirrored(changed, draw["flip"] < 0.5) if self.flip else changed


class LeCam(Term, nn.Module):
    """E(f(x) - a_F)^2 + E(f(G(z)) - a_R)^2, a_R and a_F the moving averages of the scores' means.

    one_sided: only real scores above a_F and generated ones below a_R count, as in the authors'
        published code; the paper's Eq. 3 counts all.
    decay: what a step keeps of the averages, which start with the first batch's means.
    weight: the paper's lambda, 0.3 for BigGAN on CIFAR-10 and smaller for other data.
    Departure: the averages are those before the step; in the code the step's batch is in them.
    Source: Tseng et al. 2021, arXiv:2104.03310, Eqs. 3 and 4.
    """

    anchors: Tensor
    steps: Tensor

    def __init__(
        self, *, weight: WeightInTime, decay: Decay = 0.99, one_sided: bool = True
    ) -> None:
        nn.Module.__init__(self)
        self.weight = weight
        self.decay = decay
        self.one_sided = one_sided
        self.register_buffer("anchors", torch.zeros(2))  # of real, of generated samples
        self.register_buffer("steps", torch.zeros(()))

    def discriminator(self, step: Step) -> Tensor:
        assert step.real_scores is not None
        return self.of_scores(step.real_scores, step.fake_scores)

    def of_scores(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """The penalty of one batch's scores, (N,) each.   Returns: scalar, unweighted."""
        real_anchor, fake_anchor = self.anchors.to(real_scores).unbind()
        real, fake = real_scores - fake_anchor, real_anchor - fake_scores
        if self.one_sided:
            real, fake = real.relu(), fake.relu()
        return (real.square() + fake.square()).mean() * (self.steps > 0)

    @torch.no_grad()
    def learned(self, judged: Judged) -> Mapping[str, Tensor]:
        means = torch.stack([judged.real, judged.fake]).to(self.anchors)
        kept = self.decay * (self.steps > 0)
        return {"anchors": kept * self.anchors + (1 - kept) * means, "steps": self.steps + 1}


class WeightClip(Term):
    """Holds each weight of the discriminator within -limit to limit after each of its steps.

    Source: Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1.
    """

    def __init__(self, limit: Positive) -> None:
        self.limit = limit

    def after_move(self, discriminator: nn.Module) -> None:
        weights: list[Tensor] = list(discriminator.parameters())
        torch._foreach_clamp_max_(weights, self.limit)
        torch._foreach_clamp_min_(weights, -self.limit)
