"""Storages that cannot be used: each is refused with its fix."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest
from processes import free_port
from sweep_processes import (
    assert_refused,
    made,
    words_of_a_sweep,
)

from gansweep.engine.lease.locks import Lease, is_alive
from gansweep.engine.storage.storage import canonical, keep_name, open_storage
from gansweep.errors import UserError

if TYPE_CHECKING:
    from postgres import Postgres


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("sqlit", "Did you mean 'sqlite'.*grpc://HOST:PORT"),
        ("postgres://host/db", "Did you mean 'postgresql'"),
        ("mysql://host/db", "no storage that sweeps know. Use journal"),
        ("sqlite://", "names no file"),
        ("postgresql://user:secret@host/db", "~/.pgpass .*PGPASSWORD"),
        ("postgresql://host/db?password=secret", "~/.pgpass .*PGPASSWORD"),
        ("postgresql://u@host/db?sslpassword=secret", "~/.pgpass .*PGPASSWORD"),
        ("postgresql://u:a/secret@host/db", "~/.pgpass .*PGPASSWORD"),
        ("postgresql://u:a#secret@host/db", "~/.pgpass .*PGPASSWORD"),
        ("postgresql://host", "Use postgresql://host/NAME"),
        ("grpc://host", "no host and port"),
        ("grpc://host:word", "no host and port"),
    ],
)
def test_wrong_word_for_a_storage_is_refused(storage: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        canonical(storage)
    assert "secret" not in str(refused.value)


def test_storage_is_read_alike_from_every_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert canonical("sqlite:///a.db") == f"sqlite:///{tmp_path}/a.db"
    for word in ("journal", "postgresql://me@host:5432/db?sslmode=require", "grpc://h:1"):
        assert canonical(word) == word


def test_password_is_not_written_anywhere(tmp_path: Path) -> None:
    words = words_of_a_sweep(tmp_path, "storage=postgresql://me:secret@host/db")
    assert_refused(words, "PGPASSWORD")


def test_servers_that_refuse_say_what_to_do(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, port = postgres.database("refusals"), free_port()
    monkeypatch.setattr("gansweep.engine.storage.storage.SERVER_SECONDS", 0.5)
    refusals = {
        f"postgresql://127.0.0.1:{port}/db": "cannot be reached .*refused.*Start the server",
        f"{url}x": "refuses us .*refusalsx.*createdb",
        url.replace("gansweep@", "stranger@"): "refuses us .*stranger.*createuser",
        f"grpc://127.0.0.1:{port}": f"No server answers.*storage.serve .*--port {port}",
    }
    for storage, message in refusals.items():
        with pytest.raises(UserError, match=message):
            open_storage(tmp_path / "s", storage)


def test_user_who_may_make_no_tables_is_advised_to_own_the_database(
    tmp_path: Path, postgres: Postgres
) -> None:
    import psycopg

    url = postgres.database("rights")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE ROLE guest LOGIN")
        owner.execute("REVOKE CREATE ON SCHEMA public FROM public")
    with pytest.raises(UserError, match="may make none.*createdb -O USER"):
        open_storage(tmp_path / "s", url.replace("gansweep@", "guest@"))


@pytest.mark.parametrize(
    ("storage", "package", "extra"),
    [
        ("postgresql://host/db", "psycopg", "gansweep[postgresql]"),
        ("grpc://host:13000", "grpc", "gansweep[grpc]"),
    ],
)
def test_missing_driver_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=re.escape(f"pip install '{extra}'")):
        open_storage(tmp_path, storage)


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at " * 20)
    with pytest.raises(UserError, match="notes.txt cannot be used .*not a database"):
        open_storage(tmp_path / "s", f"sqlite:///{path}")
    with pytest.raises(UserError, match="cannot be used .*No such file"):
        open_storage(tmp_path / "s", "sqlite:////proc/none/studies.db")


def test_file_system_without_locks_is_refused_but_leases_work_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    storage = open_storage(tmp_path, "journal")
    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(UserError, match="No locks available.*storage=postgresql://"):
        storage.exclusively(lambda: None)
    lease = Lease(tmp_path / "leases" / "trials-0", "w0")
    assert is_alive(lease.path), "by its touches, as on another host"
    os.utime(lease.path, (0, 0))
    assert not is_alive(lease.path)
    lease.release()


def test_two_sweeps_of_one_name_do_not_share_a_study(tmp_path: Path) -> None:
    shared = f"sqlite:///{tmp_path / 'studies.db'}"
    for runs in ("a", "b"):
        (tmp_path / runs / "s").mkdir(parents=True)
    study = optuna.create_study(
        storage=open_storage(tmp_path / "a" / "s", shared).optuna, study_name="s/trials"
    )
    keep_name(study, tmp_path / "a" / "s")
    keep_name(study, tmp_path / "a" / "s")
    with pytest.raises(UserError, match=f"{tmp_path}/a/s, not {tmp_path}/b/s.*name=s-2"):
        keep_name(study, tmp_path / "b" / "s")
    (tmp_path / "a" / "s").rmdir()
    with pytest.raises(UserError, match="holds a sweep of this name"):
        keep_name(study, tmp_path / "b" / "s")
    (tmp_path / "b" / "s" / "sweep.yaml").write_text("it was moved here")
    keep_name(study, tmp_path / "b" / "s")
    assert study.user_attrs["directory"] == str(tmp_path / "b" / "s")


def test_sweep_keeps_the_storage_that_it_began_with(tmp_path: Path) -> None:
    made(words_of_a_sweep(tmp_path))
    with pytest.raises(UserError, match="storage=journal, not in sqlite.*name=s-2"):
        made(words_of_a_sweep(tmp_path, "storage=sqlite"))
    assert not (tmp_path / "runs" / "s" / "study.db").exists()
