"""Where studies are kept: every storage, its lock, its outages and mistakes; 64 workers at once."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
import sweep_fakes
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sweep_processes import Processes, made, sweep, wait_until, words_of_a_sweep

from gansweep.errors import UserError
from gansweep.record import RunRecord
from gansweep.sweep import patience, reporting
from gansweep.sweep.locks import Lease, is_alive
from gansweep.sweep.patience import Patience, PatientStorage, StorageOutageError, View
from gansweep.sweep.reporting import Reporter
from gansweep.sweep.storage import JournalFile, canonical, keep_name, open_storage
from gansweep.sweep.study import SweepStudy

if TYPE_CHECKING:
    from postgres import Postgres

HOLD = (
    "import sys, time; from pathlib import Path; from gansweep.sweep.storage import open_storage\n"
    "with open_storage(Path(sys.argv[1]), sys.argv[2]).lock: print('held', flush=True); "
    "time.sleep(60)"
)
STORAGES = ("journal", "sqlite", "sqlite file", "postgresql", "grpc")
SCRIPTS = Path(__file__).parents[1] / "scripts"

Where = Callable[[str], str]


@pytest.fixture(autouse=True, scope="module")
def fakes_are_importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        yield


@pytest.fixture
def where(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Where]:
    """The value of storage= for each word of STORAGES; servers are started where it needs one."""
    servers: list[subprocess.Popen[str]] = []

    def value(kind: str) -> str:
        if kind == "postgresql":
            name = re.sub(r"\W", "_", f"{request.node.name}_{tmp_path.name}")[-60:]
            return str(request.getfixturevalue("postgres").database(name))
        if kind == "grpc":
            pytest.importorskip("grpc")
            port = free_port()
            servers.append(serve(str(tmp_path / "proxy.journal"), port))
            return f"grpc://127.0.0.1:{port}"
        return f"sqlite:///{tmp_path / 'studies.db'}" if kind == "sqlite file" else kind

    yield value
    for server in servers:
        server.kill()
        server.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(storage: str, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gansweep.sweep.serve", storage]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    assert f"storage=grpc://127.0.0.1:{port}" in server.stdout.readline()
    return server


def words(folder: Path, storage: str, *more: str) -> list[str]:
    given = [*words_of_a_sweep(folder), f"storage={storage}", "sweep.confirm.top=0"]
    return [*given, *more]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORAGES)
def test_a_sweep_runs_on_every_storage(tmp_path: Path, where: Where, kind: str) -> None:
    storage = where(kind)
    directory = sweep(words(tmp_path, storage))
    study = SweepStudy(directory)
    assert study.settings.storage == storage
    assert study.trials.study_name == ("trials" if kind in ("journal", "sqlite") else "s/trials")
    assert [t.user_attrs["key"] for t in study.trials.trials] == [f"t{i:04d}" for i in range(4)]
    for trial in study.trials.trials:
        key = trial.user_attrs["key"]
        assert lines(directory / key / "ends") == ["finished"]
        result = RunRecord(directory / key).result()
        assert result is not None and trial.value == result["last"]["fid_fake"]["value"]
        assert len(trial.intermediate_values) == sweep_fakes.STEPS
    assert not list((directory / "leases").iterdir())


@pytest.mark.parametrize("kind", ["journal", "sqlite", "postgresql"])
def test_lock_goes_with_its_killed_holder(tmp_path: Path, where: Where, kind: str) -> None:
    storage = where(kind)
    ours = open_storage(tmp_path / "s", storage)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "s"), storage]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        waited = threading.Event()
        threading.Timer(0.3, lambda: (waited.set(), holder.kill())).start()
        with ours.lock:
            assert waited.is_set(), "the lock was not exclusive"


def test_torn_tail_of_a_journal_is_not_read_and_is_cut_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    storage = open_storage(tmp_path, "journal").optuna
    study = optuna.create_study(storage=storage, study_name="a")
    study.ask()
    whole = path.read_bytes()
    with open(path, "ab") as file:
        file.write(b'{"op_code": 4, "text": "' + b"x" * 100_000)
    again = optuna.load_study(storage=open_storage(tmp_path, "journal").optuna, study_name="a")
    assert len(again.trials) == 1
    again.ask()
    assert path.read_bytes().startswith(whole) and b"xx" not in path.read_bytes()
    assert len(study.trials) == 2


def test_journal_is_read_again_from_its_start_by_whoever_asks(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j")
    file.append_logs([{"n": i} for i in range(3)])
    assert [log["n"] for log in file.read_logs(0)] == [0, 1, 2]
    file.append_logs([{"n": 3}])
    assert [log["n"] for log in file.read_logs(3)] == [3]
    assert [log["n"] for log in file.read_logs(1)] == [1, 2, 3]


def test_two_threads_meet_at_a_journal_in_a_section_of_one(tmp_path: Path) -> None:
    storage = open_storage(tmp_path, "journal")
    study = optuna.create_study(storage=storage.optuna, study_name="a")
    trial = study.ask()
    ends = threading.Event()

    def report() -> None:
        step = 0
        while not ends.is_set():
            trial.report(1.0, step := step + 1)

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    for _ in range(50):
        storage.exclusively(lambda: study.enqueue_trial({"x": 1}))
    ends.set()
    reporter.join(20)
    assert not reporter.is_alive() and len(study.trials) == 51


def test_section_begins_again_where_its_lock_was_lost(
    tmp_path: Path, where: Where, postgres: Postgres
) -> None:
    storage = open_storage(tmp_path / "s", where("postgresql"))
    study = optuna.create_study(storage=storage.optuna, study_name="s/trials")
    tries = []

    def section() -> int:
        tries.append(len(study.trials))
        if len(tries) == 1:
            study.enqueue_trial({}, user_attrs={"key": "t0000"})
            postgres.stop()
            postgres.start()
        study.set_user_attr("tries", len(tries))
        return len(study.get_trials())

    assert storage.exclusively(section) == 1
    assert study.user_attrs["tries"] == 2
    assert tries == [0, 1], "what was done before the outage is seen, and not done twice"
    assert storage.exclusively(lambda: len(study.trials)) == 1


@pytest.mark.slow
def test_training_goes_on_while_the_storage_is_away(
    tmp_path: Path, where: Where, postgres: Postgres
) -> None:
    directory = tmp_path / "runs" / "s"
    given = words(tmp_path, where("postgresql"), "pace=0.5", "n_trials=2", "workers=1")
    processes = Processes()
    process = processes.sweep(given)
    try:
        wait_until(lambda: lines(directory / "t0000" / "history.jsonl"))
        postgres.stop()
        try:
            wait_until(lambda: lines(directory / "t0000" / "ends"))
        finally:
            postgres.start()
        _, error = process.communicate(timeout=60)
    finally:
        processes.end()
    assert process.returncode == 0, error
    study = SweepStudy(directory)
    assert [t.state for t in study.trials.trials] == 2 * [TrialState.COMPLETE]
    assert all(len(t.intermediate_values) == sweep_fakes.STEPS for t in study.trials.trials)
    for said in (error, (directory / "workers" / "w0.log").read_text()):
        assert said.count("cannot be reached") == said.count("is back") == 1, said
        assert "Traceback" not in said


class Away(InMemoryStorage):
    """A storage that fails with `error` as often as `times` says."""

    error: Exception = OSError(errno.ESTALE, "Stale file handle")
    times = 0

    def get_all_studies(self) -> Any:
        if self.times:
            self.times -= 1
            raise self.error
        return super().get_all_studies()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSES", (0.001, 0.002))
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(patience, "TOLD_AFTER_SECONDS", 0.0)


def test_calls_wait_for_the_end_of_an_outage_and_tell_of_it_once(
    quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Away()
    storage = PatientStorage(away, Patience("postgresql://there/db"))
    for _ in range(2):
        away.times = 7
        assert storage.get_all_studies() == []
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 2
        assert "there/db cannot be reached ([Errno 116] Stale file handle)" in told[0]
        assert told[1] == "The sweep's storage postgresql://there/db is back."


def test_what_is_no_outage_passes_through(quick: None) -> None:
    away = Away()
    away.error, away.times = KeyError("no such study"), 1
    with pytest.raises(KeyError):
        PatientStorage(away, Patience("there")).get_all_studies()


def test_who_does_not_wait_is_told_after_some_tries(quick: None) -> None:
    away, patience_of_a_reader = Away(), Patience("there")
    away.times, patience_of_a_reader.ends = 10**6, lambda: True
    with pytest.raises(StorageOutageError, match="cannot be reached .* it runs again"):
        PatientStorage(away, patience_of_a_reader).get_all_studies()
    assert 10**6 - away.times == patience.LEAST_TRIES


def test_within_a_section_no_call_waits(quick: None) -> None:
    away, bearing = Away(), Patience("there")
    away.times = 1
    with bearing.in_section(), pytest.raises(OSError, match="Stale"):
        PatientStorage(away, bearing).get_all_studies()


def test_view_of_a_section_agrees_with_the_storage() -> None:
    storage, draw = InMemoryStorage(), random.Random(0)
    studies = [storage.create_new_study([StudyDirection.MINIMIZE], name) for name in "ab"]
    view, ids = View(), []
    for number in range(200):
        name, args = draw.choice(
            [
                (
                    "create_new_trial",
                    (draw.choice(studies), create_trial(state=TrialState.RUNNING)),
                ),
                ("set_trial_user_attr", (draw.choice(ids or [0]), "n", number)),
                ("set_trial_intermediate_value", (draw.choice(ids or [0]), number, 1.0)),
            ]
        )
        if ids or name == "create_new_trial":
            answer = getattr(storage, name)(*args)
            ids += [answer] if name == "create_new_trial" else []
            view.note(name, args, answer)
        if number % 3 == 0:
            study = draw.choice(studies)
            assert view.trials(storage, study) == storage.get_all_trials(study)


def test_reporter_answers_by_the_pruner_while_the_storage_answers() -> None:
    seen: list[float] = []
    reporter = Reporter(lambda kimg, value: bool(seen.append(kimg)) or value > 2)
    assert [reporter.ask(k, k) for k in (1.0, 2.0, 3.0)] == [False, False, True]
    assert seen == [1.0, 2.0, 3.0]
    assert reporter.join() is True


def test_reporter_lets_the_child_go_on_and_gives_the_verdict_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "ANSWER_SECONDS", 0.05)
    back, seen = threading.Event(), []

    def report(kimg: float, value: float) -> bool:
        back.wait()
        seen.append(kimg)
        return kimg == 1.0

    reporter = Reporter(report)
    began = time.monotonic()
    assert [reporter.ask(1.0 + k, 0.0) for k in range(200)] == 200 * [False]
    assert time.monotonic() - began < 200 * 0.05, "only the first score was waited for"
    back.set()
    wait_until(lambda: len(seen) == 200)
    assert reporter.ask(201.0, 0.0) is True, "the first score's verdict"
    reporter.join()
    assert seen == [1.0 + k for k in range(201)], "in their order"


def test_reporter_passes_on_that_the_trial_was_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "ANSWER_SECONDS", 0.05)
    back = threading.Event()

    def report(kimg: float, value: float) -> bool:
        back.wait()
        raise UpdateFinishedTrialError

    reporter = Reporter(report)
    assert reporter.ask(1.0, 0.0) is False
    back.set()
    with pytest.raises(UpdateFinishedTrialError):
        reporter.join()
    with pytest.raises(UpdateFinishedTrialError):
        reporter.ask(2.0, 0.0)


def test_reporter_that_was_asked_nothing_has_no_thread_to_join() -> None:
    before = threading.active_count()
    assert Reporter(lambda kimg, value: True).join() is False
    assert threading.active_count() == before


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
    given = words(tmp_path, "postgresql://me:secret@host/db")
    with pytest.raises(UserError, match="PGPASSWORD"):
        sweep(given)
    assert not (tmp_path / "runs").exists()


def test_servers_that_refuse_say_what_to_mend(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, port = postgres.database("refusals"), free_port()
    monkeypatch.setattr("gansweep.sweep.storage.SERVER_SECONDS", 0.5)
    refusals = {
        f"postgresql://127.0.0.1:{port}/db": "cannot be reached .*refused.*Start the server",
        f"{url}x": "refuses us .*refusalsx.*createdb",
        url.replace("gansweep@", "stranger@"): "refuses us .*stranger.*createuser",
        f"grpc://127.0.0.1:{port}": f"No server answers.*sweep.serve .*--port {port}",
    }
    for storage, message in refusals.items():
        with pytest.raises(UserError, match=message):
            open_storage(tmp_path / "s", storage)


def test_user_who_may_make_no_tables_is_told_to_own_the_database(
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
    given = words(tmp_path, "journal")
    made(given)
    with pytest.raises(UserError, match="storage=journal, not in sqlite.*name=s-2"):
        made([*given, "storage=sqlite"])
    assert not (tmp_path / "runs" / "s" / "study.db").exists()


def test_proxy_ends_when_asked_and_refuses_a_taken_port(tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    port = free_port()
    server = serve(str(tmp_path / "j"), port)
    try:
        command = [sys.executable, "-m", "gansweep.sweep.serve", str(tmp_path / "k")]
        second = subprocess.run(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 2 and "Use another --port" in second.stderr
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "postgresql"])
def test_64_workers_meet_no_error(
    tmp_path: Path, where: Where, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import engine

    storage = where(kind)
    engine.measure(tmp_path, storage, workers=64, n_trials=64, pace=0.0, sampler="random")
    (directory,) = tmp_path.glob("64-*")
    trials = SweepStudy(directory).trials.trials
    assert [t.user_attrs["key"] for t in trials] == [f"t{i:04d}" for i in range(128)]
    assert all(t.state == TrialState.COMPLETE for t in trials)
    assert all(len(t.intermediate_values) == engine.REPORTS for t in trials)
