"""Workers, their children and the launcher as real processes, on a trial without torch."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sweep_fakes
from rich.console import Console

from gansweep.errors import UserError
from gansweep.record import RunRecord
from gansweep.sweep import run
from gansweep.sweep.attempt import Attempt
from gansweep.sweep.gpus import GpuShare
from gansweep.sweep.launch import local
from gansweep.sweep.locks import Lease
from gansweep.sweep.study import SweepStudy, latest
from gansweep.sweep.table import EventLines, LiveTable, Watch
from gansweep.sweep.worker import Worker

SWEEP = """
n_trials: 6
confirm: {top: 1, seeds: 2}
space:
  model: choice(gan, wgan)
  lr: interval(1, 2)
"""
COMMAND = (
    "import sys, sweep_fakes; from gansweep.sweep.run import run_sweep\n"
    "run_sweep(sys.argv[1:], compose=sweep_fakes.compose, target='sweep_fakes.trial')"
)


def command_line(folder: Path) -> list[str]:
    """The words of a small sweep whose directory is FOLDER/runs/s."""
    (folder / "own" / "sweep").mkdir(parents=True)
    (folder / "own" / "sweep" / "mini.yaml").write_text(SWEEP)
    where = ["--config-dir", str(folder / "own"), f"runs_dir={folder / 'runs'}", "name=s"]
    return ["sweep=mini", "workers=2", *where]


@pytest.fixture(autouse=True, scope="module")
def fakes_are_importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        yield


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return command_line(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The directory of a sweep that ran to its end, and what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        directory = sweep(command_line(tmp_path_factory.mktemp("finished")))
    return directory, out.getvalue()


def sweep(words: list[str]) -> Path:
    return run.run_sweep(words, compose=sweep_fakes.compose, target="sweep_fakes.trial")


@pytest.fixture
def started(words: list[str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the sweep as a process of its own; killed at the end where it still runs."""
    processes: list[subprocess.Popen[str]] = []

    def start(*more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def lines(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1] if path.exists() else []


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return found


def child_pid(run_dir: Path, attempt: int = 1) -> int | None:
    starts = lines(run_dir / "starts")
    return int(starts[attempt - 1].split()[0]) if len(starts) >= attempt else None


def worker_pids(directory: Path) -> dict[str, int]:
    holders = [json.loads(p.read_text() or "{}") for p in (directory / "leases").glob("[tc]*")]
    return {h["worker"]: h["pid"] for h in holders if h}


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
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    directory = tmp_path / "runs" / "s"
    process = started("pace=0.15")
    wait_until(lambda: (directory / "t0000" / "checkpoints" / "last.pt").exists())
    child = child_pid(directory / "t0000")
    assert child is not None
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: child_pid(directory / "t0003"))
    name, pid = next(iter(worker_pids(directory).items()))
    os.kill(pid, signal.SIGKILL)
    assert process.wait(60) == 0, process.communicate()
    study = SweepStudy(directory)
    assert sorted(t.user_attrs["key"] for t in latest(study.trials)) == [
        f"t{i:04d}" for i in range(6)
    ]
    for i in range(6):  # each finished, none twice
        assert lines(directory / f"t{i:04d}" / "ends") == ["finished"]
    assert len(study.trials.trials) == 6 + 2, "one more attempt for each kill"
    resumed = [line.split()[1] for line in lines(directory / "t0000" / "starts")]
    assert resumed[0] == "0" and int(resumed[1]) >= 1, "from the checkpoint, not from zero"
    assert len(json.loads((directory / "leaderboard.json").read_text())["rows"]) == 1


def test_no_child_outlives_its_killed_worker(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    directory = tmp_path / "runs" / "s"
    process = started("pace=30")
    pids = [wait_until(lambda i=i: child_pid(directory / f"t000{i}")) for i in (0, 1)]
    workers = wait_until(lambda: len(found := worker_pids(directory)) == 2 and found)
    process.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in [*pids, *workers.values()]))


def running(pid: int) -> bool:
    """Whether the process computes still: it has not ended, nor waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("does", ["wait", "hold"])
def test_trial_of_a_worker_killed_alone_ends_within_two_seconds(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path, does: str
) -> None:
    directory = tmp_path / "runs" / "s"
    started("pace=30", f"does={does}", "workers=1")
    child = wait_until(lambda: child_pid(directory / "t0000"))
    (worker,) = worker_pids(directory).values()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not running(child), seconds=2)


def test_second_interrupt_leaves_no_trial_in_the_background(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    directory = tmp_path / "runs" / "s"
    process = started("does=hold", "workers=1")
    child = wait_until(lambda: child_pid(directory / "t0000"))
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert running(child), "the first asks it to save, which it cannot hear"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    wait_until(lambda: not running(child), seconds=2)


def test_interrupted_sweep_is_continued_by_the_same_command(
    started: Callable[..., subprocess.Popen[str]], words: list[str], tmp_path: Path
) -> None:
    directory = tmp_path / "runs" / "s"
    process = started("pace=0.2")
    wait_until(lambda: (directory / "t0001" / "checkpoints" / "last.pt").exists())
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "The same command continues the sweep" in out, error
    assert all(
        (RunRecord(directory / k).result() or {})["status"] == "interrupted"
        for k in ("t0000", "t0001")
    )
    assert not list((directory / "leases").iterdir())
    sweep([*words, "pace=0.2", "n_trials=3", "sweep.confirm.top=0"])
    starts = [line.split()[1] for line in lines(directory / "t0001" / "starts")]
    assert len(starts) == 2 and int(starts[1]) >= 1
    assert all(lines(directory / f"t000{i}" / "ends") == ["finished"] for i in range(3))


def test_trial_of_several_seeds_is_worth_their_mean(words: list[str]) -> None:
    seeds = ["sweep.seeds=3", "n_trials=2", "sweep.confirm.seeds=1"]
    directory = sweep([*words, *seeds])
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
    seeds = ["sweep.seeds=8", "sweep.pruner.name=wilcoxon", "sweep.confirm.top=0", "workers=1"]
    directory = sweep([*words, *seeds, "n_trials=4"])
    by_status: dict[str, list[int]] = {}
    for trial in SweepStudy(directory).trials.trials:
        ran = len(list(directory.glob(f"{trial.user_attrs['key']}-s*/ends")))
        by_status.setdefault(trial.user_attrs["status"], []).append(ran)
    assert set(by_status) == {"finished", "pruned"}
    assert set(by_status["finished"]) == {8}
    assert max(by_status["pruned"]) < 8


def test_killed_trial_of_several_seeds_goes_on_with_the_seed_it_was_at(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    directory = tmp_path / "runs" / "s"
    process = started("pace=0.1", "sweep.seeds=2", "n_trials=1", "workers=1", "sweep.confirm.top=0")
    wait_until(lambda: (directory / "t0000-s1" / "checkpoints" / "last.pt").exists())
    child = child_pid(directory / "t0000-s1")
    assert child is not None
    os.kill(child, signal.SIGKILL)
    assert process.wait(60) == 0, process.communicate()
    assert len(lines(directory / "t0000-s0" / "starts")) == 1
    first, second = lines(directory / "t0000-s1" / "starts")
    assert first.endswith(" 0") and not second.endswith(" 0")


def test_pruner_is_obeyed_by_the_child(words: list[str]) -> None:
    options = ["sweep.pruner.name=median", "sweep.pruner.startup_trials=1", "workers=1"]
    directory = sweep([*words, *options, "sweep.confirm.top=0", "pace=0.02"])
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
    directory = sweep([*words, f"does={does}", "n_trials=2", "workers=1"])
    study = SweepStudy(directory)
    assert len(study.trials.trials) == 2 * attempts
    for trial in latest(study.trials):
        assert trial.user_attrs["status"] == status
        result = RunRecord(directory / trial.user_attrs["key"]).result()
        assert result is not None and result["status"] == status
    if does == "raise":
        assert "RuntimeError: out of ideas" in (directory / "t0000" / "log.txt").read_text()
        assert result["reason"] == "RuntimeError: out of ideas"
    if does == "segfault":
        assert result["reason"] == "killed 3 times; the last time by SIGSEGV"
    assert not (directory / "leaderboard.json").exists()
    assert "No trial ran to its end" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["n_trial=3"], "Did you mean 'n_trials'"),
        (["lrr=3"], "no option 'lrr'"),
        (["weigth=choice(1, 2)"], "'weigth: choice"),
        (["n_trials=0"], "leaves nothing to do"),
        (["workers=none"], "positive whole number"),
        (["sweep.sampler.name=tpee"], "Did you mean 'tpe'"),
        (["sweep.sampler.name=grid"], "infinitely many"),
        (["sweep.confirm.seeds=0"], "confirms nothing"),
        (["sweep.confirm.per=modl"], "Did you mean 'model'"),
        (["+sweep.prunner.name=asha"], "Did you mean 'sweep.pruner'|Did you mean 'pruner'"),
        (["pace"], "KEY=VALUE"),
        (["--confg-dir=x"], "Did you mean '--config-dir'"),
    ],
)
def test_mistake_on_the_command_line_writes_nothing(
    words: list[str], tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sweep([*words, *more])
    assert not (tmp_path / "runs").exists()


def test_command_line_can_name_the_space(words: list[str]) -> None:
    options = ["model=gan", "lr=choice(1, 2)", "sweep.sampler.name=grid", "n_trials=null"]
    directory = sweep([*words, *options, "sweep.confirm.top=0"])
    study = SweepStudy(directory)
    assert study.settings.space == {"model": "gan", "lr": "choice(1, 2)"}
    assert len(study.trials.trials) == 2


def test_cfg_prints_the_composed_sweep_and_writes_nothing(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sweep([*words, "--cfg", "job"])
    assert "lr: interval(1, 2)" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_worker_without_a_sweep_says_so(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "gansweep.sweep", str(tmp_path)], capture_output=True, text=True
    )
    assert found.returncode == 2
    assert "holds no sweep" in found.stderr


def made(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a sweep of one trial that no worker was started for."""
    with monkeypatch.context() as patch:
        patch.setattr(local.LocalLauncher, "run", lambda *_: True)
        return sweep([*words, "n_trials=1", "sweep.confirm.top=0"])


def test_attempt_that_another_host_took_over_costs_no_worker(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = made(words, monkeypatch)
    worker = Worker(directory, "w")
    suggest = worker.study.suggest

    def late(attempt: Attempt) -> None:
        if attempt.number == 1:
            other, theirs = SweepStudy(directory), Lease(attempt.lease.path, "another")
            other.settle(replace(attempt, lease=theirs, study=other.trials), "killed")
        suggest(attempt)

    monkeypatch.setattr(worker.study, "suggest", late)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert worker.run() == 0
    assert lines(directory / "t0000" / "ends") == ["finished"]
    assert "t0000 interrupted" in capsys.readouterr().out


@pytest.mark.parametrize("own", [[], ["trainer.threads=7"]])
def test_threads_are_options_of_the_trial_unless_given(words: list[str], own: list[str]) -> None:
    one = ["n_trials=1", "workers=1", "sweep.confirm.top=0"]
    (given,) = lines(sweep([*words, *own, *one]) / "t0000" / "given")
    threads = [word for word in given.split() if "threads" in word]
    assert threads == (own or [f"trainer.threads={local.cores()}"])


def test_objective_follows_what_the_trials_measure(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made([*words, "metrics.scores=is"], monkeypatch)
    assert SweepStudy(directory).objective.direction == "maximize"


def test_worker_process_imports_no_torch(finished: tuple[Path, str]) -> None:
    directory, _ = finished
    code = (
        "import sys; from gansweep.sweep.worker import run_worker\n"
        f"assert run_worker({str(directory)!r}) == 0\n"
        "assert not {'torch', 'pytorch_lightning', 'wandb'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_worker_count_follows_gpus_then_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setattr(local, "_free_gib", lambda: 6.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    one = GpuShare()
    assert local.worker_count("auto", 100, one) == 4, "as far as the memory goes"
    assert local.worker_count("auto", 2, one) == 2, "no more than trials"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("PATH", "")  # without nvidia-smi, these are believed
    assert local.worker_count("auto", 100, one) == 2
    assert local.worker_count("auto", 100, one, uses_gpus=False) == 4
    assert local.worker_count("auto", 100, GpuShare(slots=3)) == 6
    assert local.worker_count("auto", 100, GpuShare(per_trial=2)) == 1


def test_each_worker_gets_its_share_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "cores", lambda: 8)
    assert local.LocalLauncher(tmp_path, 2).threads == 4


@pytest.mark.parametrize(
    ("dies", "message"),
    [("kill -SEGV $$", "killed by SIGSEGV; it said nothing"), ("echo no; exit 1", "work: no")],
)
def test_worker_that_always_dies_is_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str, message: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{dies}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(UserError, match=message):
        local.LocalLauncher(tmp_path, 1).run(lambda: None, every_seconds=0.01)


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
