"""What a loss returns: its value, its parts, the scores behind it, what the memory needs of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from gansweep.terms.losses import Kind


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


Drawn = dict[str, Tensor]  # name -> random numbers of one step, the batch first
Memories = Mapping[str, Mapping[str, Tensor]]  # name of a memory -> buffer -> its new content
