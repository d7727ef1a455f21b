"""Small sweeps of trials without torch, with launcher=slurm."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from processes import descendants
from sweep_processes import UNCONFIRMED, lines, sweep, words_of_a_sweep

from gansweep.engine.launch.slurm import SlurmLauncher
from gansweep.engine.study import SweepStudy


def on(node: str) -> str:
    return f"launcher.options=['--nodelist={node}']"


def words(folder: Path, workers: int, *more: str) -> list[str]:
    """The words of a small sweep whose directory is FOLDER/runs/s."""
    jobs = ["launcher=slurm", f"workers={workers}", "launcher.cpus=1", "launcher.every_seconds=0.5"]
    return words_of_a_sweep(folder, UNCONFIRMED, *jobs, *more)


def launcher_of(folder: Path, workers: int, *more: str) -> SlurmLauncher:
    """The launcher of a new sweep that has submitted nothing yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SlurmLauncher, "run", lambda *_: True)
        directory = sweep(words(folder, workers, *more))
    return SlurmLauncher(directory, SweepStudy(directory).settings.launcher, workers)


def assert_each_ended_once(directory: Path, n_trials: int) -> None:
    assert SweepStudy(directory).finished()
    for i in range(n_trials):
        assert lines(directory / f"t{i:04d}" / "ends") == ["finished"]


def logs(launcher: SlurmLauncher) -> dict[str, str]:
    """What each job wrote, by the number of its task."""
    found = sorted((launcher.directory / "workers").glob("slurm-*.log"))
    return {path.stem.split("_")[-1]: path.read_text() for path in found}


def launched_under_a_limit(folder: Path, *more: str) -> SlurmLauncher:
    """A sweep of one trial, whose job runs on a node of its own, under a limit of a minute and with
    a warning as early."""
    times = ["launcher.time=1", "launcher.warn_seconds=55"]
    launcher = launcher_of(folder, 1, *times, "n_trials=1", on("n3"), *more)
    launcher.submit_missing()
    return launcher


def kill_node(cluster: Path, node: str) -> None:
    """SIGKILL for a node's daemon, the steps that it started, and all below them."""
    log = str(cluster / f"slurmd-{node}.log")
    everything = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    daemons = [pid for pid in everything if log in open_files(pid)]
    for pid in [*daemons, *(below for daemon in daemons for below in descendants(daemon))]:
        with contextlib.suppress(ProcessLookupError):  # it ended with one before it
            os.kill(pid, signal.SIGKILL)


def open_files(pid: int) -> set[str]:
    try:
        return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:  # it has ended, or is another user's
        return set()
