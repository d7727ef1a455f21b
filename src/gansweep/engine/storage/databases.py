"""SQLite and PostgreSQL as storages of sweeps: connections, locks and their errors."""

import hashlib
import logging
import sqlite3
import threading
import weakref
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage

from gansweep.engine.storage.postgresql import PostgresStorage
from gansweep.engine.storage.retrying_storage import StorageOutageError, in_short, is_outage
from gansweep.errors import UserError

SCHEMA_KEY = 0x67616E7377656570  # of the advisory lock under which the tables are made
MAY_MAKE_TABLES = """
    SELECT to_regclass('studies') IS NOT NULL
        OR coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
"""
CONNECT_SECONDS = 5
# Each side notices within half a minute that the other's machine is gone. TCP alone waits for two
# hours, and a lock must not outlive its holder for so long.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}

# it would log a page of SQL at each outage; retrying_storage reports that in a line
logging.getLogger(RDBStorage.__module__).addFilter(lambda said: "Falling back" not in str(said.msg))


class _Connection(sqlite3.Connection):
    """Readers do not wait for writers, and a commit costs one write instead of two."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.execute("PRAGMA journal_mode=WAL")


def open_sqlite(path: Path, turns: AbstractContextManager[None]) -> BaseStorage:
    """The database in the file `path`, which is made if there is none.

    turns: held while the tables are made.   Raises: UserError if it cannot be opened.
    """
    options = {"timeout": 60, "factory": _Connection}
    try:
        with turns:
            storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": options})
    except Exception as error:
        if not _is_from_database(error):
            raise
        raise UserError(
            f"{path} cannot be used as an SQLite database ({in_short(error)}). Free some "
            "space, correct its permissions, move it away if it is something else, or choose "
            "another storage=."
        ) from error
    return _closing_itself(storage)


def open_postgresql(where: str, pool_size: int) -> Any:
    """The database at `where`, with its tables; Optuna's storage with its cache.

    pool_size: connections kept open.   Raises: UserError, with the fix, if it cannot be used.
    """
    try:
        import psycopg
    except ImportError as error:
        raise UserError(
            f"storage={where} needs the package psycopg. Install it with "
            "`pip install 'gansweep[postgresql]'` on every host of the sweep."
        ) from error
    options: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, **KEEPALIVES}
    try:
        with psycopg.connect(where, autocommit=True, **options) as connection:
            # two processes that make the tables at once would both fail
            connection.execute("SELECT pg_advisory_lock(%s)", (SCHEMA_KEY,))
            if connection.execute(MAY_MAKE_TABLES).fetchone() != (True,):
                raise UserError(
                    f"The database of storage={where} has no tables of sweeps, and its user may "
                    "make none. Let it own the database (`createdb -O USER NAME`), or GRANT it "
                    "CREATE ON SCHEMA public."
                )
            words = [f"-c tcp_{key}={value}" for key, value in KEEPALIVES.items()]  # the server's
            words.append("-c jit=off")  # no statement of ours runs long enough for it to pay
            storage = PostgresStorage(
                where.replace("postgresql://", "postgresql+psycopg://", 1),
                engine_kwargs={
                    "pool_pre_ping": True,
                    "pool_size": pool_size,
                    "max_overflow": 2,  # two at once are rare, and Optuna nests them at start
                    "connect_args": {**options, "options": " ".join(words)},
                },
            )
    except Exception as error:
        if is_outage(error):
            raise UserError(_refused(where, in_short(error))) from error
        if not _is_from_database(error):
            raise
        raise UserError(
            f"The database of storage={where} cannot hold a sweep ({in_short(error)}). Use one "
            "that holds nothing else, and whose user owns it: `createdb -O USER NAME`."
        ) from error
    return _closing_itself(storage)


def _closing_itself(storage: RDBStorage) -> BaseStorage:
    """Optuna's cache around a storage. The connections are closed when it is no longer used."""
    cached = get_storage(storage)
    weakref.finalize(cached, storage.engine.dispose)
    return cached


def _refused(where: str, said: str) -> str:
    """The error without a connection, with the fix."""
    fixes = {
        "password": "Put the password into ~/.pgpass or into the variable PGPASSWORD.",
        "database": "Create it with `createdb NAME`, or correct the URL.",
        "role": "Create the user with `createuser NAME`, or name another: postgresql://USER@...",
        "pg_hba.conf": "Let the server's pg_hba.conf admit this host and user.",
        "too many clients": "Raise the server's max_connections, or use storage=grpc://HOST:PORT.",
    }
    for word, fix in fixes.items():
        if word in said and ("connection to server" not in said or "FATAL" in said):
            return f"storage={where} refuses us ({said}). {fix}"
    return (
        f"storage={where} cannot be reached ({said}). Start the server, or correct the host and "
        "the port; `psql URL` shows whether it answers."
    )


def _is_from_database(error: Exception) -> bool:
    is_drivers = type(error).__module__.startswith(("sqlalchemy", "sqlite3"))
    return is_drivers or isinstance(error, (StorageInternalError, RuntimeError, OSError))


class AdvisoryLock:
    """An exclusive lock that a PostgreSQL server keeps: `with lock: ...`.

    It uses the only connection of the storage's pool, so that a worker needs no second one. The
    server releases it when that connection ends. If it ends while the lock is held, the holder's
    next call to the storage raises StorageOutageError.
    """

    def __init__(self, engine: Any, name: str) -> None:
        from sqlalchemy import event

        digest = hashlib.sha256(name.encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._engine = engine
        self._holder: int | None = None  # the thread that is in the section
        event.listen(engine, "checkout", self._check_still_held)

    def __enter__(self) -> None:
        with self._engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_lock(%s)", (self._key,))
            connection.connection.info[self] = True  # forgotten with the connection
        self._holder = threading.get_ident()

    def __exit__(self, *error: object) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        self._holder = None
        try:
            with self._engine.begin() as connection:
                if connection.connection.info.pop(self, False):
                    connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (self._key,))
        except SQLAlchemyError:
            self._engine.dispose()  # the lock goes with the connection

    def _check_still_held(self, connection: object, record: Any, proxy: object) -> None:
        if self._holder == threading.get_ident() and self not in record.info:
            raise StorageOutageError("the connection that held the sweep's lock was lost")
