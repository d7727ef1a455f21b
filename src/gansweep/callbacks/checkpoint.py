"""Checkpoints from which a run continues exactly: the last one, and the best by the objective."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from gansweep.callbacks.watcher import GameCallback
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.ranges import Seconds
from gansweep.record import replace_atomically


class Checkpoint(GameCallback):
    """Saves last.pt every `every_seconds` and at the end, best.pt when the objective improves."""

    def __init__(self, every_seconds: Seconds = 30.0) -> None:
        self.every_seconds = every_seconds
        self._saved = time.monotonic()
        self._scores_seen = 0

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        if not trainer.is_global_zero:
            return
        self._save_best(trainer, module)
        # a pause is scored first: what is saved before would go on without that score
        if time.monotonic() - self._saved >= self.every_seconds and not module.paused:
            self.save(trainer, module, "last.pt")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Adversarial)
        if trainer.is_global_zero:
            self._save_best(trainer, pl_module)
            self.save(trainer, pl_module, "last.pt")

    def _save_best(self, trainer: pl.Trainer, module: Adversarial) -> None:
        if self.journal.score_counter > self._scores_seen and self.journal.objective_just_improved:
            self.save(trainer, module, "best.pt")
        self._scores_seen = self.journal.score_counter

    def save(self, trainer: pl.Trainer, module: Adversarial, name: str) -> None:
        """Write all that an exact continuation needs to checkpoints/NAME, whole or not at all."""
        assert self.journal.record is not None
        with self.journal.outside_training():
            self.journal.flush()
            state = {
                "game": module.game_state(),
                "journal": self.journal.state(),
                "callbacks": _watcher_states(trainer),
                "rng": rng_state(),
            }
            buffer = io.BytesIO()
            torch.save(state, buffer)
            replace_atomically(self.journal.record.checkpoints / name, buffer.getvalue())
        if name == "last.pt":
            self._saved = time.monotonic()


def _watcher_states(trainer: pl.Trainer) -> dict[str, Any]:
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    states = {type(c).__name__: c.state_dict() for c in callbacks}
    return {name: state for name, state in states.items() if state}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Raises: UserError where the file is missing or damaged."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: the run was stopped before its first checkpoint. Start it "
            "again without resume=."
        ) from None
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}). If the run also has "
            "a best.pt, copy that over it; else start the run again."
        ) from error
    return state


def rng_state() -> dict[str, Any]:
    """The global generators of torch, NumPy and Python, as tensors and plain values."""
    name, keys, *rest = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "python": [version, list(internal), gauss],
    }


def restore_rng(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
