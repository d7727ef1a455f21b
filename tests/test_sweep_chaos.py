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

import pytest
import sweep_fakes
from optuna.trial import TrialState
from sweep_processes import Processes, wait_until, words_of_a_sweep

from gansweep.record import RunRecord
from gansweep.sweep.launch import local
from gansweep.sweep.presence import workers_of
from gansweep.sweep.run import run_sweep
from gansweep.sweep.settings import Settings
from gansweep.sweep.study import SweepStudy, latest

KILL_SECONDS = 2.0
TRIALS, WORKERS = 24, 4
TINY = [
    *("model=gan", "data=ring", "data.n_train=2000", "model.batch_size=100", "budget_kimg=15"),
    *("callbacks.quality.every_kimg=5", "metrics.n_fake=500"),
    *("callbacks.checkpoint.every_seconds=0.5", "~callbacks.samples", "~callbacks.neighbours"),
    *("~callbacks.overfitting", "trainer=cpu", "tracker=none"),
    "model.optimizer.generator.lr=tag(log, interval(1e-4, 1e-3))",
]


class Workers:
    """The workers of a sweep, each started again when it dies, until they all end by themselves."""

    def __init__(self, directory: Path, many: int = WORKERS) -> None:
        self.directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.codes: list[int] = []  # of those that ended by themselves
        for i in range(many):
            self._start(f"w{i}")

    def _start(self, name: str) -> None:
        command = [sys.executable, "-m", "gansweep.sweep", str(self.directory)]
        with open(self.directory / "log.txt", "ab") as log:
            self._processes[name] = subprocess.Popen(
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
        servers = [server for worker in workers for server in children(worker)]
        return workers + [trial for server in servers for trial in children(server)]

    def kill_all(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


def children(pid: int) -> list[int]:
    try:
        return [int(w) for w in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def chaos(directory: Path, seed: int = 0, seconds: float = 300.0) -> int:
    """Work on the sweep, with a process killed every KILL_SECONDS until its trials have ended; how
    many were killed. On a machine too slow for that, whenever some trial has made a step."""
    rng, kills, before = random.Random(seed), 0, 0
    workers = Workers(directory)
    deadline, next_kill = time.monotonic() + seconds, time.monotonic() + KILL_SECONDS
    try:
        while workers.attend():
            assert time.monotonic() < deadline, (directory / "log.txt").read_text()[-3000:]
            time.sleep(0.05)
            if time.monotonic() < next_kill:
                continue
            ended, rows = progress(directory)
            if rows == before or ended:
                continue
            before, next_kill = rows, time.monotonic() + KILL_SECONDS
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
    assert sorted(t.user_attrs["key"] for t in latest(study.trials)) == keys
    assert Counter(
        t.user_attrs["key"] for t in trials if t.state == TrialState.COMPLETE
    ) == Counter(keys)
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    for trial in latest(study.trials):
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


def real_sweep(folder: Path, storage: str) -> Path:
    """A sweep of short real trials that no worker was started for."""
    options = [f"n_trials={TRIALS}", "sweep.max_retries=100", "sweep.confirm.top=0", "name=chaos"]
    where = [f"runs_dir={folder}", f"storage={storage}", f"workers={WORKERS}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.LocalLauncher, "run", lambda *_: True)
        return run_sweep(["sweep=random", *TINY, *options, *where])


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite", "postgresql"])
def test_processes_killed_at_random_lose_no_trial(
    tmp_path: Path, storage: str, request: pytest.FixtureRequest
) -> None:
    if storage == "postgresql":
        storage = request.getfixturevalue("postgres").database("chaos")
    directory = real_sweep(tmp_path, storage)
    began = time.monotonic()
    kills = chaos(directory)
    attempts = len(SweepStudy(directory).trials.get_trials(deepcopy=False))
    print(f"{kills} kills, {attempts} attempts, {time.monotonic() - began:.0f} s")
    assert kills >= 5
    assert_nothing_lost(directory, TRIALS)


# The machine that goes down, the disk that fills, the rights that are taken away


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    processes = Processes()
    yield processes
    processes.end()


def ends(directory: Path) -> list[list[str]]:
    """How the four trials ended, and how often."""
    paths = [directory / f"t{i:04d}" / "ends" for i in range(4)]
    return [path.read_text().split() if path.exists() else [] for path in paths]


def steps(directory: Path) -> dict[str, int]:
    """Of each trial that has a checkpoint, how many it holds."""
    found = {path: path.read_text() for path in directory.glob("t*/checkpoints/last.pt")}
    return {path.parts[-3]: int(text) for path, text in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["journal", "sqlite"])
def test_same_command_after_a_power_cut_loses_only_what_was_not_saved(
    tmp_path: Path, started: Processes, storage: str
) -> None:
    words = [*words_of_a_sweep(tmp_path), "pace=0.2", f"storage={storage}"]
    directory = tmp_path / "runs" / "s"
    first = started.sweep(words)
    wait_until(lambda: len(steps(directory)) >= 3)
    everything = [first.pid, *descendants(first.pid)]
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)  # that all of it ends at one moment
    saved = steps(directory)
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    first.wait()
    second = started.sweep(words)
    assert second.wait(60) == 0, second.communicate()
    assert ends(directory) == [["finished"]] * 4
    for key, done in saved.items():
        *_, last = (directory / key / "starts").read_text().splitlines()
        if done < sweep_fakes.STEPS:
            assert int(last.split()[1]) == done, "from its checkpoint"
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
    small_disk: Path, started: Processes, storage: str
) -> None:
    words = [*words_of_a_sweep(small_disk), "pace=0.2", f"storage={storage}"]
    directory = small_disk / "runs" / "s"
    process = started.sweep(words)
    wait_until(lambda: len(steps(directory)) >= 3)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    out, error = process.communicate(timeout=60)
    assert process.returncode == 2, (out, error)
    assert "No space" in error and "Traceback" not in error
    for log in (directory / "workers").glob("*.log"):
        assert "Traceback" not in log.read_text()
    assert "the same command" in error or "give the same command again" in error
    filler.unlink()
    again = started.sweep(words)
    assert again.wait(60) == 0, again.communicate()
    assert ends(directory) == [["finished"]] * 4
    assert_nothing_lost(directory, 4)


def heed_permissions() -> None:
    """Root writes wherever it likes, but not without CAP_DAC_OVERRIDE."""
    if os.geteuid() == 0:
        pr_capbset_drop, cap_dac_override = 24, 1
        assert ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override) == 0


@pytest.mark.slow
def test_sweep_whose_directory_becomes_read_only_says_so_and_goes_on_when_it_is_mended(
    tmp_path: Path, started: Processes
) -> None:
    words = [*words_of_a_sweep(tmp_path), "pace=0.2"]
    directory = tmp_path / "runs" / "s"
    process = started.sweep(words, preexec_fn=heed_permissions)
    wait_until(lambda: len(steps(directory)) >= 3)
    subprocess.run(["chmod", "-R", "a-w", str(directory)], check=True)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 2, (out, error)
    assert "Permission denied" in error and "Traceback" not in error
    subprocess.run(["chmod", "-R", "u+w", str(directory)], check=True)
    again = started.sweep(words)
    assert again.wait(60) == 0, again.communicate()
    assert ends(directory) == [["finished"]] * 4
    assert_nothing_lost(directory, 4)


def descendants(pid: int) -> list[int]:
    return [d for child in children(pid) for d in (child, *descendants(child))]
