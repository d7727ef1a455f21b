"""How far what an autoencoder makes lies from what it should make: one number for each sample.

made, wanted: (N, C, H, W) in [-1, 1] or (N, D).   Returns: (N,), a mean over pixels or coordinates.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from gansweep.errors import UserError, nearest

Error = Callable[[Tensor, Tensor], Tensor]
Reconstruction = Literal["mse", "bce", "l1"]

CERTAIN = 1e-7  # distance of a probability from 0 and 1 at which it is held, as Keras holds it


def squared_error(made: Tensor, wanted: Tensor) -> Tensor:
    return (made - wanted).square().flatten(1).mean(1)


def absolute_error(made: Tensor, wanted: Tensor) -> Tensor:
    return (made - wanted).abs().flatten(1).mean(1)


def cross_entropy(made: Tensor, wanted: Tensor) -> Tensor:
    """Of pixels as probabilities of white, -1 as 0 and 1 as 1, in nats.

    -y log p - (1 - y) log(1 - p) with p = (made + 1) / 2 and y = (wanted + 1) / 2; it is 0 for
    black and white alone, and the entropy of y where grey is made exactly.
    """
    # in the 16-bit numbers of autocast 1 - CERTAIN would be 1, and log(1 - p) not finite
    made = made.to(torch.promote_types(made.dtype, torch.float32))
    p = ((made + 1) / 2).clamp(CERTAIN, 1 - CERTAIN)
    y = (wanted + 1) / 2
    return -(y * p.log() + (1 - y) * (1 - p).log()).flatten(1).mean(1)


ERRORS: dict[str, Error] = {"mse": squared_error, "bce": cross_entropy, "l1": absolute_error}


def reconstruction_error(name: str, sample_shape: tuple[int, ...]) -> Error:
    """The error of that name. Raises: UserError where it or the data do not allow it."""
    if name not in ERRORS:
        raise UserError(
            f"model.reconstruction={name} is not a reconstruction error.{nearest(name, ERRORS)} "
            f"Use one of {', '.join(ERRORS)}."
        )
    if name == "bce" and len(sample_shape) == 1:
        raise UserError(
            "model.reconstruction=bce reads pixels as probabilities, and the data are points. "
            "Use model.points.reconstruction=mse or l1."
        )
    return ERRORS[name]
