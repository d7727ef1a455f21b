"""A PostgreSQL server of the tests' own, on 127.0.0.1; Debian's package `postgresql` suffices."""

from __future__ import annotations

import ctypes
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

USER = "gansweep"
PR_SET_PDEATHSIG = 1
# a test's database need not outlive a power cut
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


class NoPostgresError(RuntimeError):
    """There is no PostgreSQL that this user could run."""


class Postgres:
    """A server with its files in a temporary directory.

    It ends with the thread that started it at the latest, so that nothing is left of a killed test.
    durable: as it would be set up for use, for timing it.
    """

    def __init__(self, durable: bool = False) -> None:
        self._programs = _programs()
        self._account = _account()
        self._options = () if durable else QUICK
        self.folder = Path(tempfile.mkdtemp(prefix="gansweep-pg-"))
        os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self.port = _free_port()
        self._server: subprocess.Popen[bytes] | None = None
        try:
            words = ["--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8"]
            self._run("initdb", "-D", str(self.folder / "data"), "--locale=C", *words)
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start the server and wait until it answers."""
        words = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-p", str(self.port)]
        for option in ("listen_addresses=127.0.0.1", *self._options):
            words += ["-c", option]
        with open(self.folder / "log.txt", "ab") as log:
            self._server = subprocess.Popen(
                [str(self._programs / "postgres"), *words],
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=_die_with_parent,
                **self._as_account(),
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                return psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise NoPostgresError((self.folder / "log.txt").read_text()) from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server; whoever is connected is cut off."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # "fast shutdown"
            self._server.wait(30)
            self._server = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, name: str) -> str:
        """The URL of a new database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *words],
            capture_output=True,
            text=True,
            cwd="/",
            **self._as_account(),
        )
        if done.returncode:
            raise NoPostgresError(f"{program}: {done.stderr}")

    def _as_account(self) -> dict[str, object]:
        """initdb and postgres refuse root."""
        if os.geteuid():
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}


def _programs() -> Path:
    """Where initdb and postgres are: Debian keeps them off the PATH, by version."""
    on_path = shutil.which("initdb")
    found = [Path(on_path)] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        raise NoPostgresError("no PostgreSQL server (Debian: apt install postgresql)")
    return found[-1].resolve().parent


def _account() -> pwd.struct_passwd:
    if os.geteuid():
        return pwd.getpwnam(getpass.getuser())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        raise NoPostgresError("no user 'postgres' to run the server, which refuses root") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
