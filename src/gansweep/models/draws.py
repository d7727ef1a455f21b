"""The random numbers of training: latents, the points of penalties, what augmentation decides."""

from collections.abc import Callable

import torch
from torch import Tensor

from gansweep.data.order import generator_for


class Draws:
    """One stream of random numbers for the whole run, whatever the processes.

    Each draw is made for the global batch, and every process takes its own rows of it: so two
    processes train exactly as one does with the doubled batch.
    """

    def __init__(self, seed: int, device: torch.device, rank: int = 0, world: int = 1) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self.rank = rank
        self.world = world

    def restore(self, state: Tensor, images_seen: int) -> None:
        """Continue a stream whose state is uint8, on the CPU.

        A stream of another kind of device has a state of another size and cannot go on here: a new
        one begins, that depends on the seed and on the images seen.
        """
        if len(state) == len(self.generator.get_state()):
            self.generator.set_state(state)
        else:
            other = generator_for(self.generator.initial_seed(), images_seen)
            self.generator.manual_seed(other.initial_seed())

    def normal(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """(n, *shape), standard normal."""
        return self._rows(torch.randn, n, shape, dtype)

    def uniform(self, n: int, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """(n, *shape), uniform on [0, 1)."""
        return self._rows(torch.rand, n, shape, dtype)

    def classes(self, n: int, ends: Tensor) -> Tensor:
        """(n,) int64 class numbers.

        ends: (K,) int64, where each class ends if the training samples are sorted by class.
        """
        last = ends[-1]
        rows = torch.minimum((self.uniform(n, dtype=torch.float64) * last).long(), last - 1)
        return torch.searchsorted(ends, rows, right=True)

    def _rows(
        self, draw: Callable[..., Tensor], n: int, shape: tuple[int, ...], dtype: torch.dtype | None
    ) -> Tensor:
        source = self.generator
        drawn = draw(n * self.world, *shape, dtype=dtype, device=source.device, generator=source)
        return drawn if self.world == 1 else drawn[self.rank * n : (self.rank + 1) * n]
