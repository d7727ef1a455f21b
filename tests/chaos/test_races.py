"""Signals, commands and copies at the worst moment."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from processes import Processes, said_by, wait_until
from sweep_processes import (
    FORKED_WORKER,
    UNCONFIRMED,
    held,
    lines,
    made,
    pid_of,
    sweep,
    wait_until_held,
    words_of_a_sweep,
)

from gansweep.engine import worker as working
from gansweep.engine.status import status_of
from gansweep.engine.study import SweepStudy
from gansweep.engine.worker import EXIT_FAILED_ALIKE, EXIT_STOPPED, Worker
from gansweep.errors import UserError
from gansweep.search.settings import Settings

pytestmark = pytest.mark.usefixtures("importable_fakes")


def test_request_to_stop_counts_that_comes_while_the_marks_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made([*words_of_a_sweep(tmp_path), "n_trials=1"])
    handled = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}

    def looked_at(_: Path) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    monkeypatch.setattr(working, "is_cancelled", looked_at)
    worker = Worker(directory, "w")
    try:
        assert worker.run() == EXIT_STOPPED
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
    assert not (directory / "t0000").exists()


def test_second_command_at_the_same_moment_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second comes when the first has looked for others, and has made its study."""
    words, refusals = words_of_a_sweep(tmp_path), []
    create = SweepStudy.create

    def created(directory: Path, settings: Settings, *more: Any) -> SweepStudy:
        study = create(directory, settings, *more)
        if not refusals:
            with pytest.raises(UserError, match="at work already") as refused:
                made([*words, "n_trials=9", "pace=1"])
            refusals.append(refused.value)
        return study

    monkeypatch.setattr(SweepStudy, "create", created)
    directory = made([*words, "n_trials=4"])
    assert len(refusals) == 1
    assert Settings.load(directory).n_trials == 4
    assert not (directory / "launcher.alive").exists()


def test_refused_study_leaves_no_directory(tmp_path: Path) -> None:
    words = [*words_of_a_sweep(tmp_path), "storage=postgresql://nobody@127.0.0.1:1/none"]
    with pytest.raises(UserError, match="cannot be reached"):
        made(words)
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_copy_of_a_sweep_is_continued_apart_from_it(tmp_path: Path, storage: str) -> None:
    words = [*words_of_a_sweep(tmp_path), "sweep.confirm.top=0", f"storage={storage}"]
    first = sweep([*words, "n_trials=2"])
    shutil.copytree(first, first.with_name("copy"))
    copy = sweep([*words, "n_trials=3", "name=copy"])
    assert status_of(first).trials == {"done": 2}
    assert status_of(copy).trials == {"done": 3}
    starts = [(copy / f"t000{i}" / "starts").read_text() for i in range(3)]
    assert [text.count("\n") for text in starts] == [1, 1, 1]


def test_interrupt_that_hits_a_trial_alone_is_no_bug_of_it(
    tmp_path: Path, processes: Processes
) -> None:
    """As of `scancel --signal=INT --full`, before its training handles signals."""
    directory = made(words_of_a_sweep(tmp_path, "n_trials=1", "workers=1", UNCONFIRMED))
    run, hold = directory / "t0000", held(tmp_path, "t0000")
    worker = processes.forked(*FORKED_WORKER, str(directory))
    wait_until_held(directory, "t0000")
    os.kill(pid_of(directory, "t0000"), signal.SIGINT)
    wait_until(lambda: len(lines(run / "starts")) == 2)
    hold.unlink()
    said = said_by(worker)
    assert worker.returncode == 0, said
    assert "t0000 interrupted by SIGINT" in said[0]
    assert (run / "ends").read_text() == "finished\n"


def test_trials_that_all_end_before_they_begin_stop_the_sweep(
    tmp_path: Path, processes: Processes
) -> None:
    """Their processes run the worker's script again, where that is not guarded against it."""
    directory = made(words_of_a_sweep(tmp_path, "n_trials=6"))
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import sys; from gansweep.engine.worker import run_worker\n"
        f"sys.exit(run_worker({str(directory)!r}))\n"
    )
    worker = processes(str(script))
    out, _ = said_by(worker)
    assert worker.returncode == EXIT_FAILED_ALIKE
    assert "its first 3 trials failed alike" in out
    assert "before it began: see workers/*.server.log" in out
