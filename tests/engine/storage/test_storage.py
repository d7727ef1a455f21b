"""Where studies are kept: every storage, its lock and its tail; 64 workers at once."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sweep_fakes
from optuna.trial import TrialState
from places import TOP
from processes import PATIENCE_SECONDS, Processes, said_by
from sweep_processes import (
    UNCONFIRMED,
    lines,
    serve,
    sweep,
    words_of_a_sweep,
)

from gansweep.engine.storage.storage import JournalFile, open_storage
from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord

pytestmark = pytest.mark.usefixtures("importable_fakes")
HOLD = (
    "import sys, time; from pathlib import Path\n"
    "from gansweep.engine.storage.storage import open_storage\n"
    "with open_storage(Path(sys.argv[1]), sys.argv[2]).lock: print('held', flush=True); "
    "time.sleep(600)"
)
STORAGES = ("journal", "sqlite", "sqlite file", "postgresql", "grpc")
SCRIPTS = TOP / "scripts" / "benchmarks"

Where = Callable[[str], str]


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORAGES)
def test_a_sweep_runs_on_every_storage(tmp_path: Path, where: Where, kind: str) -> None:
    storage = where(kind)
    directory = sweep(words_of_a_sweep(tmp_path, f"storage={storage}", UNCONFIRMED))
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
def test_lock_goes_with_its_killed_holder(
    tmp_path: Path, where: Where, kind: str, processes: Processes
) -> None:
    storage = where(kind)
    ours = open_storage(tmp_path / "s", storage)
    holder = processes("-c", HOLD, str(tmp_path / "s"), storage)
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
    assert all(json.loads(line) for line in path.read_bytes().splitlines())
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
    reporter.join(PATIENCE_SECONDS)
    assert not reporter.is_alive() and len(study.trials) == 51


def test_proxy_ends_when_asked_and_refuses_a_taken_port(
    tmp_path: Path, processes: Processes
) -> None:
    pytest.importorskip("grpc")
    server, port = serve(processes, str(tmp_path / "j"))
    other = ["-m", "gansweep.engine.storage.serve", str(tmp_path / "k"), "--host", "127.0.0.1"]
    second = processes(*other, "--port", str(port))
    _, error = said_by(second)
    assert second.returncode == 2 and "Use another --port" in error
    server.send_signal(signal.SIGTERM)
    assert server.wait(PATIENCE_SECONDS) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "workers"), [("journal", 64), ("postgresql", 24)])
def test_many_workers_meet_no_error(
    tmp_path: Path, where: Where, kind: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import engine

    storage = where(kind)
    engine.measure(tmp_path, storage, workers=workers, n_trials=16, pace=0.0, sampler="random")
    (directory,) = tmp_path.glob(f"{workers}-*")
    trials = SweepStudy(directory).trials.trials
    assert [t.user_attrs["key"] for t in trials] == [f"t{i:04d}" for i in range(workers + 16)]
    assert all(t.state == TrialState.COMPLETE for t in trials)
    assert all(len(t.intermediate_values) == engine.REPORTS for t in trials)
