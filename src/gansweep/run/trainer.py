"""Lightning's Trainer with the options that gansweep passes on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from gansweep.callbacks.watcher import GameCallback
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.models.feed import Feed
from gansweep.run.devices import TrainerOptions

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
STEPS_TOGETHER = 64  # Lightning's own 0.3 ms comes once for all of them


def made_trainer(options: Mapping[str, Any], directory: Path, **own: Any) -> pl.Trainer:
    """A Trainer.

    options: the trainer's part of the configuration; all but gansweep's own go to Lightning.
    directory: of the run; a profiler writes fit-profile.txt there.
    own: what gansweep sets itself.
    Raises: UserError if Lightning refuses an option.
    """
    passed = _passed_on(options)
    profiler = PROFILERS.get(str(passed.get("profiler")))
    made = {"profiler": profiler(dirpath=directory, filename="profile")} if profiler else {}
    try:
        return pl.Trainer(**own, **{**passed, **made})
    except (MisconfigurationException, ValueError, TypeError) as error:
        if not passed:
            raise
        words = " ".join(f"trainer.{name}={value}" for name, value in passed.items())
        raise UserError(f"Lightning's Trainer refuses {words}: {error}") from error


def _passed_on(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in options.items() if k not in TrainerOptions.__annotations__}


def take_steps_together(trainer: pl.Trainer, feed: Feed, options: Mapping[str, Any]) -> None:
    """Let one `training_step` take several steps, each followed by our callbacks as always.

    Not where somebody else acts at each of Lightning's batches (a callback or a model of yours, an
    option of Lightning's), where several processes agree at each, or in a precision whose context
    around a step (autocast, another default type) the callbacks must not share.
    """
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    alone = trainer.world_size == 1 and str(trainer.precision) == "32-true"
    if _passed_on(options) or not alone or not _usual(feed.module, callbacks):
        return
    ours = [callback for callback in callbacks if isinstance(callback, GameCallback)]

    def after(batch: Batch) -> bool:
        for callback in ours:
            callback.act(trainer, feed.module, batch)
        return trainer.should_stop

    feed.together, feed.after = STEPS_TOGETHER, after


def _usual(model: Adversarial, callbacks: Sequence[pl.Callback]) -> bool:
    """Whether nothing but our own callbacks acts at Lightning's batches."""
    ends = (pl.Callback.on_train_batch_end, GameCallback.on_train_batch_end)
    return (
        type(model).training_step is Adversarial.training_step
        and type(model).on_train_batch_start is pl.LightningModule.on_train_batch_start
        and type(model).on_train_batch_end is pl.LightningModule.on_train_batch_end
        and all(type(c).on_train_batch_start is pl.Callback.on_train_batch_start for c in callbacks)
        and all(type(c).on_train_batch_end in ends for c in callbacks)
    )
