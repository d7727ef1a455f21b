"""Checkpoints from which a run continues exactly: the last one, and the best by the objective."""

from __future__ import annotations

import errno
import io
import os
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytorch_lightning as pl
import torch

from gansweep.callbacks.watcher import GameCallback
from gansweep.config.ranges import Seconds
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.records import digest
from gansweep.records.record import ROW_OF_SOURCE, RunRecord


class Checkpoint(GameCallback):
    """Saves last.pt every `every_seconds` and at the end, best.pt when the objective improves.

    The last checkpoint before it is kept as previous.pt, for the case that it is damaged.
    """

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
        record = self.journal.record
        assert record is not None
        with self.journal.outside_training():
            self.journal.flush()
            state = {
                "game": module.game_state(),
                "journal": self.journal.state(),
                "callbacks": _watcher_states(trainer),
                "rng": rng_state(),
            }
            if name == "last.pt":
                record.keep_last(as_bytes(state))
            else:
                record.write(record.checkpoints / name, as_bytes(state))
        if name == "last.pt":
            self._saved = time.monotonic()


def _watcher_states(trainer: pl.Trainer) -> dict[str, Any]:
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    states = {type(c).__name__: c.state_dict() for c in callbacks}
    return {name: state for name, state in states.items() if state}


class DamagedCheckpointError(UserError):
    """A checkpoint does not hold what was written into it.   what: which one, and by what sign."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}. {fix}")
        self.what = what


def as_bytes(state: Mapping[str, Any]) -> bytes:
    """A checkpoint with its digest, as `read_checkpoint` reads it."""
    archive = io.BytesIO()
    torch.save(state, archive)
    digest.seal(archive)
    return archive.getvalue()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint whose digest is right. One of an older version has none, which is said.

    Raises: UserError where the file is missing or cannot be read; DamagedCheckpointError.
    """
    try:
        with open(path, "rb") as file:
            is_sealed = digest.is_sealed(file)
            state = _loaded(file, is_sealed)
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: the run was stopped before its first checkpoint. Start it "
            "again without resume=."
        ) from None
    except (OSError, digest.DamagedError) as error:
        if isinstance(error, OSError) and error.errno != errno.EIO:
            raise UserError(
                f"{path} cannot be read ({error.strerror}). Change its permissions, or give the "
                "same command again once its disk is back."
            ) from error
        raise DamagedCheckpointError(
            f"{path} is damaged ({error})",
            "Use another checkpoint of the run (checkpoint=last or checkpoint=best), a copy of "
            "yours, or start the run again.",
        ) from error
    if not is_sealed:
        said = "it was saved by an older version without a digest, so damage would not show"
        print(f"gansweep: {path}: {said}.", file=sys.stderr)
    return state


def _loaded(file: BinaryIO, is_sealed: bool) -> dict[str, Any]:
    """Raises: DamagedError where there is no digest that says that the file is whole."""
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        if is_sealed:
            raise  # a mistake of ours, or another version of PyTorch
        raise digest.DamagedError(type(error).__name__) from error
    return state


def continued(record: RunRecord, *, or_anew: bool = False) -> dict[str, Any] | None:
    """The checkpoint from which a run goes on; None where it has none yet.

    Where the last one is damaged, the one before it or the best one takes its place, unless that
    was saved before the run took over the weights of another. The history says so, and stderr.
    or_anew: begin again where none is whole.
    Raises: DamagedCheckpointError.
    """
    if not record.last.exists():
        if not record.previous.exists():
            return None
        os.replace(record.previous, record.last)  # killed while the one made way for the other
    try:
        return read_checkpoint(record.last)
    except DamagedCheckpointError as error:
        damage = error
    taken = [row["kimg"] for row in record.history() if ROW_OF_SOURCE in row]
    for path in (record.previous, record.best):
        try:
            state = read_checkpoint(path)
        except UserError:  # there is none, or it is of no use either
            continue
        kimg = state["game"]["images_seen"] / 1000
        if all(kimg > at for at in taken):
            record.write(record.last, path.read_bytes())
            said = f"{damage.what}: the run continues from {path.name}, at {kimg:g} kimg."
            _note(record, kimg, state["journal"]["seconds"], said)
            return state
    if not or_anew or taken:
        fix = "Put a copy of yours in its place, or start the run again."
        raise DamagedCheckpointError(f"{damage.what}, and no other of the run is whole", fix)
    os.replace(record.last, record.last.with_name("damaged.pt"))
    _note(record, 0.0, 0.0, f"{damage.what}, and no other is whole: the run starts again.")
    return None


def _note(record: RunRecord, kimg: float, seconds: float, said: str) -> None:
    record.append({"kimg": kimg, "seconds": seconds, "note": said})
    print(f"gansweep: {said}", file=sys.stderr)


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
