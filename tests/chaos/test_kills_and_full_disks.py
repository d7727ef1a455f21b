"""Processes of a sweep killed at random, the power cut, the disk full: every trial ends once."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
import sweep_fakes
from optuna.trial import TrialState
from processes import Processes, children, name_of, said_by, suspend, wait_until
from sweep_processes import (
    COMMAND,
    FORKED,
    UNCONFIRMED,
    ends,
    held,
    made,
    steps,
    steps_at_start,
    wait_until_held,
    words_of_a_sweep,
)

from gansweep.cli.sweep_run import run_sweep
from gansweep.engine.launch import local
from gansweep.engine.lease.workers import workers_of
from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord
from gansweep.search.settings import Settings
from gansweep.search.trials import trials_of

pytestmark = pytest.mark.usefixtures("importable_fakes")
KILL_SECONDS = {"real": 1.0, "fake": 0.5}  # between two kills
# At least as many as two quiet cores come to: where each start takes longer they end so.
MOST_KILLS = {"real": 7, "fake": 16}
TRIALS, WORKERS = {"real": 14, "fake": 20}, 3
TINY = [
    *("model=gan", "data=ring", "data.n_train=2000", "model.batch_size=100", "budget_kimg=15"),
    *("callbacks.quality.every_kimg=3", "metrics.n_fake=500"),
    *("callbacks.checkpoint.every_seconds=0.2", "~callbacks.samples", "~callbacks.neighbours"),
    *("~callbacks.overfitting", "trainer=cpu", "tracker=none"),
    "model.optimizer.generator.lr=tag(log, interval(1e-4, 1e-3))",
]


class Workers:
    """The workers of a sweep, each started again when it dies, until they all end by themselves."""

    def __init__(self, directory: Path, start: type[subprocess.Popen[Any]]) -> None:
        self.directory, self._begun = directory, start
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.codes: list[int] = []  # of those that ended by themselves
        for i in range(WORKERS):
            self._start(f"w{i}")

    def _start(self, name: str) -> None:
        command = [sys.executable, "-m", "gansweep.engine", str(self.directory)]
        with open(self.directory / "log.txt", "ab") as log:
            self._processes[name] = self._begun(
                [*command, "--name", name, "--threads", "1"], stdout=log, stderr=log
            )

    def attend(self) -> bool:
        """Start those again that were killed; whether any is left."""
        for name, process in list(self._processes.items()):
            code = process.poll()
            if code is not None:
                del self._processes[name]
                if code == -signal.SIGKILL:
                    self._start(name)
                else:
                    self.codes.append(code)
        return bool(self._processes)

    def pids(self) -> list[int]:
        """Of the workers, and of the trials that they train in children."""
        workers = [process.pid for process in self._processes.values()]
        below = [child for worker in workers for child in children(worker)]
        servers = [child for child in below if name_of(child) != forked.NAME]
        return workers + [trial for server in servers for trial in children(server)]

    def kill_all(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


def chaos(
    directory: Path, trials: str, start: type[subprocess.Popen[Any]], seconds: float = 1200.0
) -> int:
    """Work on the sweep, with a process killed every KILL_SECONDS until its trials have ended, or
    MOST_KILLS were; how many. On a slow machine, whenever some trial has made a step since."""
    rng, kills, before = random.Random(0), 0, 0
    workers = Workers(directory, start)
    pause, most = KILL_SECONDS[trials], MOST_KILLS[trials]
    deadline, next_kill = time.monotonic() + seconds, time.monotonic() + pause
    try:
        while workers.attend():
            assert time.monotonic() < deadline, (directory / "log.txt").read_text()[-3000:]
            time.sleep(0.05)
            if time.monotonic() < next_kill or kills == most:
                continue
            ended, rows = progress(directory)
            if rows == before or ended:
                continue
            before, next_kill = rows, time.monotonic() + pause
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(rng.choice(workers.pids()), signal.SIGKILL)
                kills += 1
    finally:
        workers.kill_all()
    assert set(workers.codes) == {0}, (directory / "log.txt").read_text()[-3000:]
    return kills


def progress(directory: Path) -> tuple[bool, int]:
    """Whether all trials have ended, and how many rows they wrote."""
    n_trials = Settings.load(directory).n_trials
    results = [RunRecord(path.parent).result() or {} for path in directory.glob("t*/result.json")]
    ended = sum(result["status"] == "finished" for result in results)
    histories = directory.glob("t*/history.jsonl")
    return ended == n_trials, sum(path.read_bytes().count(b"\n") for path in histories)


def assert_nothing_lost(directory: Path, n_trials: int) -> None:
    """Every trial finished, none twice, and the study says what the records say."""
    study = SweepStudy(directory)
    keys = [f"t{i:04d}" for i in range(n_trials)]
    trials = study.trials.get_trials(deepcopy=False)
    assert sorted(t.user_attrs["key"] for t in trials_of(study.trials)) == keys
    assert Counter(
        t.user_attrs["key"] for t in trials if t.state == TrialState.COMPLETE
    ) == Counter(keys)
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    for trial in trials_of(study.trials):
        record = RunRecord(directory / trial.user_attrs["key"])
        result = record.result()
        assert result is not None and result["status"] == "finished"
        assert result["sweep"]["key"] == trial.user_attrs["key"]
        read = study.objective.read(result)
        assert read is not None and trial.value == read[1]
        rows = [row for row in record.history() if read[0] in row]
        kimg = [row["kimg"] for row in rows]
        assert kimg == sorted(set(kimg)), "no part of it was trained twice into one record"
        assert rows[-1][read[0]] == read[1]
    assert not list((directory / "leases").glob("[!.]*")) and not workers_of(directory)
    assert study.finished()


def sweep_of(trials: str, folder: Path, storage: str) -> Path:
    """A sweep of short trials, trainings or fakes, that no worker was started for."""
    n_trials = f"n_trials={TRIALS[trials]}"
    options = [n_trials, "sweep.max_retries=100", UNCONFIRMED, f"storage={storage}"]
    if trials == "fake":
        return made(words_of_a_sweep(folder, "pace=0.15", *options))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.LocalLauncher, "run", lambda *_: True)
        where = ["name=chaos", f"runs_dir={folder}", f"workers={WORKERS}"]
        return run_sweep(["sweep=random", *TINY, *options, *where])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "trials"), [("journal", "real"), ("sqlite", "fake"), ("postgresql", "fake")]
)
def test_processes_killed_at_random_lose_no_trial(
    tmp_path: Path, storage: str, trials: str, request: pytest.FixtureRequest
) -> None:
    if storage == "postgresql":
        storage = request.getfixturevalue("postgres").database("chaos")
    directory = sweep_of(trials, tmp_path, storage)
    began = time.monotonic()
    # sqlite's workers are fresh processes: they are killed while they import, too
    kills = chaos(
        directory, trials, subprocess.Popen if storage == "sqlite" else forked.ForkedWorker
    )
    attempts = len(SweepStudy(directory).trials.get_trials(deepcopy=False))
    print(f"{kills} kills, {attempts} attempts, {time.monotonic() - began:.0f} s")
    assert kills >= 3
    assert_nothing_lost(directory, TRIALS[trials])


# The machine that goes down, the disk that fills, the rights that are taken away


class Command:
    """`gansweep sweep`, on a sweep of four trials of which the last two wait until `go_on`."""

    def __init__(self, folder: Path, processes: Processes, *more: str) -> None:
        self.directory = folder / "runs" / "s"
        self._words = [*COMMAND, *words_of_a_sweep(folder, *more)]
        self._processes = processes
        self._held = held(folder, "t0002", "t0003")

    def start(self, **options: Any) -> subprocess.Popen[str]:
        """The command, once the trials that are held wait."""
        process = self._processes(*self._words, **options)
        wait_until_held(self.directory, "t0002", "t0003")
        return process

    def go_on(self) -> None:
        with open(self._held, "r+") as file:  # in place: a full disk has no more room than before
            file.write(" " * self._held.stat().st_size)

    def ends_well(self) -> None:
        """Given again it brings the sweep to its end."""
        again = self._processes(*self._words)
        said = said_by(again)
        assert again.returncode == 0, said
        assert ends(self.directory) == [["finished"]] * 4
        assert_nothing_lost(self.directory, 4)


def assert_reported(process: subprocess.Popen[str], *words: str) -> None:
    """The command ends with an error in these words, and with no traceback."""
    out, error = said_by(process)
    assert process.returncode == 2, (out, error)
    assert all(word in error for word in words) and "Traceback" not in error, error


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_same_command_after_a_power_cut_loses_only_what_was_not_saved(
    tmp_path: Path, processes: Processes, storage: str
) -> None:
    directory = tmp_path / "runs" / "s"
    command = [*FORKED, *words_of_a_sweep(tmp_path, "pace=0.2", f"storage={storage}")]
    first = processes.forked(*command)
    wait_until(lambda: len(steps(directory)) >= 3)
    everything = suspend(first.pid)  # that all of it ends at one moment
    saved = steps(directory)
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    first.wait()
    second = processes.forked(*command)
    said = said_by(second)
    assert second.returncode == 0, said
    assert ends(directory) == [["finished"]] * 4
    for key, done in saved.items():
        if done < sweep_fakes.STEPS:
            assert steps_at_start(directory, key)[-1] == done, "from its checkpoint"
    assert SweepStudy(directory).finished()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own with two megabytes."""
    folder = Path(tempfile.mkdtemp())
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if os.geteuid() or subprocess.run(words, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_sweep_on_a_full_disk_says_so_and_goes_on_when_there_is_space(
    small_disk: Path, processes: Processes, storage: str
) -> None:
    sweep = Command(small_disk, processes, f"storage={storage}")
    process = sweep.start()
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    sweep.go_on()
    assert_reported(process, "No space", "the same command")
    for log in (sweep.directory / "workers").glob("*.log"):
        assert "Traceback" not in log.read_text()
    filler.unlink()
    sweep.ends_well()


def heed_permissions() -> None:
    """Root writes wherever it likes, but not without CAP_DAC_OVERRIDE."""
    if os.geteuid() == 0:
        pr_capbset_drop, cap_dac_override = 24, 1
        assert ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override) == 0


@pytest.mark.slow
def test_sweep_whose_directory_becomes_read_only_says_so_and_goes_on_when_it_is_mended(
    tmp_path: Path, processes: Processes
) -> None:
    sweep = Command(tmp_path, processes)
    process = sweep.start(preexec_fn=heed_permissions)
    subprocess.run(["chmod", "-R", "a-w", str(sweep.directory)], check=True)
    sweep.go_on()
    assert_reported(process, "Permission denied")
    subprocess.run(["chmod", "-R", "u+w", str(sweep.directory)], check=True)
    sweep.ends_well()
