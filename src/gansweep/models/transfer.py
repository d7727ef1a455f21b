"""What fits of one network's tensors into another network."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


@torch.no_grad()
def transfer(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Copy the tensors of a state into the network's of the same name, shape and kind.

    Returns: the names of those "taken"; "other_shape": in both, but they do not fit; "new": of the
        network alone; "unused": of the state alone.
    """
    own = network.state_dict()
    shared = [name for name in own if name in state]
    taken = [name for name in shared if _fits(own[name], state[name])]
    for name in taken:
        own[name].copy_(state[name])
    return {
        "taken": taken,
        "other_shape": [name for name in shared if name not in taken],
        "new": [name for name in own if name not in state],
        "unused": [name for name in state if name not in own],
    }


def _fits(own: Tensor, other: Tensor) -> bool:
    return own.shape == other.shape and own.is_floating_point() == other.is_floating_point()
