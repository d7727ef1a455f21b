"""The run record: the format of a run's directory. Only this file knows it.

runs/<group>/<run>/
  config.yaml     fully resolved configuration
  history.jsonl   append-only, one object a line
  result.json     replaced atomically
  samples/        <images seen, 9 digits>.webp, lossless, which carries its layout: see sheets.py;
                  .png in older runs
  neighbours/     the same names: generated images beside their nearest real images
  checkpoints/    last.pt, previous.pt (the one before last.pt), best.pt
  evaluations.jsonl  append-only, one object for each evaluation of the finished run
  remarks.jsonl   append-only, the tags and notes that people gave: see remarks.py
  tracker.json    the run's id in each tracker: see tracker_ids.py
  .writer         the process that writes the run: see writer.py

Every change goes through writer.py, so that only one process at a time writes.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import math
import os
import re
import shlex
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gansweep.config.directory_names import checked_name
from gansweep.errors import UserError
from gansweep.records import writer
from gansweep.records.drafts import drafted, remove_drafts
from gansweep.records.plain_values import DamagedError, result_of, row_of, rows_of
from gansweep.records.sheets import SUFFIXES

SCHEMA = 1
ROW_OF_SOURCE = "weights_from"  # key of a history row: the run whose weights were taken over
# folders inside a run, of gansweep and of the trackers
FOLDERS = ("samples", "neighbours", "checkpoints", "wandb", "csv", "tensorboard", "mlruns")
TRACKED = "tracked"  # key of config.yaml and result.json: the program of a loop of its own
FULL = (errno.ENOSPC, errno.EDQUOT)
ENDED_WELL = ("finished", "equilibrium", "plateau")
ENDED = (*ENDED_WELL, "pruned", "diverged", "collapsed")  # by the training itself
STATUSES = (
    *("running", *ENDED_WELL, "paused", "pruned"),
    *("diverged", "collapsed", "failed", "interrupted"),
)


def replace_atomically(
    path: Path, content: bytes, allowed: contextlib.AbstractContextManager[None] | None = None
) -> None:
    """Write `content` to `path`. A reader sees the old or the new file, never a part of it.

    allowed: a context in which the new file replaces the old one; if it raises, the old one stays.
    Raises: OSError (a full disk, no permission); the old file is then unchanged.
    """
    with drafted(path, allowed) as draft, open(draft, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def content_of(path: Path) -> bytes:
    """The bytes of a regular file.   Raises: OSError, also for a pipe or a device (no waiting)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return file.read()


@dataclass(frozen=True)
class Source:
    """The weights that a run continues with: the name of another run, and its checkpoint."""

    run: str
    checkpoint: Path


class RunRecord:
    """The directory of one run, for its writer and its readers."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.config_path = self.directory / "config.yaml"
        self.history_path = self.directory / "history.jsonl"
        self.result_path = self.directory / "result.json"
        self.evaluations_path = self.directory / "evaluations.jsonl"
        self.remarks_path = self.directory / "remarks.jsonl"
        self.samples = self.directory / "samples"
        self.sheets = self.directory / "neighbours"
        self.checkpoints = self.directory / "checkpoints"
        self.last = self.checkpoints / "last.pt"
        self.previous = self.checkpoints / "previous.pt"
        self.best = self.checkpoints / "best.pt"
        self.tracker_path = self.directory / "tracker.json"
        self.traceback_path = self.directory / "traceback.txt"

    @classmethod
    def create(cls, directory: str | Path, config_yaml: str) -> RunRecord:
        """Make the directory of a new run, or open that of a run to continue."""
        record = cls(directory)
        record.samples.mkdir(parents=True, exist_ok=True)
        record.checkpoints.mkdir(exist_ok=True)
        record.write(record.config_path, config_yaml.encode())
        return record

    def claimed(self, *, take: bool = False, after: int | None = None) -> writer.Claim:
        """The right to write this run, whose directory must exist: see writer.claim.

        Temporary files of earlier writers are removed. So a suspended writer cannot finish a write
        that it had started.
        """
        claim = writer.claim(self.directory, take=take, after=after)
        for folder in (self.directory, self.checkpoints, self.samples, self.sheets):
            remove_drafts(folder, older_than=0.0)
        return claim

    def write(self, path: Path, content: bytes) -> None:
        """Make or replace a file of the record, as `replace_atomically` does.

        Raises: SupersededError if another process has taken the run over. All methods that write
            raise this error.
        """
        replace_atomically(path, content, writer.writing(self.directory))

    def keep_last(self, content: bytes) -> None:
        """Write the last checkpoint. The old one becomes the previous checkpoint."""
        replace_atomically(self.last, content, self._making_way())

    @contextlib.contextmanager
    def _making_way(self) -> Iterator[None]:
        with writer.writing(self.directory):
            with contextlib.suppress(FileNotFoundError):
                _link_over(self.last, self.previous)
            yield

    @property
    def exists(self) -> bool:
        return self.config_path.is_file()

    def append(self, *rows: dict[str, Any]) -> None:
        """Add a line to the history for each row. NaN and infinities are stored as null.

        Raises: OSError (a full disk, no permission); the file is then unchanged.
        """
        _append(self.history_path, rows, writer.writing(self.directory))

    def append_evaluation(self, evaluation: dict[str, Any], number: int) -> None:
        """Add the scores of one evaluation, as `append` adds a row.

        number: `writer.newest` of the directory at the time when the checkpoint was read.
        """
        _append(self.evaluations_path, [evaluation], writer.adding(self.directory, number))

    def evaluations(self) -> list[dict[str, Any]]:
        """Every readable evaluation, oldest first."""
        return list(_rows(self.evaluations_path))

    def append_remark(self, remark: dict[str, str]) -> None:
        """Add what a person says of the run, as `append` adds a row. Its writer is not disturbed.

        Raises: OSError, also if the file is a link, a pipe or a device.
        """
        _append(self.remarks_path, [remark], writer.locked(self.directory), _no_link)

    def remarks(self) -> list[dict[str, Any]]:
        """Every readable remark, oldest first."""
        return list(_rows(self.remarks_path))

    def truncate_history(self, kimg: float) -> None:
        """Remove the rows and the pictures after `kimg`: a run that continues from a checkpoint
        writes new ones."""
        for clock, path in [*self.sample_grids(), *self.sheet_files()]:
            if clock > kimg + 1e-9:
                with writer.writing(self.directory):
                    path.unlink(missing_ok=True)
        if not self.history_path.exists():
            return
        rows = [row for row in self.history() if row.get("kimg", 0.0) <= kimg + 1e-9]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        self.write(self.history_path, lines.encode())

    def history(self) -> list[dict[str, Any]]:
        """Every readable row, oldest first. A damaged line is skipped with a warning."""
        return list(_rows(self.history_path))

    def write_result(self, result: dict[str, Any]) -> None:
        assert result["status"] in STATUSES, result["status"]
        content = json.dumps(_finite({"schema": SCHEMA, **result}), indent=2) + "\n"
        self.write(self.result_path, content.encode())

    def result(self) -> dict[str, Any] | None:
        """The content of result.json; None if it does not exist yet or is damaged."""
        return self.read_result()[0]

    def read_result(self) -> tuple[dict[str, Any] | None, str]:
        """The value of `result`, and the reason if the file is damaged, else ""."""
        try:
            return result_of(content_of(self.result_path)), ""
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            return None, str(error.strerror)
        except DamagedError as error:
            return None, str(error)

    def sample_grids(self) -> list[tuple[float, Path]]:
        """(kimg, path) of every sample grid, oldest first."""
        return _pictures(self.samples)

    def sheet_files(self) -> list[tuple[float, Path]]:
        """(kimg, path) of every sheet of nearest neighbours, oldest first."""
        return _pictures(self.sheets)


def _pictures(folder: Path) -> list[tuple[float, Path]]:
    found = {}
    for suffix in reversed(SUFFIXES):  # a WebP replaces the PNG of the same moment
        named = (p for p in folder.glob(f"*{suffix}") if re.fullmatch("[0-9]{1,12}", p.stem))
        found.update({int(p.stem) / 1000: p for p in named})
    return sorted(found.items())


def _link_over(path: Path, other: Path) -> None:
    """Make `other` a hard link to `path`, or move it if the file system has no hard links."""
    try:
        with drafted(other) as draft:
            os.link(path, draft)
    except FileNotFoundError:
        raise
    except OSError:
        os.replace(path, other)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def _append(
    path: Path,
    rows: Sequence[dict[str, Any]],
    allowed: contextlib.AbstractContextManager[None],
    opener: Callable[[str, int], int] | None = None,
) -> None:
    line = b"".join(json.dumps(_finite(row)).encode() + b"\n" for row in rows)
    # open before taking the lock: a process that takes the run over replaces the file, so that
    # this one is no longer part of the record
    with open(path, "ab+", buffering=0, opener=opener) as file, allowed:
        size = file.seek(0, os.SEEK_END)
        if size:  # the last line may be incomplete
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        try:
            while line:  # an almost full disk writes a part, and raises only for the rest
                line = line[file.write(line) :]
        except OSError:
            with contextlib.suppress(OSError):  # report the first error
                file.truncate(size)
            raise


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        content = content_of(path)
    except FileNotFoundError:
        return
    except OSError as error:
        warnings.warn(f"{path} cannot be read: {error.strerror}", stacklevel=3)
        return
    lines = content.splitlines()
    together = rows_of(lines)
    if together is not None:
        yield from together
        return
    for number, line in enumerate(lines, start=1):
        try:
            yield row_of(line)
        except DamagedError as error:
            warnings.warn(f"{path}: skipped the damaged line {number}: {error}", stacklevel=3)


def new_directory(runs_dir: str | Path, group: str, name: str | None, stem: str) -> Path:
    """Make the directory RUNS_DIR/GROUP/NAME, so that no other run can take the name.

    If `name` is None it is the stem and the first free number, as in dcgan-001.
    Raises: UserError if a run of that name exists; OSError if the directory cannot be made.
    """
    if name is not None:
        directory = refuse_taken(runs_dir, group, name)
        directory.mkdir(parents=True, exist_ok=True)
        return directory
    parent = Path(runs_dir) / checked_name("group", group)
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            directory = parent / f"{stem}-{number:03d}"
            directory.mkdir()
            return directory
    raise AssertionError("numbers do not end")


def refuse_taken(runs_dir: str | Path, group: str, name: str, continuing: str = "") -> Path:
    """The directory RUNS_DIR/GROUP/NAME.   Raises: UserError if a run is there.

    continuing: how such a run is continued, by default by `gansweep train`.
    """
    directory = Path(runs_dir) / checked_name("group", group) / checked_name("name", name)
    if RunRecord(directory).exists:
        writer.refuse_held(directory)
        raise UserError(
            f"{directory} already contains a run. Continue it with "
            f"{continuing or f'`{_continuing(directory)}`'}, or choose another name=."
        )
    return directory


def claim_new(
    runs_dir: str | Path, group: str, name: str | None, stem: str
) -> tuple[RunRecord, writer.Claim]:
    """A `new_directory`, and the right to write to it.

    Raises: as `new_directory`, and UserError if another process has just started a run there.
    """
    while True:
        record = RunRecord(new_directory(runs_dir, group, name, stem))
        try:
            claim = record.claimed()
        except FileNotFoundError:  # another run in it failed at once and removed it
            continue
        except OSError:
            with contextlib.suppress(OSError):
                record.directory.rmdir()  # only if it is empty
            raise
        if not record.exists:
            return record, claim
        claim.release()  # another process has started and ended a run in it


def disk_error(error: OSError, directory: Path) -> UserError | None:
    """The error for a failed write to `directory`, with the fix; None for any other error, such as
    one of a file elsewhere that is read."""
    place = error.filename or directory
    if error.errno in FULL:
        if (directory / "checkpoints" / "last.pt").exists():
            return UserError(
                f"No space is left on the disk of {place}. Free some space, then continue from the "
                f"last checkpoint with `{_continuing(directory)}`."
            )
        return UserError(
            f"No space is left on the disk of {place}, and the run had no checkpoint yet. Free "
            "some space, or choose another disk with runs_dir=, then start the run again."
        )
    path, folder = (Path(os.path.abspath(str(one))) for one in (place, directory))
    is_here = path.is_relative_to(folder) or folder.is_relative_to(path)  # or cannot be made
    if error.errno is None or error.filename is None or not is_here:
        return None
    return UserError(
        f"{place} cannot be written ({error.strerror}): choose another place with runs_dir=, or "
        "change its permissions."
    )


def _continuing(directory: Path) -> str:
    return shlex.join(["gansweep", "train", f"resume={directory}"])


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value
