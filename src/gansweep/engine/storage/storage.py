"""Where the studies of a sweep are kept: one option, `storage=`, for one machine or for many.

journal                    SWEEP_DIR/study.journal, a line for each change, under kernel locks
sqlite                     SWEEP_DIR/study.db; sqlite:///PATH: a file that several sweeps share
postgresql://USER@HOST/DB  a server; no file lock is needed, so any number of hosts may work
grpc://HOST:PORT           Optuna's proxy, started with `python -m gansweep.engine.storage.serve`
"""

from __future__ import annotations

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
    """The studies of a sweep, and the lock that only one of its workers holds at a time.

    The lock goes with its holder, however that ends: the kernel or the server sees to it.
    """

    optuna: BaseStorage
    lock: AbstractContextManager[None]
    prefix: str  # of the studies' names; "" where they lie in the sweep's own directory
    retries: Retries
    flush: Callable[[], None] = lambda: None  # see to it that a power cut costs nothing so far

    @property
    def is_shared(self) -> bool:
        """Whether other sweeps lie in it, too; else it goes where the sweep's directory goes."""
        return bool(self.prefix)

    def exclusively(self, section: Callable[[], T]) -> T:
        """section() under the lock. Where an outage interrupts it, it begins again when that is
        over, so it must bear to be ended anywhere, as by a kill."""

        def once() -> T:
            with self.retries.in_section(), self.lock:
                return section()

        result: T = with_retries(self.retries, once)
        return result


def canonical(where: str) -> str:
    """The value of `storage=` as it is written into sweep.yaml and read by any worker.

    Raises: UserError where it is no storage, or carries a password.
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
                "storage= carries a password, and it would be written to sweep.yaml for everybody "
                "to read. Leave it out, and put it into ~/.pgpass (HOST:PORT:DATABASE:USER:"
                "PASSWORD, mode 600) or into the variable PGPASSWORD of every worker."
            )
        if not parts.path.strip("/"):
            raise UserError(f"storage={where} names no database. Use {where.rstrip('/')}/NAME.")
    if kind == "grpc" and (not parts.hostname or not _port(where)):
        raise UserError(f"storage={where} names no host and port. Use grpc://HOST:13000, say.")
    return where


def open_storage(directory: Path, where: str) -> Storage:
    """The storage of the sweep in `directory`; files and tables are made where there are none.

    where: the value of `storage=`.
    Raises: UserError, with the fix, where there is no such storage or it cannot be used.
    """
    where = canonical(where)
    retries = Retries(where)
    shared = f"{directory.resolve().name}/"
    if not where.startswith("postgresql"):  # there are locks to be kept in it
        directory.mkdir(parents=True, exist_ok=True)
    if where == "journal":
        file = JournalFile(directory / "study.journal")
        # threads meet here before they come to the lock that Optuna's storage has for them: in a
        # section they take the two in this order
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

    Raises: UserError where it belongs to another: two sweeps of one name in one database.
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
    """A kernel lock for a sweep.

    Raises: UserError where the file system has none.
    """

    def __enter__(self) -> None:
        try:
            super().__enter__()
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise UserError(
                f"The file system of {self.path.parent} has no locks ({error.strerror}), without "
                "which two workers could spoil each other's work. Use storage=postgresql://USER@"
                "HOST/DATABASE, or choose a place on another disk with runs_dir=."
            ) from error


class Turns:
    """A lock that lets one thread of one process go on: `with turns: ...`, also within another."""

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

    A writer killed in the middle of a line leaves it torn, and the next line would be glued to it:
    the study could never be read again. A power cut may leave zeros or garbage there. So nobody
    reads such a tail, and each writer cuts it off first. A power cut may cost the lines since the
    last `flush`, but none from among others.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path
        self.turns = Turns(path.with_name(path.name + ".lock"))
        self._read = self._offset = 0  # lines, bytes

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write whole lines at the end, after what a killed writer left there is cut off."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with self.turns:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                _cut_torn_tail(descriptor)
                while lines:
                    lines = lines[os.write(descriptor, lines) :]
            finally:
                os.close(descriptor)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The lines from this number on, read from the disk where the last call ended.

        Raises: UserError for a line among others that cannot be read.
        """
        if log_number_from < self._read:
            self._read = self._offset = 0
        if self.path.stat().st_size <= self._offset:
            return
        whole = self._unread()
        try:  # at once: with 64 workers each reads the lines of all
            logs = json.loads(b"[" + whole[:-1].replace(b"\n", b",") + b"]")
        except ValueError:
            with self._no_writer():  # one may have cut off a tail and gone on while we read
                whole = self._unread()
            whole = whole[: _end_of_readable(whole)]
            logs = self._one_by_one(whole)
        skip = log_number_from - self._read
        self._read, self._offset = self._read + len(logs), self._offset + len(whole)
        yield from logs[skip:]

    def _unread(self) -> bytes:
        """The whole lines from where the last call of `read_logs` ended."""
        # by one read: a second one would go on in what was written in place of a torn tail
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self._offset)
            written = file.read(max(0, self.path.stat().st_size - self._offset))
        return written[: written.rfind(b"\n") + 1]

    def _no_writer(self) -> AbstractContextManager[None]:
        """Within it nobody writes, unless we may only read."""
        return self.turns if os.access(self.turns.path, os.W_OK) else nullcontext()

    def _one_by_one(self, whole: bytes) -> list[dict[str, Any]]:
        """Raises: UserError naming the first line that cannot be read."""
        lines = whole.split(b"\n")[:-1]
        logs = [log for log in map(log_in, lines) if log is not None]
        if len(logs) < len(lines):
            number = self._read + 1 + [log_in(line) for line in lines].index(None)
            raise UserError(
                f"Line {number} of {self.path} was damaged on the disk. {self.how_to_fix()}"
            )
        return logs

    def how_to_fix(self) -> str:
        """What to do where the file was damaged."""
        if (self.path.parent / "sweep.yaml").is_file():
            return (
                f"`gansweep repair {shlex.quote(str(self.path.parent))}` repairs it: what the file "
                "then lacks is taken from the records of the runs."
            )
        return (  # served by Optuna's proxy, to sweeps whose directories are elsewhere
            "End the server and put a copy from before in its place, or cut the file off before "
            "that line; the sweeps take what it then lacks from the records of their runs."
        )

    def flush(self) -> None:
        """See all that was written so far onto the disk; others may write meanwhile."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _replayed(file: JournalFile) -> JournalStorage:
    """Raises: UserError where a line that can be read says what cannot be."""
    try:
        return JournalStorage(file)
    except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{file.path} was damaged on the disk: what a line of it says cannot be "
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
    """Where the last whole line ends that can be read."""
    end = written.rfind(b"\n") + 1
    while end > 0:
        start = written.rfind(b"\n", 0, end - 1) + 1
        if log_in(written[start:end]) is not None:
            break
        end = start
    return end


def log_in(line: bytes) -> dict[str, Any] | None:
    """What a line of a journal says; None where it cannot be read."""
    try:
        log = json.loads(line)
    except ValueError:
        return None
    return log if isinstance(log, dict) else None


def _sqlite(path: Path, retries: Retries) -> tuple[RetryingStorage, Turns]:
    # SQLite's own way for writers to meet is to poll, and to fail where a reader turns writer
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
