"""The terms of a two-player game together, each at its place."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from gansweep.errors import UserError
from gansweep.terms.clock import Clock
from gansweep.terms.losses import Kind
from gansweep.terms.returned import scalar
from gansweep.terms.schedules import value_at
from gansweep.terms.term import Draw, Judged, Noise, Step, Term, TwoPlayers


class Joined(nn.Module):
    """Terms by their names, in the order in which they act.

    penalties: of the discriminator's loss; their curves are penalty/NAME. Those of gradients join
        on every k-th of its steps only, k times as strong, with k the `penalty_interval` (see
        Clock.lazy); the others, which cost little, on each.
    free: the user's others; their curves are term/NAME.
    with_options: those that options of the game's own bring, None where they do not.
    """

    def __init__(
        self,
        penalties: Mapping[str, Term],
        free: Mapping[str, Term],
        with_options: Mapping[str, Term | None],
        penalty_interval: int,
    ) -> None:
        super().__init__()
        self.penalty_interval = penalty_interval
        own = {name: term for name, term in with_options.items() if term is not None}
        self.by_name = {**penalties, **free, **own}
        if len(self.by_name) < len(penalties) + len(free) + len(own):
            raise UserError(
                f"Two terms of this game share a name: {', '.join((*penalties, *free, *own))}. "
                "Give each of model.penalties and model.terms a name of its own."
            )
        self.penalties = frozenset(penalties)
        self.labels = {name: name for name in own}
        self.labels |= {name: f"penalty/{name}" for name in penalties}
        self.labels |= {name: f"term/{name}" for name in free}
        self.learning = nn.ModuleDict(
            {name: term for name, term in self.by_name.items() if isinstance(term, nn.Module)}
        )

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> Term:
        return self.by_name[name]

    def items(self) -> Iterable[tuple[str, Term]]:
        return self.by_name.items()

    @property
    def memory(self) -> dict[str, nn.Module]:
        """Those that remember something from step to step."""
        return dict(self.learning.items())

    @property
    def compares_samples(self) -> bool:
        return any(term.compares_samples for term in self.by_name.values())

    @property
    def of_gradients(self) -> bool:
        return any(term.of_gradients for term in self.by_name.values())

    def acting_on(self, *hooks: str) -> dict[str, Term]:
        """The terms that override one of these hooks, by their names."""
        return {name: t for name, t in self.by_name.items() if any(map(t.acts_on, hooks))}

    def refuse_misfits(self, game: TwoPlayers) -> None:
        """Raises: UserError for a term that cannot join the game."""
        for name, term in self.items():
            if reason := term.misfit(game):
                raise UserError(reason)
            if len(game.sample_shape) == 1 and not term.takes_points:
                group = "penalties" if name in self.penalties else "terms"
                raise UserError(
                    f"model.{group}.{name} changes images, and the data are points. Leave it out, "
                    "or use image data, as data=digits."
                )

    def refuse_without_features(self, discriminator: nn.Module) -> None:
        """Raises: UserError where a term reads features that this network does not have."""
        reading = [self.labels[name] for name, term in self.items() if term.needs_features]
        if reading and not hasattr(discriminator, "features"):
            raise UserError(
                f"{', '.join(reading)} needs a discriminator with a method `features`: "
                f"{type(discriminator).__name__} has none. Leave the term out (feature_matching=0) "
                "or use another network, as gansweep.layers.dcgan.Discriminator."
            )

    def noise(self, images: Tensor, packed: Tensor) -> dict[str, Noise]:
        """What to draw for a step: NAME, or NAME.VIEW of a term that changes what D is shown.

        images: the batch's own.   packed: as they come to the discriminator.
        """
        changing = self.acting_on("shown")
        wanted = {n: t.noise(packed) for n, t in self.by_name.items() if n not in changing}
        for name, term in changing.items():
            wanted |= {f"{name}.{view}": term.noise(images) for view in term.views}
        return wanted

    def shown(self, samples: Tensor, drawn: Draw, view: str, clock: Clock) -> Tensor:
        """What D sees of samples in training.   view: one of `VIEWS` of term.py."""
        for name, term in self.acting_on("shown").items():
            if view in term.views:
                samples = term.shown(samples, _own(drawn, f"{name}.{view}"), clock)
        return samples

    def chosen(self, fake_scores: Tensor, kind: Kind, clock: Clock) -> Tensor:
        """The scores that G's own loss learns from."""
        for term in self.acting_on("chosen").values():
            fake_scores = term.chosen(fake_scores, kind, clock)
        return fake_scores

    def join(
        self, player: str, loss: Tensor, step: Callable[[], Step]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A player's loss with what its terms add, and the terms' values, detached, by label.

        player: "discriminator" or "generator".   step: makes what terms see, with all draws.
        """
        seen: Step | None = None
        parts: dict[str, Tensor] = {}
        for name, term in self.acting_on(player).items():
            seen = step() if seen is None else seen
            if not (factor := self._factor(name, seen.clock)):
                continue
            value = getattr(term, player)(replace(seen, draw=_own(seen.draw, name)))
            if value is not None:
                source = f"{type(term).__name__}.{player} ({self.labels[name]})"
                scalar(value, f"the value of {source}")
                parts[self.labels[name]] = value.detach()
                loss = loss + value_at(term.weight, seen.clock) * factor * value
        return loss, parts

    def at_samples(self, clock: Clock) -> frozenset[str]:
        """Whose scores, "real" or "fake", a term differentiates now at the samples D judges."""
        due = (term for name, term in self.items() if self._factor(name, clock))
        return frozenset(view for term in due for view in term.at_samples)

    def _factor(self, name: str, clock: Clock) -> int:
        """What a term's weight is multiplied by now; 0 where a lazy one is left out."""
        lazy = name in self.penalties and self.by_name[name].of_gradients
        return clock.factor(self.penalty_interval if lazy else 1)

    def parts(self) -> dict[str, Tensor]:
        """Numbers of the terms' own."""
        return {name: v for term in self.by_name.values() for name, v in term.parts().items()}

    def scheduled(self, clock: Clock) -> dict[str, float]:
        """NAME/SETTING -> its value at that moment, of the settings that follow a schedule."""
        return {
            f"{name}/{setting}": value_at(value, clock)
            for name, term in self.items()
            for setting, value in term.settings().items()
            if callable(value)
        }

    @torch.no_grad()
    def after_move(self, discriminator: nn.Module) -> None:
        for term in self.by_name.values():
            term.after_move(discriminator)

    def learned(self, judged: Judged) -> dict[str, Mapping[str, Tensor]]:
        """Name -> buffer -> what it becomes."""
        return {name: self.by_name[name].learned(judged) for name in self.learning}


def _own(drawn: Draw, name: str) -> dict[str, Tensor]:
    """The draws called NAME.KEY, by their keys."""
    return {k[len(name) + 1 :]: v for k, v in drawn.items() if k.startswith(f"{name}.")}
