"""What a loss returns: its value, its parts, the scores behind it, what the memory needs of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from gansweep.errors import UserError, described
from gansweep.terms.losses import Kind
from gansweep.terms.returned import scalar


@dataclass(slots=True)
class Scores:
    """What the discriminator says of real and of generated samples, (N,) each.

    kind: "logit" alone can be read as a probability (its sigmoid); a "critic" is unbounded, an
    "energy" is low for real samples, a "paired_logit" means something only as a difference.
    gamma: the ratio of the fake to the real energy that the training aims at, where it states one.
    """

    real: Tensor
    fake: Tensor
    kind: Kind
    gamma: float | None = None


@dataclass(slots=True)
class PlayerLoss:
    """A player's loss (a scalar with its graph), its named detached parts, the scores behind it.

    found: what else `remembered` needs of the step, detached: name -> tensor.
    """

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    scores: Scores | None = None
    found: dict[str, Tensor] = field(default_factory=dict)


def whole(slices: Sequence[PlayerLoss]) -> PlayerLoss:
    """What the equal slices of a batch say together, detached: without `found`.

    The loss and each part are means over the slices that have them; the scores are all.
    """
    if len(slices) == 1:
        return slices[0]
    parts: dict[str, list[Tensor]] = {}
    for terms in slices:
        for name, value in terms.parts.items():
            parts.setdefault(name, []).append(value)
    means = {name: _mean(values) for name, values in parts.items()}
    return PlayerLoss(_mean([terms.loss for terms in slices]), means, all_scores(slices))


def all_scores(slices: Sequence[PlayerLoss]) -> Scores | None:
    """The scores of all slices, in their order; None where no slice has any."""
    said = [terms.scores for terms in slices if terms.scores is not None]
    if len(said) < 2:
        return said[0] if said else None
    real, fake = torch.cat([each.real for each in said]), torch.cat([each.fake for each in said])
    return replace(said[0], real=real, fake=fake)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).detach().mean()


def checked(terms: Any, model: str, player: str) -> PlayerLoss:
    """What a model's player_loss returned.   Raises: UserError if it is not as it must be."""
    if not isinstance(terms, PlayerLoss):
        raise UserError(
            f"The loss of {model}'s {player} is {described(terms)}. Return "
            "PlayerLoss(loss, parts), which is in gansweep.models.player_loss."
        )
    scalar(terms.loss, f"the loss of {model}'s {player}")
    for name, value in terms.parts.items():
        scalar(value, f"the part '{name}' of the loss of {model}'s {player}")
    return terms


Drawn = dict[str, Tensor]  # name -> random numbers of one step, the batch first
Memories = Mapping[str, Mapping[str, Tensor]]  # name of a memory -> buffer -> its new content
