"""Sample sheets from fixed noise, so that sheets of different times can be compared."""

from __future__ import annotations

from typing import Annotated

from gansweep.callbacks.sheet import sheet
from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.config.ranges import Kimg, Range
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.models.adversarial import Adversarial

NOISE_SEED = 20140610


class Samples(ImageClockWatcher):
    """A lossless WebP of samples (see `sheet`).   count: about how many images it shows."""

    conditions: Conditions
    data: DataSource

    def __init__(self, every_kimg: Kimg, count: Annotated[int, Range(1, 4_096)] = 64) -> None:
        super().__init__(every_kimg)
        self.count = count

    def work(self, module: Adversarial) -> None:
        made = sheet(module, self.data, self.conditions, self.count, NOISE_SEED)
        assert self.journal.record is not None
        path = self.journal.record.samples / f"{module.images_seen:09d}.webp"
        self.journal.record.write(path, made.as_webp())
        self.journal.show("samples", module.images_seen, made.enlarged(), made.layout.kind)
