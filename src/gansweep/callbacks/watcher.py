"""The cadence of callbacks: batches for what is cheap, images seen for what is not."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from gansweep.callbacks.journal import Journal
from gansweep.models.adversarial import Adversarial


class Watcher(pl.Callback):
    """A callback that writes to the journal on the main process only.

    every_steps: batches between two looks.
    """

    journal: Journal

    def __init__(self, every_steps: int = 1) -> None:
        self.every_steps = every_steps

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, Adversarial)
        if pl_module.steps % self.every_steps == 0 and trainer.is_global_zero:
            self.look(pl_module)

    def look(self, module: Adversarial) -> None:
        """Write what is seen now. Called every `every_steps` batches on the main process."""
        raise NotImplementedError


class ImageClockWatcher(pl.Callback):
    """A callback that works each time another `every_kimg` thousand images were seen."""

    journal: Journal

    def __init__(self, every_kimg: float) -> None:
        self.every_kimg = every_kimg
        self._done_at = -1

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, Adversarial)
        before = pl_module.images_seen - len(batch) * trainer.world_size
        period = self.every_kimg * 1000
        if pl_module.images_seen // period > before // period:
            self._work(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Adversarial)
        if self.journal.verdict is None and self._done_at != pl_module.images_seen:
            self._work(trainer, pl_module)

    def _work(self, trainer: pl.Trainer, module: Adversarial) -> None:
        self._done_at = module.images_seen
        if trainer.is_global_zero:
            with self.journal.outside_training():
                self.work(module)

    def work(self, module: Adversarial) -> None:
        """Do the periodic work. Called on the main process, also once at the end of the run."""
        raise NotImplementedError
