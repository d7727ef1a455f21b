"""Worker files, `gansweep status` and `gansweep cancel`, with real workers on a trial without
torch."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sweep_fakes
from processes import PATIENCE_SECONDS, Processes, wait_until
from sweep_processes import (
    FORKED,
    FORKED_WORKER,
    UNCONFIRMED,
    held,
    lines,
    made,
    pid_of,
    steps_at_start,
    sweep,
    swept,
    wait_until_held,
    words_of_a_sweep,
)

from gansweep.cli.cancel import cancel
from gansweep.cli.status import text_of
from gansweep.engine.lease import workers as worker_files
from gansweep.engine.lease.locks import Lease, is_alive
from gansweep.engine.lease.workers import CANCELLED, WorkerFile, launching, workers_of
from gansweep.engine.status import Status, status_of
from gansweep.engine.worker import EXIT_CANCELLED
from gansweep.errors import UserError
from gansweep.search.settings import Settings

pytestmark = pytest.mark.usefixtures("importable_fakes")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return words_of_a_sweep(tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "s"


@pytest.mark.slow
def test_cancelled_sweep_says_so_and_is_continued_by_the_same_command(
    tmp_path: Path,
    words: list[str],
    directory: Path,
    processes: Processes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    held(tmp_path, "t0000", "t0001")
    process = processes.forked(*FORKED, *words)
    wait_until_held(directory, "t0000", "t0001")

    status = status_of(directory)
    assert status.state == "running"
    assert status.trials == {"running": 2, "to come": 2}
    assert [w["name"] for w in status.workers] == ["w0", "w1"]
    assert {w["doing"] for w in status.workers} == {"t0000", "t0001"}
    assert f"gansweep cancel {directory}" in status.next
    assert text_of(status).endswith(f"gansweep cancel {directory}")

    assert cancel(directory) == 0
    said = capsys.readouterr().out
    assert "2 workers (w0, w1) of this machine to save and stop" in said
    assert said.endswith(f"To continue the sweep:\n  {Settings.load(directory).command}\n")
    assert process.wait(PATIENCE_SECONDS) == EXIT_CANCELLED
    assert "Cancelled. The same command continues the sweep" in process.stdout.read()
    status = status_of(directory)
    assert (status.state, status.workers) == ("cancelled", [])
    assert status.trials == {"interrupted": 2, "to come": 2}

    assert cancel(directory) == 0, "twice is once"
    assert f"No worker is at work on {directory}" in capsys.readouterr().out

    sweep(words)
    for key in ("t0000", "t0001"):
        assert steps_at_start(directory, key) == [0, sweep_fakes.HELD_AT]
        assert lines(directory / key / "ends") == ["finished"]
    status = status_of(directory)
    assert status.state == "finished"
    assert status.trials == {"done": 4} and status.confirmations == {"done": 1}
    assert status.best is not None and status.best["trial"] in text_of(status)
    assert list(status.next) == [f"gansweep report {directory}"]


@pytest.mark.slow
def test_worker_that_no_signal_reaches_hears_of_the_end(
    words: list[str], processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = made([*words, "pace=600"])
    worker = processes.forked(*FORKED_WORKER, str(directory), "--name", "far")
    pid_of(directory, "t0000")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_files, "kernel_id", lambda: "of another machine")
        assert cancel(directory) == 0
    assert "1 worker (far) elsewhere" in capsys.readouterr().out
    assert worker.wait(PATIENCE_SECONDS) == EXIT_CANCELLED
    late = processes.forked(*FORKED_WORKER, str(directory))
    assert late.wait(PATIENCE_SECONDS) == EXIT_CANCELLED, "nor does a worker that comes later begin"
    command = Settings.load(directory).command
    said = f"{directory}: the sweep was cancelled. To continue it:\n  {command}\n"
    assert late.stdout.read() == said
    assert status_of(directory).trials == {"interrupted": 1, "to come": 3}


@pytest.mark.slow
def test_second_sweep_of_one_name_starts_no_workers(
    words: list[str], directory: Path, processes: Processes
) -> None:
    first = processes.forked(*FORKED, *words, "pace=600")
    wait_until(lambda: len(workers_of(directory)) == 2)
    before = (directory / "sweep.yaml").read_bytes()
    with pytest.raises(UserError) as refused:
        sweep([*words, "pace=600", "n_trials=9"])
    for said in ("2 workers", "gansweep status", "gansweep worker", "gansweep cancel", "name="):
        assert said in str(refused.value)
    assert (directory / "sweep.yaml").read_bytes() == before
    first.kill()
    wait_until(lambda: worker_files.launcher_of(directory) is None)


def test_only_one_launcher_looks_after_a_sweep(tmp_path: Path) -> None:
    refused = pytest.raises(UserError, match="at work already")
    with launching(tmp_path), refused, launching(tmp_path):
        pass
    with launching(tmp_path):
        assert worker_files.launcher_of(tmp_path) is not None


def test_workers_started_by_hand_are_reported(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = made(words)
    worker = WorkerFile(directory, "mine")
    capsys.readouterr()
    made(words)
    assert "1 worker is at work on it since" in capsys.readouterr().out
    worker.note(worker_files.STOPPING)
    made(words)
    assert "at work on it" not in capsys.readouterr().out
    worker.leave()


def test_two_workers_of_one_name_get_different_names(tmp_path: Path) -> None:
    first, second = WorkerFile(tmp_path, "w0"), WorkerFile(tmp_path, "w0")
    assert (first.name, second.name) == ("w0", "w0-2")
    second.note("t0003")
    assert [(w.worker, w.doing, w.pid) for w in workers_of(tmp_path)] == [
        ("w0", "idle", os.getpid()),
        ("w0-2", "t0003", os.getpid()),
    ]
    first.leave()
    third = WorkerFile(tmp_path, "w0")
    assert third.name == "w0"
    second.leave()
    third.leave()
    assert not list((tmp_path / "workers").iterdir())


def test_worker_says_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"JOB_ID": "20", "ARRAY_JOB_ID": "17", "ARRAY_TASK_ID": "3"}.items():
        monkeypatch.setenv(f"SLURM_{key}", value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    worker = WorkerFile(tmp_path, "w")
    (found,) = workers_of(tmp_path)
    assert (found.job, found.gpus, found.host) == ("17_3", "1,2", os.uname().nodename)
    worker.leave()


def test_file_of_a_killed_worker_counts_for_nobody_and_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from gansweep.engine.lease.workers import WorkerFile\n"
        f"WorkerFile(Path({str(tmp_path)!r}), 'w0'); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", code])
    path = tmp_path / "workers" / "w0.alive"
    assert died.returncode == -signal.SIGKILL and path.exists()
    assert workers_of(tmp_path) == []
    WorkerFile(tmp_path, "w1").leave()
    assert not path.exists()


def test_process_that_has_taken_over_a_number_is_not_signalled(
    words: list[str], processes: Processes
) -> None:
    directory = made(words)
    innocent = processes("-c", "import time; time.sleep(600)")
    lease = Lease(directory / "workers" / "w0.alive", "w0", host="h", job=None, started=0.0)
    lease.note(doing="idle", since=0.0, gpus=None)
    text = lease.path.read_text()
    lease.path.write_text(text.replace(f'"pid": {os.getpid()}', f'"pid": {innocent.pid}'))
    assert is_alive(lease.path), "it is locked: by us"
    (worker,) = workers_of(directory)
    assert worker.pid == innocent.pid and not worker.is_process_of_this_host()
    assert cancel(directory, wait_seconds=0.1) == 1
    assert innocent.poll() is None
    lease.release()


def test_trial_of_a_killed_worker_shows_as_interrupted(
    words: list[str], processes: Processes
) -> None:
    directory = made([*words, "pace=600"])
    worker = processes.forked(*FORKED_WORKER, str(directory))
    pid_of(directory, "t0000")
    worker.kill()
    wait_until(lambda: status_of(directory).trials == {"interrupted": 1, "to come": 3})
    status = status_of(directory)
    assert (status.state, status.workers) == ("idle", [])
    assert shlex.join(["gansweep", "sweep", *words, "pace=600"]) in status.next


def test_status_without_the_storage_goes_by_the_records(words: list[str]) -> None:
    directory = swept([*words, UNCONFIRMED])
    with_storage = status_of(directory)
    settings = Settings.load(directory)
    settings.storage = "postgresql://nobody@127.0.0.1:1/none"
    settings.n_trials = 6
    settings.save(directory)
    status = status_of(directory)
    assert "cannot be reached" in status.storage_error
    assert status.trials == {"done": 4, "to come": 2}
    assert status.best is not None and with_storage.best is not None
    assert status.best["trial"] == with_storage.best["trial"]
    assert status.best["value"] == with_storage.best["value"]
    assert "its storage does not answer: storage=postgresql" in text_of(status)


def test_status_of_a_sweep_that_a_bug_stopped_tells_of_the_bug(
    words: list[str], directory: Path
) -> None:
    with pytest.raises(UserError, match="out of ideas"):
        sweep([*words, "does=raise"])
    status = status_of(directory)
    assert status.state == "stopped" and status.failures["bug"] >= 3
    text = text_of(status)
    assert "out of ideas" in text and "by a bug" in text and "give the same command again" in text


def test_status_of_many_workers_and_jobs_fits_eighty_columns() -> None:
    worker = {
        "name": "a-node-with-a-long-name.cluster.example.org-123456",
        "host": "a-node-with-a-long-name.cluster.example.org",
        "pid": 1,
        "job": "17_3",
        "gpus": "0,1,2,3",
        "doing": "c-t0012-s101",
        "seconds": 4000.0,
    }
    job = {"id": "17_3", "state": "PENDING", "reason": "Resources", "node": "", "time_left": ""}
    running = {**job, "state": "RUNNING", "reason": "", "node": "n1", "time_left": "1:00:00"}
    status = Status(
        sweep="s",
        directory="runs/s",
        objective="minimize fid",
        state="stopped",
        stopped="the sweep was stopped\n    ValueError: " + 90 * "x",
        trials={"done": 3, "failed": 2},
        failures={"out_of_memory": 2},
        best={"trial": "t0001", "value": 1.0, "parameters": "lr=0.1 " * 20},
        workers=[worker] * 40,
        jobs=[running, job, job],
        next={"gansweep sweep ...": "the command that began it continues it"},
    )
    text = text_of(status)
    assert all(len(line) <= 80 for line in text.splitlines())
    for said in ("and 24 more", "2 out of memory", "17_3 on n1, 1:00:00 left"):
        assert said in text
    assert "SLURM   1 running, 2 pending (Resources)" in text


def test_commands_teach_and_refuse(
    command: Callable[..., Any], tmp_path: Path, words: list[str]
) -> None:
    for verb in ("status", "cancel"):
        done = command(verb, "--help")
        assert done.code == 0 and f"gansweep {verb} runs/demo-digits" in done.out
        assert all(len(line) <= 100 for line in done.out.splitlines())
        assert command(verb).code == 2
        command(verb, str(tmp_path)).is_refused_with("holds no sweep")
    directory = made(words)
    done = command("status", str(directory), "--json")
    assert json.loads(done.out)["trials"] == {"to come": 4}
    assert "4 to come" in command("status", str(directory)).out
    command("status", str(directory), "--json", "--leaderboard").is_refused_with("leaderboard.json")
    assert not (directory / CANCELLED).exists()


def test_cancel_on_a_full_disk_stops_the_workers_here_and_names_the_fix(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "cancelled")

    directory, signalled = made(words), []
    lease = WorkerFile(directory, "w0")
    monkeypatch.setattr("gansweep.cli.cancel.replace_atomically", full)
    monkeypatch.setattr(os, "kill", lambda *call: signalled.append(call))
    with pytest.raises(UserError, match="No space left.*Free some space, then cancel it again"):
        cancel(directory)
    assert (os.getpid(), signal.SIGTERM) in signalled
    lease.leave()


def test_the_command_that_continues_a_sweep_holds_in_any_folder_and_after_a_move(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(words)
    settings = Settings.load(directory)
    assert settings.to_continue(directory) == settings.command
    monkeypatch.chdir(tmp_path)
    folder = settings.folder
    assert settings.to_continue(directory) == f"cd {folder} && {settings.command}"
    moved = directory.rename(tmp_path / "moved")
    again = shlex.split(settings.to_continue(moved))
    assert again[-2:] == [f"runs_dir={tmp_path}", "name=moved"]


def test_status_of_a_table_names_no_option_that_is_refused_beside_show(words: list[str]) -> None:
    directory = made(words)
    settings = Settings.load(directory)
    settings.points = [{"key": "t0000", "params": {}, "overrides": [], "note": {}}]
    began = "gansweep reproduce pacgan_2d"
    settings.command = f"{began} --only 'GAN, R1' --seeds 2 --minutes=30 runs_dir=r"
    settings.save(directory)
    worker = WorkerFile(directory, "w0")
    commands = status_of(directory).next
    worker.leave()
    assert any(c.endswith(f"{began} runs_dir=r --show") for c in commands), commands
