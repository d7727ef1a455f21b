"""Ends a run: by a verdict of another callback, Ctrl-C or a termination signal."""

import pytorch_lightning as pl

from gansweep.callbacks.watcher import GameCallback
from gansweep.models.adversarial import Adversarial
from gansweep.signals import StopRequests


class EndOfRun(GameCallback):
    """Runs after all other callbacks: writes the row of the step and ends training on a verdict.

    After the first Ctrl-C, SIGTERM or hangup the current step ends and the checkpoint is written.
    A later Ctrl-C interrupts at once, but not a later SIGTERM: SLURM sends one to every process of
    a job, and the worker of a sweep forwards its own.
    every_steps: several processes agree on whether to stop every so many batches.
    """

    def __init__(self, every_steps: int = 50) -> None:
        self.every_steps = every_steps
        self._stops = StopRequests(raising=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stops.__enter__()

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        """End training on a verdict or a signal, on all processes at the same step.

        A signal at the last step is ignored, since the run is finished or paused anyway.
        """
        self.journal.end_step()
        if self._stops.first and not module.is_done:
            self.journal.stop("interrupted", self._stops.first.name, module.images_seen)
        stop = self.journal.verdict is not None
        if trainer.world_size > 1:
            if module.steps % self.every_steps:
                return
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
            if stop:  # without a verdict here, another process got a signal
                reason = "another process got a signal"
                self.journal.stop("interrupted", reason, module.images_seen)
        if stop:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.journal.flush()
        self._stops.__exit__()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stops.__exit__()
