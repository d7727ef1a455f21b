"""The training images that are set aside as the validation split: the same ones in every run."""

import torch
from torch import Tensor

from gansweep.data.order import generator_for
from gansweep.errors import UserError

SEED = 20_181_204
PART = 10  # the default is one image in ten
MOST = 5000  # and at most this many
LEAST = 10  # a score of fewer images means nothing: then none are set aside


def validation_count(n_validation: int | None, n_train: int, name: str) -> int:
    """The number of training images to set aside.

    n_validation: the option; None: a tenth of `n_train`, at most 5,000, or 0 if `n_train` < 100.
    Raises: UserError for a number that leaves no image to train on.
    """
    if n_validation is None:
        count = min(n_train // PART, MOST)
        return count if count >= LEAST else 0
    if n_validation and n_validation >= n_train:
        raise UserError(
            f"data.n_validation={n_validation} leaves none of the {n_train} training images of "
            f"data={name} to train on. Set {n_train - 1} or less."
        )
    return n_validation


def validation_rows(count: int, n_train: int, labels: Tensor | None) -> Tensor:
    """(count,) int64, ascending: the training rows to set aside.

    labels: (n_train,) int64, or None. Each class gives its proportional share, rounded down, and
        the classes with the largest fractions one image more, until the count is reached; those
        that would have none left to train on come last.
    """
    draw = generator_for(SEED)
    shuffled = torch.randperm(n_train, generator=draw)
    if labels is None:
        return shuffled[:count].sort().values
    sizes = labels.bincount()
    due = sizes.double() * (count / n_train)
    shares = due.long()
    turn = torch.randperm(len(sizes), generator=draw)  # the order of classes with equal fractions
    fractions = due - shares - (shares + 1 >= sizes).double()
    first = turn[fractions[turn].argsort(descending=True, stable=True)]
    shares[first[: count - int(shares.sum())]] += 1
    rows = [shuffled[labels[shuffled] == k][:n] for k, n in enumerate(shares.tolist())]
    return torch.cat(rows).sort().values
