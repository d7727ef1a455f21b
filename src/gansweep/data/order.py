"""The order of training images: one permutation per epoch, endless, equal on every machine."""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor


class Streams(NamedTuple):
    """The streams of random numbers that a sequence of batches uses, see `generator_for`."""

    order: int | None
    chances: int  # flips and crops


ALL_IMAGES, LABELLED_IMAGES = Streams(None, 1), Streams(2, 3)


def generator_for(*numbers: int) -> torch.Generator:
    """A CPU generator seeded by a hash of the numbers: (1, 2) and (2, 1) give unrelated streams."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


class EndlessOrder:
    """Image numbers: one permutation of `n` for every epoch, one after the other.

    Any row can be computed without the rows before it, so that a resumed run continues exactly.
    The permutation is drawn on the CPU, so that it is the same everywhere.
    stream: separates several orders with the same seed.
    """

    def __init__(
        self, n: int, seed: int, device: torch.device | str = "cpu", *, stream: int | None = None
    ) -> None:
        self.n = n
        self.seed = seed
        self.stream = () if stream is None else (stream,)
        self.device = torch.device(device)
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def rows(self, start: int, count: int) -> Tensor:
        """Rows [start, start + count): (count,) int64 on the device, across epoch borders."""
        parts = []
        while count > 0:
            epoch, first = divmod(start, self.n)
            part = self._of_epoch(epoch)[first : first + count]
            parts.append(part)
            start += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _of_epoch(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            drawn = torch.randperm(self.n, generator=generator_for(self.seed, epoch, *self.stream))
            self._epoch, self._permutation = epoch, drawn.to(self.device)
        return self._permutation
