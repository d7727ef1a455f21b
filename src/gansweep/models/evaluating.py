"""Using a network outside training: in its mode, its precision, and the range of images."""

import contextlib
from collections.abc import Iterator
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


@contextlib.contextmanager
def evaluating(network: Network) -> Iterator[Network]:
    """The network in evaluation mode; afterwards every part of it is in its mode of before."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield network
    finally:
        for module in training:
            module.training = True


def like_weights(samples: Tensor, network: nn.Module) -> Tensor:
    """The samples where a network's weights are, in their precision."""
    return samples.to(next(network.parameters()))


def cut_off(samples: Tensor) -> Tensor:
    """Images (N, C, H, W) cut off at [-1, 1], which a generator without a tanh may leave; points
    (N, D) as they are."""
    return samples.clamp(-1, 1) if samples.ndim == 4 else samples
