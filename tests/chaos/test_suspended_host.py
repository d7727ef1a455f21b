"""A host that is suspended past its lease, and wakes up when another has finished its trial."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from processes import Processes, children, descendants, running, said_by, suspend, wait_until

from gansweep.cli.sweep_run import run_sweep
from gansweep.engine.launch import local
from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord

TINY = [
    *("sweep=random", "model=gan", "data=ring", "data.n_train=2000", "model.batch_size=100"),
    *("budget_kimg=150", "callbacks.quality.every_kimg=150", "metrics.n_fake=500"),
    *("callbacks.checkpoint.every_seconds=0.1", "callbacks.samples.every_kimg=10"),
    *("~callbacks.neighbours", "~callbacks.overfitting", "trainer=cpu", "tracker=none"),
    *("model.optimizer.generator.lr=tag(log, interval(1e-4, 1e-3))", "n_trials=1"),
    *("sweep.confirm.top=0", "workers=1", "name=s"),
]
HOST = (  # a worker whose locks are, as far as others can tell, kept by another kernel than theirs
    "import sys; from gansweep.engine.lease import locks\n"
    "locks.kernel_id, locks.LEASE_SECONDS = lambda: sys.argv[1], 3.0\n"
    "from gansweep.engine.worker import run_worker\n"
    "sys.exit(run_worker(sys.argv[2], sys.argv[1], 1))"
)


def files(directory: Path) -> dict[str, bytes]:
    """All that the record of a run holds; its log is of all its processes."""
    found = (path for path in directory.rglob("*") if path.is_file() and path.name != "log.txt")
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def wake(worker: int, pids: list[int]) -> None:
    """Continue suspended processes: the trial first, since its worker would end it at once."""
    trials = [pid for pid in pids if pid not in (worker, *children(worker))]
    for pid in trials:
        os.kill(pid, signal.SIGCONT)
    try:
        wait_until(lambda: not any(map(running, trials)))
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def suspended(worker: subprocess.Popen[str], run: RunRecord) -> list[int]:
    """The processes of a worker, stopped once the trial that it trains has a checkpoint."""
    wait_until(run.last.exists)
    stopped = suspend(worker.pid)
    assert len(stopped) > 2 and set(stopped) >= set(descendants(worker.pid))
    result = run.result()
    assert result is not None and result["status"] == "running", "it was too fast"
    return stopped


@pytest.mark.slow
def test_host_that_wakes_up_changes_nothing_of_a_trial_that_another_finished(
    tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local.LocalLauncher, "run", lambda *_: True)
    directory = run_sweep([*TINY, f"runs_dir={tmp_path}"])
    run = RunRecord(directory / "t0000")
    first = processes("-c", HOST, "first", str(directory))
    stopped = suspended(first, run)
    try:
        second = processes("-c", HOST, "second", str(directory))
        said = said_by(second)
        assert second.returncode == 0, said
        finished = files(run.directory)
    finally:
        wake(first.pid, stopped)
    said = said_by(first)
    assert first.returncode == 0, said
    assert files(run.directory) == finished
    kimg = [row["kimg"] for row in run.history() if "loss/generator" in row]
    assert kimg == sorted(set(kimg))
    reported = [trial.user_attrs["status"] for trial in SweepStudy(directory).trials.trials]
    assert reported == ["interrupted", "finished"]
