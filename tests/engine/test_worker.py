"""Workers, their children and the launcher as real processes, on a trial without torch."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sweep_fakes
from processes import Processes, running, said_by, wait_until
from rich.console import Console
from sweep_processes import (
    FORKED,
    FORKED_WORKER,
    UNCONFIRMED,
    ends,
    held,
    lines,
    made,
    one_worker_here,
    pid_of,
    steps_at_start,
    sweep,
    swept,
    wait_until_held,
    words_of_a_sweep,
)

from gansweep.cli.cancel import cancel
from gansweep.cli.sweep_table import EventLines, LiveTable
from gansweep.engine.attempt import Attempt
from gansweep.engine.launch import local
from gansweep.engine.lease.locks import Lease
from gansweep.engine.lease.workers import CANCELLED, STOPPING, workers_of
from gansweep.engine.study import SweepStudy
from gansweep.engine.watch import Watch
from gansweep.engine.worker import EXIT_FINISHED, EXIT_STOPPED, Worker
from gansweep.records.record import RunRecord
from gansweep.search.trials import trials_of

pytestmark = pytest.mark.usefixtures("importable_fakes")
AT_ONCE_SECONDS = 15.0  # far less than a trial of these tests computes or sleeps
OF_SIX = ("n_trials=6", "sweep.confirm.seeds=2")


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return words_of_a_sweep(tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "s"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The directory of a sweep that ran to its end, and what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        directory = sweep(words_of_a_sweep(tmp_path_factory.mktemp("finished"), *OF_SIX))
    return directory, out.getvalue()


def test_sweep_runs_every_trial_once_and_confirms_the_winner(
    finished: tuple[Path, str],
) -> None:
    directory, out = finished
    study = SweepStudy(directory)
    assert [t.user_attrs["key"] for t in study.trials.trials] == [f"t{i:04d}" for i in range(6)]
    assert all(lines(directory / f"t{i:04d}" / "ends") == ["finished"] for i in range(6))
    board = json.loads((directory / "leaderboard.json").read_text())
    (row,) = board["rows"]
    best = min(study.trials.trials, key=lambda t: t.value or 0.0)
    assert row["trial"] == best.user_attrs["key"]
    assert row["runs"] == [f"c-{row['trial']}-s101", f"c-{row['trial']}-s102"]
    result = RunRecord(directory / row["runs"][0]).result()
    assert result is not None
    assert result["sweep"]["role"] == "confirm"
    assert result["sweep"]["params"] == row["params"]
    assert not list((directory / "leases").iterdir())
    assert max(map(len, out.splitlines()[1:])) <= 80
    assert len(re.findall(r"t\d{4} finished .*fid_fake", out)) == 6


def test_killed_child_and_killed_worker_cost_no_trial(
    processes: Processes, words: list[str], directory: Path, tmp_path: Path
) -> None:
    held(tmp_path, "t0000", "t0003")
    process = processes.forked(*FORKED, *words)
    wait_until_held(directory, "t0000")
    os.kill(pid_of(directory, "t0000"), signal.SIGKILL)
    wait_until_held(directory, "t0003")
    os.kill(worker_on(directory, "t0003"), signal.SIGKILL)
    said = said_by(process)
    assert process.returncode == 0, said
    study = SweepStudy(directory)
    assert sorted(t.user_attrs["key"] for t in trials_of(study.trials)) == [
        f"t{i:04d}" for i in range(4)
    ]
    assert ends(directory) == [["finished"]] * 4, "none twice"
    assert len(study.trials.trials) == 4 + 2, "one more attempt for each kill"
    for key in ("t0000", "t0003"):
        assert steps_at_start(directory, key) == [0, sweep_fakes.HELD_AT], "from the checkpoint"
    assert len(json.loads((directory / "leaderboard.json").read_text())["rows"]) == 1


def worker_on(directory: Path, run: str) -> int:
    """The process of the worker that is at a run."""
    found = wait_until(lambda: [w.pid for w in workers_of(directory) if w.doing == run])
    return int(found[0])


def test_no_child_outlives_its_killed_worker(
    processes: Processes, words: list[str], directory: Path
) -> None:
    process = processes.forked(*FORKED, *words, "pace=600")
    pids = [pid_of(directory, key) for key in ("t0000", "t0001")]
    pids += [worker_on(directory, key) for key in ("t0000", "t0001")]
    process.kill()
    wait_until(lambda: not any(map(running, pids)))


@pytest.mark.parametrize("does", ["wait", "hold"])
def test_trial_of_a_worker_killed_alone_ends_at_once(
    processes: Processes, words: list[str], directory: Path, does: str
) -> None:
    processes.forked(*FORKED, *words, "pace=600", f"does={does}", "workers=1")
    child = pid_of(directory, "t0000")
    os.kill(worker_on(directory, "t0000"), signal.SIGKILL)
    wait_until(lambda: not running(child), AT_ONCE_SECONDS)


def test_second_interrupt_leaves_no_trial_in_the_background(
    processes: Processes, words: list[str], directory: Path
) -> None:
    process = processes.forked(*FORKED, *words, "does=hold", "workers=1")
    child = pid_of(directory, "t0000")
    process.send_signal(signal.SIGINT)
    worker_on(directory, STOPPING)
    assert running(child), "the first asks it to save, which it cannot hear"
    process.send_signal(signal.SIGINT)
    said_by(process)
    wait_until(lambda: not running(child), AT_ONCE_SECONDS)


def test_worker_whose_terminal_is_closed_saves_its_trial(
    processes: Processes, words: list[str], directory: Path, tmp_path: Path
) -> None:
    """A terminal tells all of its processes: the worker, and the server of its child."""
    made(words)
    held(tmp_path, "t0000")
    worker = processes.forked(*FORKED_WORKER, str(directory), start_new_session=True)
    wait_until_held(directory, "t0000")
    os.killpg(worker.pid, signal.SIGHUP)
    said_by(worker)
    assert worker.returncode == EXIT_STOPPED
    result = RunRecord(directory / "t0000").result()
    assert result is not None and result["status"] == "interrupted"
    assert lines(directory / "t0000" / "starts") == [f"{pid_of(directory, 't0000')} 0"]


def test_interrupted_sweep_is_continued_by_the_same_command(
    processes: Processes, words: list[str], directory: Path, tmp_path: Path
) -> None:
    held(tmp_path, "t0000", "t0001")
    process = processes.forked(*FORKED, *words)
    wait_until_held(directory, "t0000", "t0001")
    process.send_signal(signal.SIGINT)
    out, error = said_by(process)
    assert process.returncode != 0
    assert "The same command continues the sweep" in out, error
    for key in ("t0000", "t0001"):
        assert (RunRecord(directory / key).result() or {})["status"] == "interrupted"
    assert not list((directory / "leases").iterdir())
    sweep([*words, "n_trials=3", UNCONFIRMED])
    assert steps_at_start(directory, "t0001") == [0, sweep_fakes.HELD_AT]
    assert ends(directory) == [["finished"]] * 3 + [[]]


def test_trial_of_several_seeds_is_worth_their_mean(words: list[str]) -> None:
    seeds = ["sweep.seeds=3", "n_trials=2", "sweep.confirm.seeds=1"]
    directory = swept([*words, *seeds])
    study = SweepStudy(directory)
    for trial in study.trials.trials:
        key = trial.user_attrs["key"]
        runs = [RunRecord(directory / f"{key}-s{i}") for i in range(3)]
        assert [lines(run.directory / "ends") for run in runs] == [["finished"]] * 3
        results = [run.result() or {} for run in runs]
        values = [result["last"]["fid_fake"]["value"] for result in results]
        assert len(set(values)) == 3
        assert trial.values == [pytest.approx(sum(values) / 3)]
        assert [result["sweep"]["seed"] for result in results] == [0, 1, 2]
    (row,) = json.loads((directory / "leaderboard.json").read_text())["rows"]
    assert row["runs"] == [f"c-{row['trial']}-s101"]


def test_seeds_of_a_lagging_trial_are_not_all_run(words: list[str]) -> None:
    seeds = ["sweep.seeds=6", "sweep.pruner.name=wilcoxon", UNCONFIRMED, "workers=1"]
    directory = swept([*words, *seeds, "n_trials=4"])
    by_status: dict[str, list[int]] = {}
    for trial in SweepStudy(directory).trials.trials:
        ran = len(list(directory.glob(f"{trial.user_attrs['key']}-s*/ends")))
        by_status.setdefault(trial.user_attrs["status"], []).append(ran)
    assert set(by_status) == {"finished", "pruned"}
    assert set(by_status["finished"]) == {6}
    assert max(by_status["pruned"]) < 6


def test_killed_trial_of_several_seeds_goes_on_with_the_seed_it_was_at(
    processes: Processes, words: list[str], directory: Path, tmp_path: Path
) -> None:
    held(tmp_path, "t0000-s1")
    options = ["sweep.seeds=2", "n_trials=1", "workers=1", UNCONFIRMED]
    process = processes.forked(*FORKED, *words, *options)
    wait_until_held(directory, "t0000-s1")
    os.kill(pid_of(directory, "t0000-s1"), signal.SIGKILL)
    said = said_by(process)
    assert process.returncode == 0, said
    assert steps_at_start(directory, "t0000-s0") == [0]
    assert steps_at_start(directory, "t0000-s1") == [0, sweep_fakes.HELD_AT]


def test_pruner_is_obeyed_by_the_child(words: list[str]) -> None:
    options = ["sweep.pruner.name=median", "sweep.pruner.startup_trials=1", "workers=1"]
    directory = swept([*words, *options, UNCONFIRMED, "n_trials=6"])
    statuses = {
        k: (RunRecord(directory / k).result() or {})["status"]
        for k in (f"t{i:04d}" for i in range(6))
    }
    assert statuses["t0000"] == "finished"
    pruned = [k for k, status in statuses.items() if status == "pruned"]
    assert pruned
    for key in pruned:
        rows = [row for row in RunRecord(directory / key).history() if "fid_fake" in row]
        assert len(rows) < sweep_fakes.STEPS


@pytest.mark.parametrize(
    ("does", "status", "attempts"),
    [("raise", "failed", 1), ("diverge", "diverged", 1), ("segfault", "failed", 3)],
)
def test_failed_trials_cost_no_worker(
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    does: str,
    status: str,
    attempts: int,
) -> None:
    directory = swept([*words, f"does={does}", "n_trials=2"])
    study = SweepStudy(directory)
    assert len(study.trials.trials) == 2 * attempts
    for trial in trials_of(study.trials):
        assert trial.user_attrs["status"] == status
        result = RunRecord(directory / trial.user_attrs["key"]).result()
        assert result is not None and result["status"] == status
    if does == "raise":
        assert "RuntimeError: out of ideas" in (directory / "t0000" / "log.txt").read_text()
        assert result["reason"] == "RuntimeError: out of ideas"
    if does == "segfault":
        assert result["reason"] == "killed 3 times; the last time by SIGSEGV"
    assert not (directory / "leaderboard.json").exists()
    assert "No trial has a usable result" in capsys.readouterr().out


def test_worker_without_a_sweep_says_so(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "gansweep.engine", str(tmp_path)], capture_output=True, text=True
    )
    assert found.returncode == 2
    assert f"{tmp_path} holds no sweep on {socket.gethostname()}" in found.stderr


def test_attempt_that_another_host_took_over_costs_no_worker(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = made([*words, "n_trials=1", UNCONFIRMED])
    worker = Worker(directory, "w")
    suggest = worker.study.suggest

    def late(attempt: Attempt) -> None:
        if attempt.number == 1:
            other, theirs = SweepStudy(directory), Lease(attempt.lease.path, "another")
            other.finish(replace(attempt, lease=theirs, study=other.trials), "killed")
        suggest(attempt)

    monkeypatch.setattr(worker.study, "suggest", late)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert worker.run() == 0
    assert lines(directory / "t0000" / "ends") == ["finished"]
    assert "t0000 interrupted" in capsys.readouterr().out


@pytest.mark.parametrize("own", [[], ["trainer.threads=7"]])
def test_threads_are_options_of_the_trial_unless_given(words: list[str], own: list[str]) -> None:
    one = ["n_trials=1", "workers=1", UNCONFIRMED]
    (given,) = lines(swept([*words, *own, *one]) / "t0000" / "given")
    threads = [word for word in given.split() if "threads" in word]
    assert threads == (own or [f"trainer.threads={local.cores()}"])


def test_worker_process_imports_no_torch(finished: tuple[Path, str]) -> None:
    directory, _ = finished
    code = (
        "import sys; from gansweep.engine.worker import run_worker\n"
        f"assert run_worker({str(directory)!r}) == 0\n"
        "assert not {'torch', 'pytorch_lightning', 'wandb'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_worker_and_cancel_of_a_finished_sweep_say_that_it_is_finished(
    finished: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, _ = finished
    (directory / CANCELLED).touch()
    with one_worker_here():
        assert Worker(directory, "late").run() == EXIT_FINISHED
    assert capsys.readouterr().out == "the sweep s is finished: nothing to do\n"
    assert cancel(directory) == 0
    assert capsys.readouterr().out == (
        f"The sweep {directory} is finished: there is nothing to cancel.\n"
    )
    assert not (directory / CANCELLED).exists()


def test_live_table_shows_the_best_and_fits_eighty_columns(finished: tuple[Path, str]) -> None:
    directory, _ = finished
    watch = Watch(SweepStudy(directory))
    console = Console(width=80, height=30, record=True, file=io.StringIO())
    console.print(LiveTable(watch, 2, console).render())
    text = console.export_text()
    best = watch.best(watch.rows())
    assert best is not None
    assert f"best {best.value:.4g} ({best.key})" in text
    assert "8/8 runs" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_continued_sweep_does_not_report_old_events_again(finished: tuple[Path, str]) -> None:
    directory, _ = finished
    out = io.StringIO()
    with EventLines(Watch(SweepStudy(directory)), 1, out) as update:
        update()
    assert out.getvalue() == ""


def test_a_worker_goes_on_with_what_the_command_adds_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(words_of_a_sweep(tmp_path, "n_trials=1", UNCONFIRMED))
    finished, grown = SweepStudy.finished, []

    def growing(study: SweepStudy) -> bool:
        if (is_finished := finished(study)) and not grown:
            grown.append(made(words_of_a_sweep(tmp_path, "n_trials=2", UNCONFIRMED)))
        return is_finished

    monkeypatch.setattr(SweepStudy, "finished", growing)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert Worker(directory, "w0", 1).run() == EXIT_FINISHED
    assert ends(directory) == [["finished"], ["finished"], [], []]
