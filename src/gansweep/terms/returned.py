"""What a user's own class returned, refused with its name where it has another shape or type.

Without this the mistake is met later and inside of gansweep, or never: shapes may broadcast.
"""

from typing import Any

from torch import Tensor

from gansweep.errors import UserError, described


def scalar(value: Any, what: str) -> Tensor:
    """The value, a tensor without dimensions.   what: such as "the loss of X's generator".

    Raises: UserError for everything else.
    """
    if isinstance(value, Tensor) and value.dim() == 0:
        return value
    raise UserError(
        f"{what[0].upper()}{what[1:]} is {described(value)}, where a tensor without dimensions is "
        "needed. Return the mean over the batch, as `values.mean()`."
    )


def one_each(scores: Tensor, network: object) -> Tensor:
    """The scores (N,) of a discriminator.   Raises: UserError for another shape."""
    if scores.dim() == 1:
        return scores
    raise UserError(
        f"The discriminator {type(network).__name__} returned scores of shape "
        f"{tuple(scores.shape)}, where one for each sample is needed, (N,). End it with "
        "`.flatten(1).mean(1)`."
    )
