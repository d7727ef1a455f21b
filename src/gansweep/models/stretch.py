"""Several batches of one `training_step`: Lightning's own work then comes once for all of them."""

import itertools
from collections.abc import Callable, Iterator

from gansweep.data.batch import Batch


class Stretch:
    """The next `size` batches, each drawn once the step before it and what follows it are done.

    after: called with the batch of each step after it; True ends the stretch.
    """

    def __init__(self, batches: Iterator[Batch], size: int, after: Callable[[Batch], bool]) -> None:
        self.batches, self.size, self.after = batches, size, after

    def __iter__(self) -> Iterator[Batch]:
        for batch in itertools.islice(self.batches, self.size):
            yield batch
            if self.after(batch):
                return
