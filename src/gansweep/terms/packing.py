"""Samples side by side, so that a discriminator judges several at once: Lin et al. 2018 (PacGAN).

Source: arXiv:1712.04086, Section 3.
"""

import torch
from torch import Tensor

from gansweep.errors import UserError
from gansweep.terms.clock import Clock
from gansweep.terms.term import Draw, Term, TwoPlayers


class Packing(Term):
    """The discriminator is shown `size` neighbours of a batch as one sample."""

    def __init__(self, size: int) -> None:
        self.size = size

    def misfit(self, game: TwoPlayers) -> str:
        if not game.conditional or self.size == 1:
            return ""
        return (
            f"model.packing={self.size} puts samples of several classes before a discriminator "
            "that is given one. Use packing=1, or a model without classes."
        )

    def shown(self, samples: Tensor, draw: Draw, clock: Clock) -> Tensor:
        return packs(samples, self.size)


def packs(samples: Tensor, size: int) -> Tensor:
    """(N, C, ...) -> (N / size, size C, ...): each `size` neighbours side by side.

    Raises: UserError where N is no multiple of size.
    """
    if size == 1:
        return samples
    n, channels = samples.shape[:2]
    if n % size:
        raise UserError(
            f"{n} samples cannot be packed by model.packing={size}: use a batch_size that every "
            f"process can cut into packs, as batch_size={-(-n // size) * size}."
        )
    return samples.reshape(n // size, size * channels, *samples.shape[2:])


def packs_around(samples: Tensor, size: int) -> Tensor:
    """(N, C, ...) -> (N, size C, ...): each sample with those after it, the last with the first."""
    return torch.cat([samples.roll(-k, 0) for k in range(size)], dim=1)
