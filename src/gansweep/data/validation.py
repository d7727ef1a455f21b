"""Which training images are set aside to validate with: the same ones in every run."""

from __future__ import annotations

import torch
from torch import Tensor

from gansweep.data.order import generator_for
from gansweep.errors import UserError

SEED = 20_181_204
PART = 10  # by default one image in so many
MOST = 5000  # by default; of fewer than 10 a score would say nothing
LEAST = 10


def validation_count(n_validation: int | None, n_train: int, name: str) -> int:
    """How many of `n_train` training images are set aside.

    n_validation: the option: so many; None: a tenth, at most 5,000, and none of fewer than 100.
    Raises: UserError for what is no such number.
    """
    if n_validation is None:
        count = min(n_train // PART, MOST)
        return count if count >= LEAST else 0
    if not isinstance(n_validation, int) or isinstance(n_validation, bool) or n_validation < 0:
        raise UserError(
            f"data.n_validation={n_validation} is no number of images: set 0 or more, or null for "
            "a tenth of the training images."
        )
    if n_validation and n_validation >= n_train:
        raise UserError(
            f"data.n_validation={n_validation} leaves none of the {n_train} training images of "
            f"data={name} to train on. Set {n_train - 1} or less."
        )
    return n_validation


def validation_rows(count: int, n_train: int, labels: Tensor | None) -> Tensor:
    """(count,) int64, ascending: the rows of the training part that are set aside.

    labels: (n_train,) int64. Each class gives its share of them to within one image; what is left
    over goes to the classes that it is the most due to.
    """
    draw = generator_for(SEED)
    shuffled = torch.randperm(n_train, generator=draw)
    if labels is None:
        return shuffled[:count].sort().values
    sizes = labels.bincount()
    due = sizes.double() * (count / n_train)
    shares = due.long()
    turn = torch.randperm(len(sizes), generator=draw)  # which classes come first among equals
    first = turn[(due - shares)[turn].argsort(descending=True, stable=True)]
    shares[first[: count - int(shares.sum())]] += 1
    rows = [shuffled[labels[shuffled] == k][:n] for k, n in enumerate(shares.tolist())]
    return torch.cat(rows).sort().values
