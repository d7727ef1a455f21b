"""Where the studies of a sweep are kept: one option, `storage=`, for one machine or for many.

journal                    SWEEP_DIR/study.journal, a line for each change, under kernel locks
sqlite                     SWEEP_DIR/study.db; sqlite:///PATH: a file that several sweeps share
postgresql://USER@HOST/DB  a server, for any number of hosts: it needs no file locks
grpc://HOST:PORT           Optuna's proxy, started with `python -m gansweep.engine.storage.serve`
"""

import importlib
import json
import os
import re
import shlex
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study

from gansweep.engine.lease.locks import NO_LOCKS, KernelLock
from gansweep.engine.storage.databases import AdvisoryLock, open_postgresql, open_sqlite
from gansweep.engine.storage.retrying_storage import Retries, RetryingStorage, with_retries
from gansweep.errors import UserError, nearest

T = TypeVar("T")

KINDS = ("journal", "sqlite", "postgresql", "grpc")
EXAMPLES = "journal, sqlite, sqlite:///PATH, postgresql://USER@HOST/DATABASE or grpc://HOST:PORT"
_PASSWORD = re.compile("[^@/?#]*:[^@]+@")  # USER:PASSWORD@, with whatever in it
SERVER_SECONDS = 5.0  # for a server to answer when a sweep starts


@dataclass(frozen=True)
class Storage:
    """The studies of a sweep, and the lock that only one of its workers holds at a time. The kernel
    or the server releases the lock when its holder ends in any way."""

    optuna: BaseStorage
    lock: AbstractContextManager[None]
    prefix: str  # of the studies' names; "" if they are in the sweep's own directory
    retries: Retries
    flush: Callable[[], None] = lambda: None  # after it a power cut loses nothing written so far

    @property
    def is_shared(self) -> bool:
        """Whether it may hold other sweeps; else it is in the sweep's own directory."""
        return bool(self.prefix)

    def exclusively(self, section: Callable[[], T]) -> T:
        """section() under the lock. It starts again after an outage, so it must be safe to end it
        at any point, as a kill would."""

        def once() -> T:
            with self.retries.in_section(), self.lock:
                return section()

        result: T = with_retries(self.retries, once)
        return result


def canonical(where: str) -> str:
    """The value of `storage=` as sweep.yaml has it for all workers.

    Raises: UserError if it is not a storage, or contains a password.
    """
    kind, separator, rest = where.partition("://")
    if where in ("journal", "sqlite"):
        return where
    if not separator or kind not in KINDS[1:]:
        hint = nearest(kind.partition("+")[0], KINDS)
        raise UserError(f"storage={where} is no storage that sweeps know.{hint} Use {EXAMPLES}.")
    if kind == "sqlite":
        if len(rest) < 2 or not rest.startswith("/"):
            raise UserError(f"storage={where} names no file. Use sqlite:////absolute/path.db.")
        return f"sqlite:///{Path(rest[1:]).expanduser().absolute()}"
    parts = urlsplit(where)
    if kind == "postgresql":
        asked = parse_qs(parts.query, keep_blank_values=True)
        if _PASSWORD.match(rest) or any("password" in key for key in asked):
            raise UserError(
                "storage= contains a password, which everybody could read in sweep.yaml. Leave it "
                "out, and put it into ~/.pgpass (HOST:PORT:DATABASE:USER:PASSWORD, mode 600) or "
                "into the variable PGPASSWORD of every worker."
            )
        if not parts.path.strip("/"):
            raise UserError(f"storage={where} names no database. Use {where.rstrip('/')}/NAME.")
    if kind == "grpc" and (not parts.hostname or not _port(where)):
        raise UserError(f"storage={where} names no host and port. Use grpc://HOST:13000, say.")
    return where


def open_storage(directory: Path, where: str) -> Storage:
    """The storage of the sweep in `directory`; missing files and tables are made.

    where: the value of `storage=`.
    Raises: UserError, with the fix, if there is no such storage or it cannot be used.
    """
    where = canonical(where)
    retries = Retries(where)
    shared = f"{directory.resolve().name}/"
    if not where.startswith("postgresql"):  # for its locks
        directory.mkdir(parents=True, exist_ok=True)
    if where == "journal":
        file = JournalFile(directory / "study.journal")
        # threads take this lock before that of Optuna's storage, as they do in a section
        optuna: BaseStorage = RetryingStorage(_replayed(file), retries, file.turns.threads)
        return Storage(optuna, file.turns, "", retries, file.flush)
    if where.startswith("sqlite"):
        own = where == "sqlite"
        optuna, turns = _sqlite(directory / "study.db" if own else Path(where[10:]), retries)
        return Storage(optuna, turns, "" if own else shared, retries)
    if where.startswith("grpc"):
        optuna = RetryingStorage(_grpc(where), retries)
        return Storage(optuna, SweepLock(directory / "sweep.lock"), shared, retries)
    backend = open_postgresql(where, pool_size=1)
    lock = AdvisoryLock(backend._backend.engine, shared)
    return Storage(RetryingStorage(backend, retries), lock, shared, retries)


def serve_storage(where: str) -> BaseStorage:
    """The storage behind a proxy: a journal file, or what `storage=` may name.

    Raises: UserError as `open_storage` does.
    """
    if "://" not in where:
        path = Path(where).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        return _replayed(JournalFile(path))
    where = canonical(where)
    retries = Retries(where)
    if where.startswith("sqlite"):
        return _sqlite(Path(where[10:]), retries)[0]
    if where.startswith("grpc"):
        raise UserError(f"{where} is a proxy itself. Serve a journal file, SQLite or PostgreSQL.")
    return RetryingStorage(open_postgresql(where, pool_size=10), retries)


def keep_name(study: Study, directory: Path) -> None:
    """Note in a study to which directory it belongs; call it under the sweep's lock.

    Raises: UserError if it belongs to another one: two sweeps of one name in one database.
    """
    here, there = str(directory.resolve()), study.user_attrs.get("directory")
    if there == here:
        return
    has_moved = there and not Path(there).exists() and (directory / "sweep.yaml").exists()
    if there and not has_moved:
        other = shlex.quote(f"name={directory.resolve().name}-2")
        raise UserError(
            f"The storage holds a sweep of this name already, and its directory is {there}, not "
            f"{here}. Choose another name, as in {other}, or continue "
            f"that one with {shlex.quote(f'runs_dir={Path(there).parent}')}."
        )
    study.set_user_attr("directory", here)


class SweepLock(KernelLock):
    """A kernel lock for a sweep. Raises: UserError if the file system has no locks."""

    def __enter__(self) -> None:
        try:
            super().__enter__()
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise UserError(
                f"The file system of {self.path.parent} has no locks ({error.strerror}), and two "
                "workers could damage each other's work. Use storage=postgresql://USER@HOST/"
                "DATABASE, or choose a place on another disk with runs_dir=."
            ) from error


class Turns:
    """A re-entrant lock for one thread of one process: `with turns: ...`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock, self.threads, self._depth = SweepLock(path), threading.RLock(), 0

    def __enter__(self) -> None:
        self.threads.acquire()
        try:
            if not self._depth:
                self._lock.__enter__()
        except BaseException:
            self.threads.release()
            raise
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._lock.__exit__()
        self.threads.release()


class JournalFile(JournalFileBackend):
    """Optuna's journal file under a kernel lock, which also repairs the file.

    A writer killed in the middle of a line leaves it torn, and the next line would be appended to
    it: the study could never be read again. A power cut may leave zeros or garbage. So no reader
    reads such a tail, and each writer cuts it off first. A power cut may lose the lines since the
    last `flush`, but none before.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path
        self.turns = Turns(path.with_name(path.name + ".lock"))
        self._read = self._offset = 0  # lines, bytes

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write whole lines at the end, without the tail that a killed writer left there."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with self.turns, open(self.path, "a+b", buffering=0) as file:
            _cut_torn_tail(file.fileno())
            while lines:
                lines = lines[file.write(lines) :]

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The lines from this number on, read from the disk from the end of the last call.

        Raises: UserError if a line among others cannot be read.
        """
        if log_number_from < self._read:
            self._read = self._offset = 0
        if self.path.stat().st_size <= self._offset:
            return
        whole = self._unread()
        try:  # at once: with 64 workers each reads the lines of all
            logs = json.loads(b"[" + whole[:-1].replace(b"\n", b",") + b"]")
        except ValueError:
            # without a writer, who may have cut off a tail and continued; readers have no lock
            with self.turns if os.access(self.turns.path, os.W_OK) else nullcontext():
                whole = self._unread()
            whole = whole[: _end_of_readable(whole)]
            logs = self._one_by_one(whole)
        skip = log_number_from - self._read
        self._read, self._offset = self._read + len(logs), self._offset + len(whole)
        yield from logs[skip:]

    def _unread(self) -> bytes:
        """The whole lines after those of the last call of `read_logs`."""
        # by one read: a second one would continue in what was written in place of a torn tail
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self._offset)
            written = file.read(max(0, self.path.stat().st_size - self._offset))
        return written[: written.rfind(b"\n") + 1]

    def _one_by_one(self, whole: bytes) -> list[dict[str, Any]]:
        """Raises: UserError naming the first line that cannot be read."""
        logs = []
        for number, line in enumerate(whole.split(b"\n")[:-1], self._read + 1):
            log = log_in(line)
            if log is None:
                raise UserError(
                    f"Line {number} of {self.path} was damaged on the disk. {self.how_to_fix()}"
                )
            logs.append(log)
        return logs

    def how_to_fix(self) -> str:
        """What to do if the file was damaged."""
        if (self.path.parent / "sweep.yaml").is_file():
            return (
                f"`gansweep repair {shlex.quote(str(self.path.parent))}` repairs it, with the "
                "records of the runs."
            )
        return (  # served by Optuna's proxy, to sweeps whose directories are elsewhere
            "End the server and replace the file by an older copy, or cut it off before that line; "
            "the sweeps take what is missing from the records of their runs."
        )

    def flush(self) -> None:
        """Write all lines so far through to the disk; others may write meanwhile."""
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())


def _replayed(file: JournalFile) -> JournalStorage:
    """Raises: UserError if a readable line has an impossible content."""
    try:
        return JournalStorage(file)
    except UserError:  # of a line that is named already
        raise
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{file.path} was damaged on the disk: a line of it has an impossible content "
            f"({type(error).__name__}: {error}). {file.how_to_fix()}"
        ) from error


def _cut_torn_tail(descriptor: int) -> None:
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end == 0 or os.pread(descriptor, 2, max(0, end - 2)) == b"}\n":
        return
    keep = _end_of_readable(os.pread(descriptor, end, 0))
    if keep < end:
        os.ftruncate(descriptor, keep)


def _end_of_readable(written: bytes) -> int:
    """The end of the last whole line that can be read."""
    end = written.rfind(b"\n") + 1
    while end > 0:
        start = written.rfind(b"\n", 0, end - 1) + 1
        if log_in(written[start:end]) is not None:
            break
        end = start
    return end


def log_in(line: bytes) -> dict[str, Any] | None:
    """The content of a journal's line; None if it cannot be read."""
    try:
        log = json.loads(line)
    except ValueError:
        return None
    return log if isinstance(log, dict) else None


def _sqlite(path: Path, retries: Retries) -> tuple[RetryingStorage, Turns]:
    # SQLite itself would poll, and fail if a reader becomes a writer
    turns = Turns(path.with_name(path.name + ".lock"))
    return RetryingStorage(open_sqlite(path, turns), retries, turns), turns


def _grpc(where: str) -> BaseStorage:
    try:
        for package in ("grpc", "google.protobuf"):
            importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"storage={where} needs the packages grpcio and protobuf. Install them with "
            "`pip install 'gansweep[grpc]'` on every host of the sweep."
        ) from error
    from optuna.storages import GrpcStorageProxy

    parts = urlsplit(where)
    assert parts.hostname and parts.port, "canonical() sees to it"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=parts.hostname, port=parts.port)
    try:
        proxy.wait_server_ready(SERVER_SECONDS)
    except ConnectionError as error:
        raise UserError(
            f"No server answers at {where}. Start it on that host with `python -m "
            "gansweep.engine.storage.serve studies.journal --host 0.0.0.0 "
            f"--port {parts.port}`, or correct the address."
        ) from error
    return proxy


def _port(where: str) -> int | None:
    try:
        return urlsplit(where).port
    except ValueError:
        return None
