"""Checkpoints for an exact continuation: the last one and the best one by the objective."""

import errno
import io
import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytorch_lightning as pl
import torch

from gansweep.callbacks.watcher import GameCallback
from gansweep.config.ranges import Seconds
from gansweep.errors import UserError, tell
from gansweep.models.adversarial import Adversarial
from gansweep.records import digest
from gansweep.records.notation import listing
from gansweep.records.record import ROW_OF_SOURCE, RunRecord


class Checkpoint(GameCallback):
    """Saves last.pt every `every_seconds` and at the end, and best.pt when the objective improves.

    The checkpoint before last.pt is kept as previous.pt, in case last.pt gets damaged.
    Raises: UserError, also before the first step, for a callback's state that cannot be read back.
    """

    def __init__(self, every_seconds: Seconds = 30.0) -> None:
        self.every_seconds = every_seconds
        self._saved = time.monotonic()
        self._scores_seen = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            _states_of(trainer)

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        if not trainer.is_global_zero:
            return
        self._save_best(trainer, module)
        # after the last step scores and pictures come first: a run that is killed while they are
        # made could not make them, as it would have no step left
        if time.monotonic() - self._saved >= self.every_seconds and not module.is_done:
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
        """Write the whole state of the run to checkpoints/NAME atomically."""
        record = self.journal.record
        assert record is not None
        with self.journal.outside_training():
            self.journal.flush()
            state = {
                "game": module.game_state(),
                "class_names": module.class_names,
                "journal": self.journal.state(),
                "callbacks": _states_of(trainer),
                "rng": rng_state(),
            }
            if name == "last.pt":
                record.keep_last(as_bytes(state))
                self._saved = time.monotonic()
            else:
                record.write(record.checkpoints / name, as_bytes(state))


def _states_of(trainer: pl.Trainer) -> dict[str, Any]:
    """What the callbacks keep in a checkpoint, by their `state_key`.

    Raises: UserError for a state that `read_checkpoint` would refuse, which loads no classes.
    """
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    states = {one.state_key: one.state_dict() for one in callbacks}
    kept = {key: state for key, state in states.items() if state}
    for key, state in kept.items():
        archive = io.BytesIO()
        try:
            torch.save(state, archive)
            archive.seek(0)
            torch.load(archive, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever pickling somebody's class may raise
            raise UserError(
                f"The state of the callback {key} cannot be read back from a checkpoint "
                f"({type(error).__name__}). Return tensors, numbers, text, lists and mappings from "
                "its state_dict: torch.from_numpy(array) for an array, float(number) for a number "
                "of NumPy."
            ) from error
    return kept


class DamagedCheckpointError(UserError):
    """The content of a checkpoint is not what was written.   what: the file and the evidence."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}. {fix}")
        self.what = what


def as_bytes(state: Mapping[str, Any]) -> bytes:
    """A checkpoint with its digest, for `read_checkpoint`."""
    archive = io.BytesIO()
    torch.save(state, archive)
    digest.seal(archive)
    return archive.getvalue()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint and check its digest. One of an older version has none (stderr says so).

    Raises: UserError if the file is missing or cannot be read; DamagedCheckpointError if it is
        damaged.
    """
    return read_with_digest(path)[0]


def read_with_digest(path: Path) -> tuple[dict[str, Any], str | None]:
    """As `read_checkpoint`; also the digest, or None for a file of an older version."""
    try:
        with open(path, "rb") as file:
            found = digest.checked(file)
            state = _loaded(file, found is not None)
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist: the run was stopped before its first checkpoint, or "
            "'gansweep prune' removed it. Start the run again without resume=."
        ) from None
    except (OSError, digest.DamagedError) as error:
        if isinstance(error, OSError) and error.errno != errno.EIO:
            raise UserError(
                f"{path} cannot be read ({error.strerror}). Change its permissions, or give the "
                "same command again when its disk is available."
            ) from error
        raise DamagedCheckpointError(
            f"{path} is damaged ({error})",
            _instead(path),
        ) from error
    if found is None:
        tell(
            f"gansweep: {path} was saved by an older version without a digest, so damage cannot "
            "be detected."
        )
    return state, found


def intact_beside(path: Path) -> list[str]:
    """Of "last" and "best" those of the same run, other than `path`, that can be read."""
    return [p.stem for p in map(path.with_name, ("last.pt", "best.pt")) if p != path and _intact(p)]


def _intact(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            _loaded(file, digest.checked(file) is not None)
    except (OSError, digest.DamagedError):
        return False
    return True


def _instead(path: Path) -> str:
    others = [f"checkpoint={stem}" for stem in intact_beside(path)]
    if not others:
        return "No other one of the run is intact: use a backup, or start the run again."
    return f"Use {listing(others, 'or')} or a backup, or start the run again."


def _loaded(file: BinaryIO, is_sealed: bool) -> dict[str, Any]:
    """Raises: DamagedError for an unreadable file that has no digest to prove it intact."""
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if is_sealed or isinstance(error, (MemoryError, OSError)):
            raise  # the file is intact: our mistake, or another version of PyTorch
        raise digest.DamagedError(type(error).__name__) from error
    return state


def named(record: RunRecord, which: str) -> Path:
    """The file of the checkpoint "best" or "last", or of a name that may not exist; without a best
    one, as without scores, the last is the best."""
    file = record.checkpoints / f"{which}.pt"
    return record.last if which == "best" and not file.exists() else file


def last_intact(record: RunRecord, *, or_anew: bool = False) -> dict[str, Any] | None:
    """The checkpoint from which a run continues; None if it has none yet.

    If last.pt is damaged, previous.pt or best.pt replaces it, unless that was saved before the run
    took over another run's weights. The history and stderr report the replacement.
    or_anew: start again if no checkpoint is intact.   Raises: DamagedCheckpointError otherwise.
    """
    if not record.last.exists():
        if not record.previous.exists():
            return None
        os.replace(record.previous, record.last)  # the process was killed between the two renames
    try:
        return read_checkpoint(record.last)
    except DamagedCheckpointError as error:
        damage = error
    taken = [row["kimg"] for row in record.history() if ROW_OF_SOURCE in row]
    for path in (record.previous, record.best):
        try:
            state = read_checkpoint(path)
        except UserError:  # missing or damaged
            continue
        kimg = state["game"]["images_seen"] / 1000
        if all(kimg > at for at in taken):
            record.write(record.last, path.read_bytes())
            note = f"{damage.what}: the run continues from {path.name}, at {kimg:g} kimg."
            _note(record, kimg, state["journal"]["seconds"], note)
            return state
    if not or_anew or taken:
        fix = "Replace it by a backup, or start the run again."
        raise DamagedCheckpointError(f"{damage.what}, and no other one of the run is intact", fix)
    os.replace(record.last, record.last.with_name("damaged.pt"))
    _note(record, 0.0, 0.0, f"{damage.what}, and no other one is intact: the run starts again.")
    return None


def _note(record: RunRecord, kimg: float, seconds: float, note: str) -> None:
    record.append({"kimg": kimg, "seconds": seconds, "note": note})
    tell(f"gansweep: {note}")


def rng_state() -> dict[str, Any]:
    """The states of the global generators of torch, NumPy and Python, as tensors and numbers."""
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
