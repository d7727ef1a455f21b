"""Moving averages of the networks that make samples, over the images seen."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.models.transfer import transfer
from gansweep.terms.clock import Clock
from gansweep.terms.schedules import Schedule, value_at


class MovingAverages:
    """A copy of each averaged network that follows it slowly, frozen and in evaluation mode.

    half_life_kimg: after so many thousand images a copy has forgotten half; a schedule's value 0
        makes it the network itself. None: no copies.
    """

    def __init__(self, half_life_kimg: float | Schedule | None) -> None:
        self.half_life_kimg = half_life_kimg
        self.images_before = 0  # seen by the averages that these began with, in another run
        self.networks: dict[str, nn.Module] = {}

    def begin(self, player: str, live: nn.Module) -> None:
        """Average this player from its present weights on, unless it is averaged already."""
        if self.half_life_kimg is not None and player not in self.networks:
            self.networks[player] = _frozen_copy(live)

    def begin_with(
        self, player: str, live: nn.Module, state: Mapping[str, Tensor], images: int
    ) -> bool:
        """Begin with what fits of another run's average, which saw so many images, and with the
        weights for the rest.   Returns: whether this run keeps averages."""
        if self.half_life_kimg is None:
            return False
        self.begin(player, live)
        transfer(self.networks[player], state)
        self.images_before = images
        return True

    @torch.no_grad()
    def follow(self, player: str, live: nn.Module, images: int, clock: Clock) -> None:
        """Move a player's copy, if it has one, towards its weights; take over its buffers.

        images: seen since the copy was last moved.   clock: the moment after the step.
        """
        if self.half_life_kimg is None or player not in self.networks:
            return
        half_life = value_at(self.half_life_kimg, clock) * 1000
        if not callable(self.half_life_kimg):
            # At the start it is 5 % of the images seen: the average would else stay at the initial
            # weights (Karras et al. 2020, arXiv:2006.06676, official configurations).
            half_life = min(half_life, 0.05 * (self.images_before + clock.images_seen))
        forget = 1 - 0.5 ** (images / max(half_life, 1e-8))
        average = self.networks[player]
        torch._foreach_lerp_(list(average.parameters()), list(live.parameters()), forget)
        for kept, buffer in zip(average.buffers(), live.buffers(), strict=True):
            kept.copy_(buffer)

    def load(self, players: Mapping[str, nn.Module], states: Mapping[str, Any]) -> None:
        """Restore the copies of a checkpoint, player -> state_dict, if this run keeps averages."""
        if self.half_life_kimg is None:
            return
        for player, state in states.items():
            copied = _frozen_copy(players[player])
            copied.load_state_dict(state)
            self.networks[player] = copied


def _frozen_copy(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).requires_grad_(False).eval()
