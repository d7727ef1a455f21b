"""The interface of a term: what joins a two-player game beside its loss.

A penalty, an augmentation, packing, top-k, feature matching: each is a `Term` that overrides the
hooks by which it acts. The game calls them (see joined.py), draws what they need, adds their values
to the losses and stores what they remember: hooks are pure functions of arguments and buffers.

Shapes: N batch; samples are (N, C, H, W) in [-1, 1] or (N, D) points.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor, nn

from gansweep.terms.clock import Clock
from gansweep.terms.losses import Kind, Loss
from gansweep.terms.schedules import Schedule

Noise = dict[str, tuple[str, tuple[int, ...]]]
Draw = Mapping[str, Tensor]
VIEWS = ("real", "fake", "generator")  # whose samples the discriminator is shown


class TwoPlayers(Protocol):
    """What a term may ask about the game that it joins."""

    sample_shape: tuple[int, ...]
    conditional: bool
    loss: Loss


@dataclass(frozen=True, slots=True)
class Step:
    """What a term sees of one player's turn.

    real, fake: samples as the discriminator is shown them: augmented, packed.
    real_scores, fake_scores: (N,); of real samples None in the generator's turn, unless its loss
        needs them.
    judge: samples -> (N,) scores of the discriminator; classes, if any, are already in it: in the
        generator's turn those of the fakes.
    features: samples -> (N, n_features), what the score is a function of.
    raw_real, raw_fake: the samples before any term changed them.
    show: (samples, view="real" or "fake") -> what the discriminator is shown of raw samples.
    differentiable: whose scores, "real" or "fake", can be differentiated to their samples and raw
        samples in full precision: those that a term names in `at_samples`, in D's turn.
    draw: the random tensors that the term's `noise` asked for.
    clock: the moment of training.
    """

    real: Tensor
    fake: Tensor
    real_scores: Tensor | None
    fake_scores: Tensor
    judge: Callable[[Tensor], Tensor]
    features: Callable[[Tensor], Tensor]
    raw_real: Tensor
    raw_fake: Tensor
    show: Callable[..., Tensor]
    draw: Draw
    clock: Clock
    differentiable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judged:
    """What a step of the discriminator says over the batch of all processes.

    real, fake: mean scores.   taken: mean sign of the real scores beyond the loss's boundary, in
    -1 to 1.   images: how many real ones were judged.
    """

    real: Tensor
    fake: Tensor
    taken: Tensor
    images: int


class Term:
    """Every hook does nothing here: a term overrides those by which it acts.

    weight: what its values are multiplied by before they join a loss; a schedule makes it change.
    takes_points: whether it works on points as well as on images.
    of_gradients: whether it differentiates the discriminator twice, which compilation forbids.
    at_samples: whose scores, "real" or "fake", it differentiates at the samples that the loss
        judges, where the step allows it (see Step).
    compares_samples: whether it looks at a batch as a whole, so that slices of it do not add up.
    needs_features: whether it reads the discriminator's `features`.
    views: whose samples its `shown` changes, of VIEWS.
    A term that remembers something in buffers is an nn.Module too.
    """

    weight: float | Schedule = 1.0
    takes_points: ClassVar[bool] = True
    of_gradients: ClassVar[bool] = False
    at_samples: ClassVar[tuple[str, ...]] = ()
    compares_samples: ClassVar[bool] = False
    needs_features: ClassVar[bool] = False
    views: ClassVar[tuple[str, ...]] = VIEWS

    def misfit(self, game: TwoPlayers) -> str:
        """Why it cannot join this game, and the fix; "" if it can."""
        return ""

    def noise(self, samples: Tensor) -> Noise:
        """The random tensors that it needs: name -> (distribution, shape), the batch first.

        The distributions are "uniform" on [0, 1) and "normal". A term with `shown` gets draws for
        each of its `views`: the real samples, the fakes, and the fakes in the generator's turn.
        """
        return {}

    def shown(self, samples: Tensor, draw: Draw, clock: Clock) -> Tensor:
        """What the discriminator sees in training in place of the samples."""
        return samples

    def chosen(self, fake_scores: Tensor, kind: Kind, clock: Clock) -> Tensor:
        """Those of the scores (N,) that the generator's own loss learns from; kind: the loss's."""
        return fake_scores

    def discriminator(self, step: Step) -> Tensor | None:
        """What it adds to the discriminator's loss: a scalar without its weight. None: nothing.

        `step.fake` is detached: no gradient reaches the generator.
        """
        return None

    def generator(self, step: Step) -> Tensor | None:
        """What it adds to the generator's loss: a scalar without its weight. None: nothing."""
        return None

    def after_move(self, discriminator: nn.Module) -> None:
        """What it does to the discriminator's weights after each of its steps, in place."""

    def learned(self, judged: Judged) -> Mapping[str, Tensor]:
        """What its buffers become after a step of the discriminator's: name -> new content."""
        return {}

    def parts(self) -> dict[str, Tensor]:
        """Numbers of its own for the curves, 0-dim each."""
        return {}

    def settings(self) -> Mapping[str, float | Schedule]:
        """Its numbers that may follow a schedule; then their curves are NAME/SETTING."""
        return {"weight": self.weight}

    def acts_on(self, hook: str) -> bool:
        """Whether it overrides that hook."""
        return getattr(type(self), hook) is not getattr(Term, hook)
