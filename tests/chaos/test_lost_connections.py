"""Connections to a database that end at the worst moments."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import OperationalError, PendingRollbackError

from gansweep.engine.storage import databases
from gansweep.engine.storage.retrying_storage import is_outage
from gansweep.errors import UserError

if TYPE_CHECKING:
    from postgres import Postgres


def test_connection_lost_while_optuna_reads_is_an_outage() -> None:
    """Optuna catches the first error itself, and goes on in a transaction that is no more."""
    try:
        try:
            raise PendingRollbackError("Can't reconnect until invalid transaction is rolled back.")
        except PendingRollbackError as error:
            raise StorageInternalError("An exception is raised during the commit.") from error
    except StorageInternalError as error:
        assert is_outage(error)


def test_connection_that_the_server_ends_is_an_outage() -> None:
    psycopg = pytest.importorskip("psycopg")
    assert is_outage(psycopg.errors.AdminShutdown("terminating connection"))
    assert is_outage(psycopg.errors.ConnectionTimeout("too slow"))
    assert not is_outage(psycopg.errors.UniqueViolation("twice"))


def test_statements_of_a_lost_connection_are_not_shown() -> None:
    logger = logging.getLogger(RDBStorage.__module__)

    def shown(words: str) -> bool:
        return bool(logger.filter(logging.makeLogRecord({"msg": words})))

    assert not shown("Caught an error from sqlalchemy: SELECT ... Falling back to a slower one.")
    assert shown("Something else.")


def test_connection_lost_while_tables_are_made_does_not_blame_the_database(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*args: Any, **named: Any) -> None:
        words = Exception("terminating connection due to administrator command")
        raise OperationalError("SELECT", {}, words)

    monkeypatch.setattr(databases, "PostgresStorage", ended)
    with pytest.raises(UserError, match=r"cannot be reached \(terminating .*Start the server"):
        databases.open_postgresql(postgres.database("ended"), pool_size=1)
