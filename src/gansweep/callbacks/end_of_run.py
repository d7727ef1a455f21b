"""The end of a run: a verdict of another callback, Ctrl-C, a termination signal."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from gansweep.callbacks.watcher import GameCallback
from gansweep.models.adversarial import Adversarial
from gansweep.signals import note_hangup, stop_signals


class EndOfRun(GameCallback):
    """Runs last of all callbacks: closes the row of the step and ends training on a verdict.

    A first Ctrl-C (or SIGTERM, or the end of the terminal) lets the step end and the checkpoint be
    written; a Ctrl-C after it interrupts at once. A second SIGTERM does not: SLURM sends one to
    every process of a job, and the worker of a sweep passes its own on.
    every_steps: batches between two agreements of several processes on whether to stop.
    """

    def __init__(self, every_steps: int = 50) -> None:
        self.every_steps = every_steps
        self._signal = 0
        self._outer: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for number in stop_signals():
            self._outer[number] = signal.signal(number, self._note)

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        """End the training once there is a verdict or a signal came, on all processes at one step.

        A signal at the last step changes nothing: the run is finished, or paused, all the same.
        """
        self.journal.flush()
        last_step = module.paused or module.images_seen >= module.budget_kimg * 1000
        if self._signal and not last_step:
            name = signal.Signals(self._signal).name
            self.journal.stop("interrupted", name, module.images_seen)
        stop = self.journal.verdict is not None
        if trainer.world_size > 1:
            if module.steps % self.every_steps:
                return
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
            if stop:  # where no verdict is known here, a signal reached another process
                self.journal.stop("interrupted", "another process was told", module.images_seen)
        if stop:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.journal.flush()
        self._restore()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._outer.items():
            if signal.getsignal(number) == self._note:  # else its first word was its last
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        note_hangup(number)
        if self._signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signal = number
