"""Where the studies of a sweep are kept: one option, `storage=`, for one machine or for many.

journal                    SWEEP_DIR/study.journal, a line for each change, under kernel locks
sqlite                     SWEEP_DIR/study.db; sqlite:///PATH: a file that several sweeps share
postgresql://USER@HOST/DB  a server; no file lock is needed, so any number of hosts may work
grpc://HOST:PORT           Optuna's proxy, started with `python -m gansweep.sweep.serve`
"""

from __future__ import annotations

import errno
import importlib
import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study

from gansweep.errors import UserError, nearest
from gansweep.sweep.databases import AdvisoryLock, Turns, open_postgresql, open_sqlite
from gansweep.sweep.locks import KernelLock
from gansweep.sweep.patience import Patience, PatientStorage, patiently

T = TypeVar("T")

KINDS = ("journal", "sqlite", "postgresql", "grpc")
EXAMPLES = "journal, sqlite, sqlite:///PATH, postgresql://USER@HOST/DATABASE or grpc://HOST:PORT"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
SERVER_SECONDS = 5.0  # for a server to answer when a sweep starts


@dataclass(frozen=True)
class Storage:
    """The studies of a sweep, and the lock that only one of its workers holds at a time.

    The lock goes with its holder, however that ends: the kernel or the server sees to it.
    """

    optuna: BaseStorage
    lock: AbstractContextManager[None]
    prefix: str  # of the studies' names; "" where they lie in the sweep's own directory
    patience: Patience

    def exclusively(self, section: Callable[[], T]) -> T:
        """section() under the lock. Where an outage interrupts it, it begins again when that is
        over, so it must bear to be ended anywhere, as by a kill."""

        def once() -> T:
            with self.patience.in_section(), self.lock:
                return section()

        result: T = patiently(self.patience, once)
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
        if parts.password or "password" in parse_qs(parts.query):
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
    Raises: UserError, with the mend, where there is no such storage or it cannot be used.
    """
    where = canonical(where)
    patience = Patience(where)
    shared = f"{directory.resolve().name}/"
    if not where.startswith("postgresql"):  # there are locks to be kept in it
        directory.mkdir(parents=True, exist_ok=True)
    if where == "journal":
        optuna: BaseStorage = _journal(directory / "study.journal")
        return Storage(PatientStorage(optuna, patience), _lock_in(directory), "", patience)
    if where.startswith("sqlite"):
        own = where == "sqlite"
        optuna = _sqlite(directory / "study.db" if own else Path(where[10:]), patience)
        return Storage(optuna, _lock_in(directory), "" if own else shared, patience)
    if where.startswith("grpc"):
        optuna = PatientStorage(_grpc(where), patience)
        return Storage(optuna, _lock_in(directory), shared, patience)
    backend = open_postgresql(where, pool_size=1)
    lock = AdvisoryLock(backend._backend.engine, shared)
    return Storage(PatientStorage(backend, patience), lock, shared, patience)


def serve_storage(where: str) -> BaseStorage:
    """The storage behind a proxy: a journal file, or what `storage=` may name.

    Raises: UserError as `open_storage` does.
    """
    if "://" not in where:
        return _journal(Path(where))
    where = canonical(where)
    patience = Patience(where)
    if where.startswith("sqlite"):
        return _sqlite(Path(where[10:]), patience)
    if where.startswith("grpc"):
        raise UserError(f"{where} is a proxy itself. Serve a journal file, SQLite or PostgreSQL.")
    return PatientStorage(open_postgresql(where, pool_size=10), patience)


def keep_name(study: Study, directory: Path) -> None:
    """Note in a study to which directory it belongs; call it under the sweep's lock.

    Raises: UserError where it belongs to another: two sweeps of one name in one database.
    """
    here, there = str(directory.resolve()), study.user_attrs.get("directory")
    if there == here:
        return
    has_moved = there and not Path(there).exists() and (directory / "sweep.yaml").exists()
    if there and not has_moved:
        raise UserError(
            f"The storage holds a sweep of this name already, and its directory is {there}, not "
            f"{here}. Choose another name, as in name={directory.resolve().name}-2, or continue "
            f"that one with runs_dir={Path(there).parent}."
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


class JournalLock(JournalFileOpenLock):
    """The lock of Optuna's journal file, which also repairs the file.

    A writer killed in the middle of a line leaves it torn, and the next line would be glued to it:
    the study could never be read again. Whoever takes the lock first cuts such a tail off.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._lock = SweepLock(journal.with_name(journal.name + ".lock"))

    def acquire(self) -> bool:
        self._lock.__enter__()
        try:
            self._cut_torn_tail()
        except BaseException:
            self._lock.__exit__()
            raise
        return True

    def release(self) -> None:
        self._lock.__exit__()

    def _cut_torn_tail(self) -> None:
        if not self._journal.exists():
            return
        with open(self._journal, "rb+") as file:
            end = file.seek(0, os.SEEK_END)
            keep = end
            while keep > 0:
                start = max(0, keep - 65536)
                file.seek(start)
                newline = file.read(keep - start).rfind(b"\n")
                if newline >= 0:
                    keep = start + newline + 1
                    break
                keep = start
            if keep < end:
                file.truncate(keep)


def _lock_in(directory: Path) -> KernelLock:
    return SweepLock(directory / "sweep.lock")


def _journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalLock(path)))


def _sqlite(path: Path, patience: Patience) -> PatientStorage:
    turns = Turns(SweepLock(path.with_name(path.name + ".lock")))
    return PatientStorage(open_sqlite(path, turns), patience, turns)


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
            f"gansweep.sweep.serve studies.journal --host 0.0.0.0 --port {parts.port}`, or correct "
            "the address."
        ) from error
    return proxy


def _port(where: str) -> int | None:
    try:
        return urlsplit(where).port
    except ValueError:
        return None
