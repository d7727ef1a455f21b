"""Workers of a real SLURM that meet their time limit, or are killed before they save."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import wait_until
from slurm_sweeps import assert_each_ended_once, launcher_of, logs, on
from sweep_fakes import HELD_AT
from sweep_processes import held, steps_at_start, wait_until_held

from gansweep.engine.launch.slurm import SlurmLauncher
from gansweep.engine.lease.workers import workers_of
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError

pytestmark = [pytest.mark.usefixtures("importable_fakes", "no_job_left"), pytest.mark.slow]


def kill_the_worker(directory: Path) -> None:
    (worker,) = workers_of(directory)
    os.kill(worker.pid, signal.SIGKILL)


def test_job_whose_worker_was_killed_goes_back_into_the_queue(
    cluster: Path, tmp_path: Path
) -> None:
    launcher = launcher_of(tmp_path, 1, "n_trials=1", on("n1"))
    file = held(tmp_path, "t0000")
    launcher.submit_missing()
    wait_until_held(launcher.directory, "t0000")
    kill_the_worker(launcher.directory)
    wait_until(lambda: "goes back into the queue: its worker was killed" in logs(launcher)["0"])
    file.unlink()
    assert launcher.run(lambda: None)
    first, second = steps_at_start(launcher.directory, "t0000")
    assert first == 0 < HELD_AT <= second, "from the checkpoint, not from zero"
    assert_each_ended_once(launcher.directory, 1)
    assert "start 2" in logs(launcher)["0"]


def test_job_whose_worker_is_killed_again_and_again_is_given_up(
    cluster: Path, tmp_path: Path
) -> None:
    launcher = launcher_of(tmp_path, 1, "n_trials=1", "sweep.max_retries=1", on("n1"))
    held(tmp_path, "t0000")
    launcher.submit_missing()
    (array,) = launcher._arrays
    servers_log = launcher.directory / "workers" / f"slurm-{array}_1.server.log"
    servers_log.write_text("EOFError: Ran out of input\n")  # of trials; it is no job's
    os.utime(servers_log, (2e9, 2e9))
    with ThreadPoolExecutor() as pool:
        # it watches from the start: begun after the job has ended, it would submit another
        watched = pool.submit(launcher.run, lambda: None)
        for start in (1, 2):
            wait_until(lambda start=start: f"start {start}" in logs(launcher).get("0", ""))
            wait_until_held(launcher.directory, "t0000")
            wait_until(lambda: [w.doing for w in workers_of(launcher.directory)] == ["t0000"])
            kill_the_worker(launcher.directory)
        with pytest.raises(
            UserError, match=r"(?s)are gone \(exit code 137\).*so it was 1 times before"
        ):
            watched.result()


def test_worker_near_its_time_limit_saves_and_goes_on_in_another_job(
    cluster: Path, under_a_limit: dict[str, SlurmLauncher]
) -> None:
    limited = under_a_limit["hears"]
    assert limited.run(lambda: None)
    *before, last = steps_at_start(limited.directory, "t0000")
    assert set(before) == {0}, "several, where SLURM warned it before it had saved a step"
    assert last == HELD_AT, "from the checkpoint"
    assert_each_ended_once(limited.directory, 1)
    assert "saved before its time limit; back into the queue" in logs(limited)["0"]
    assert "start 2" in logs(limited)["0"]


def test_job_whose_worker_is_still_saving_at_the_time_limit_goes_back_into_the_queue(
    cluster: Path, under_a_limit: dict[str, SlurmLauncher]
) -> None:
    deaf = under_a_limit["deaf"]
    assert deaf.run(lambda: None)
    assert_each_ended_once(deaf.directory, 1)
    assert "DUE TO TIME LIMIT" in logs(deaf)["0"]
    assert "goes back into the queue: its worker was still saving at the time" in logs(deaf)["0"]
    assert "start 2" in logs(deaf)["0"]
    # SLURM kills one process after the other: the worker may see its trial's die first
    assert len(SweepStudy(deaf.directory).trials.trials) == 2
