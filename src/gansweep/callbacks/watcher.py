"""When callbacks act: cheap ones every so many batches, expensive ones every so many images."""

from typing import Any

import pytorch_lightning as pl

from gansweep.callbacks.journal import Journal
from gansweep.config.ranges import Count, Kimg
from gansweep.data.batch import Batch
from gansweep.models.adversarial import Adversarial
from gansweep.records.cadence import steps_apart


class GameCallback(pl.Callback):
    """A callback that has the run's journal and acts after each step, with its `batch`."""

    journal: Journal
    batch: Batch

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Act after the step, unless each step of a stretch was acted on within it."""
        assert isinstance(pl_module, Adversarial)
        if isinstance(batch, Batch):
            self.act(trainer, pl_module, batch)

    def act(self, trainer: pl.Trainer, module: Adversarial, batch: Batch) -> None:
        """Call `after_step` with the number of images of this step over all processes."""
        self.batch = batch
        self.after_step(trainer, module, len(batch) * trainer.world_size)

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        """Called on every process after each step.   images: of this step, over all processes."""
        raise NotImplementedError


class Watcher(GameCallback):
    """Writes to the journal every `every_steps` batches, on the main process only.

    every_steps: None: as records/cadence.py, every 50 batches or more often in a short run.
    """

    def __init__(self, every_steps: Count | None = 1) -> None:
        self.every_steps = every_steps

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        every = self.every_steps or steps_apart(module.budget_kimg, images)
        if module.steps % every == 0 and trainer.is_global_zero:
            self.look(module)

    def look(self, module: Adversarial) -> None:
        """Measure and write. Called every `every_steps` batches on the main process."""
        raise NotImplementedError


class ImageClockWatcher(GameCallback):
    """Does its work every `every_kimg` thousand images and at the end."""

    on_every_process = False  # False: on the main process only
    at_pauses = False  # whether a pause counts as an end

    def __init__(self, every_kimg: Kimg) -> None:
        self.every_kimg = every_kimg
        self._done_at = -1

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        period = self.every_kimg * 1000
        if module.images_seen // period > (module.images_seen - images) // period:
            self._work(trainer, module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Adversarial)
        stopped = self.journal.verdict is not None or (pl_module.paused and not self.at_pauses)
        if self.on_every_process and trainer.world_size > 1:
            # if only one process has a verdict, the others must not wait for it in `work`
            stopped = trainer.strategy.reduce_boolean_decision(stopped, all=False)
        if not stopped and self._done_at != pl_module.images_seen:
            self._work(trainer, pl_module)

    def _work(self, trainer: pl.Trainer, module: Adversarial) -> None:
        self._done_at = module.images_seen
        if trainer.is_global_zero or self.on_every_process:
            with self.journal.outside_training():
                self.work(module)

    def work(self, module: Adversarial) -> None:
        """Do the periodic work. Also called once at the end of the run."""
        raise NotImplementedError
