"""What Lightning's loop iterates over: the rest of a run's budget."""

import itertools
import math
from collections.abc import Callable, Iterator

from omegaconf import DictConfig

from gansweep.data.batch import Batch
from gansweep.data.source import DataSource
from gansweep.models.adversarial import Adversarial
from gansweep.models.stretch import Stretch


class Feed:
    """The batches from the images seen so far to the end of the budget, or to the next pause.

    With `one_batch` each of them is the first batch of the run. Lightning gets them one by one, or
    `together` at a time as a stretch, with `after` for what follows each step.
    """

    together = 1
    after: Callable[[Batch], bool]

    def __init__(self, data: DataSource, module: Adversarial, cfg: DictConfig) -> None:
        self.data = data
        self.module = module
        self.batch_size: int = cfg.batch_size
        self.budget_images = math.ceil(cfg.budget_kimg * 1000)
        self.seed: int = cfg.seed
        self.one_batch: bool = cfg.get("one_batch", False)  # older records do not have it
        self.rank = 0
        self.world = 1

    def __len__(self) -> int:
        return math.ceil(self._steps_left / self.together)

    def __iter__(self) -> Iterator[Batch | Stretch]:
        batches = self.batches()
        if self.together == 1:
            return batches
        moved = (batch.to(self.module.device) for batch in batches)  # Lightning moves single ones
        return (Stretch(moved, self.together, self.after) for _ in range(len(self)))

    @property
    def _steps_left(self) -> int:
        end = min(self.budget_images, self.module.until_kimg * 1000)
        return max(0, math.ceil((end - self.module.images_seen) / self.batch_size))

    def batches(self) -> Iterator[Batch]:
        """One for each step that is left."""
        batches = self.data.train_batches(
            self.batch_size,
            seed=self.seed,
            device=self.module.device,
            rank=self.rank,
            world=self.world,
            start_image=0 if self.one_batch else self.module.images_seen,
            dtype=next(self.module.parameters()).dtype,
        )
        if self.one_batch:
            batches = itertools.repeat(next(batches))
        return itertools.islice(batches, self._steps_left)
