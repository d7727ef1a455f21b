"""launcher=slurm on a real SLURM of this machine (scripts/slurm_cluster.sh), without torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sweep_fakes

from gansweep.cli import main
from gansweep.errors import UserError
from gansweep.record import RunRecord
from gansweep.sweep import run
from gansweep.sweep.launch import slurm
from gansweep.sweep.launch.slurm import SlurmLauncher, seconds_of
from gansweep.sweep.status import status_of
from gansweep.sweep.status_text import text_of
from gansweep.sweep.study import SweepStudy

CLUSTER = Path(__file__).parents[1] / "scripts" / "slurm_cluster.sh"
SWEEP = """
n_trials: 4
confirm: {top: 0}
space:
  model: choice(gan, wgan)
  lr: interval(1, 2)
"""
COMMAND = (
    "import sys, sweep_fakes; from gansweep.sweep.run import run_sweep\n"
    "run_sweep(sys.argv[1:], compose=sweep_fakes.compose, target='sweep_fakes.trial')"
)
needs_slurm = pytest.mark.skipif(
    not all(map(shutil.which, ("munged", "slurmctld", "slurmd", "sbatch"))),
    reason="SLURM is not installed: apt-get install munge slurm-wlm",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """The directory of a cluster; the commands of this process talk to it."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # short: sockets are in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        try:
            subprocess.run([CLUSTER, "up", folder], check=True, stdout=subprocess.DEVNULL)
            yield folder
        finally:
            subprocess.run([CLUSTER, "down", folder], check=True)
    assert not folder.exists()


@pytest.fixture(scope="module")
def limited(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> SlurmLauncher:
    """A sweep under a time limit, on a node of its own, that runs beside the other tests: SLURM
    looks at the limits every 30 s."""
    times = ["launcher.time=1", "launcher.warn_seconds=55", "pace=7"]
    launcher = made(tmp_path_factory.mktemp("limited"), 1, *times, "n_trials=1", on("n3"))
    launcher.submit_missing()
    return launcher


@pytest.fixture(autouse=True)
def _limited_first(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("slow"):
        request.getfixturevalue("limited")


def on(nodes: str) -> str:
    return f"launcher.options=['--nodelist={nodes}']"


def words(folder: Path, workers: int, *more: str) -> list[str]:
    """The words of a small sweep whose directory is FOLDER/runs/s."""
    own = folder / "own" / "sweep"
    own.mkdir(parents=True, exist_ok=True)
    (own / "mini.yaml").write_text(SWEEP)
    where = ["--config-dir", str(folder / "own"), f"runs_dir={folder / 'runs'}", "name=s"]
    jobs = ["launcher=slurm", f"workers={workers}", "launcher.cpus=1", "launcher.every_seconds=0.5"]
    return ["sweep=mini", *where, *jobs, *more]


def sweep(given: list[str]) -> Path:
    return run.run_sweep(given, compose=sweep_fakes.compose, target="sweep_fakes.trial")


def made(folder: Path, workers: int, *more: str) -> SlurmLauncher:
    """The launcher of a new sweep that has submitted nothing yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SlurmLauncher, "run", lambda *_: True)
        directory = sweep(words(folder, workers, *more))
    return SlurmLauncher(directory, SweepStudy(directory).settings.launcher, workers)


def wait_until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
    return found


def lines(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1] if path.exists() else []


def steps_at_start(directory: Path, key: str) -> list[int]:
    """How many steps a trial had behind it each time that it was started."""
    return [int(line.split()[1]) for line in lines(directory / key / "starts")]


def has_saved(launcher: SlurmLauncher, *keys: str) -> bool:
    paths = [launcher.directory / key / "checkpoints" / "last.pt" for key in keys]
    return all(path.exists() for path in paths)


def assert_each_ended_once(directory: Path, n_trials: int) -> None:
    study = SweepStudy(directory)
    assert study.finished()
    for i in range(n_trials):
        assert lines(directory / f"t{i:04d}" / "ends") == ["finished"]
    assert {t.user_attrs["kills"] for t in study.trials.trials} == {0} or n_trials


def logs(launcher: SlurmLauncher) -> dict[str, str]:
    """What each job wrote, by the number of its task."""
    found = sorted((launcher.directory / "workers").glob("slurm-*.log"))
    return {path.stem.split("_")[-1]: path.read_text() for path in found}


@needs_slurm
@pytest.mark.slow
def test_array_works_on_several_nodes_with_a_gpu_for_each_worker(
    cluster: Path, tmp_path: Path
) -> None:
    awkward = f'runs_dir="{tmp_path}/it\'s 100% mine"'
    directory = sweep(words(tmp_path, 4, awkward, "n_trials=8", "pace=0.1"))
    assert_each_ended_once(directory, 8)
    said = [path.read_text() for path in (directory / "workers").glob("slurm-*_?.log")]
    places = re.findall(r"on (n\d), start 1, GPUs: (\d)", "".join(said))
    assert len(places) == len(set(places)) == 4, "no two workers on one GPU"
    assert len({node for node, _ in places}) >= 2
    assert sum("finished" in text for text in said) >= 2
    assert "trainer.threads=1" in lines(directory / "t0000" / "given")[0]


@needs_slurm
@pytest.mark.slow
def test_no_more_workers_run_at_a_time_than_asked_and_none_is_submitted_twice(
    cluster: Path, tmp_path: Path
) -> None:
    launcher = made(tmp_path, 5, "launcher.max_running=2", "pace=0.2", "n_trials=6")
    other = SlurmLauncher(launcher.directory, launcher.options, 5)
    with ThreadPoolExecutor() as two_shells:
        submitted = list(two_shells.map(lambda each: each.submit_missing(), [launcher, other]))
    assert sorted(submitted) == [0, 5]
    running: list[int] = []

    def tick() -> None:
        # a job that is being cleared away holds no place any more
        running.append(sum(job.state == "RUNNING" for job in slurm.queue(launcher.directory)))

    assert launcher.run(tick)
    assert max(running) == 2
    assert_each_ended_once(launcher.directory, 6)
    wait_until(lambda: not slurm.queue(launcher.directory), 10)  # who waited then is cancelled


@needs_slurm
@pytest.mark.slow
def test_preempted_worker_saves_and_is_requeued_by_slurm(cluster: Path, tmp_path: Path) -> None:
    launcher = made(tmp_path, 1, "pace=0.5", "n_trials=1", on("n1"))
    launcher.submit_missing()
    wait_until(lambda: has_saved(launcher, "t0000"))
    urgent = ["sbatch", "--partition=high", "--nodelist=n1", "--exclusive", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=sleep 1"], check=True, stdout=subprocess.DEVNULL)
    launcher.run(lambda: None)
    first, second = steps_at_start(launcher.directory, "t0000")
    assert first == 0 < second, "from the checkpoint, not from zero"
    assert_each_ended_once(launcher.directory, 1)
    assert SweepStudy(launcher.directory).trials.trials[-1].user_attrs["kills"] == 0
    assert "DUE TO PREEMPTION" in logs(launcher)["0"]
    assert "start 2" in logs(launcher)["0"]
    assert "back into the queue" not in logs(launcher)["0"], "that is SLURM's affair"


@needs_slurm
@pytest.mark.slow
def test_trials_of_a_dead_node_are_taken_up_by_the_others(cluster: Path, tmp_path: Path) -> None:
    launcher = made(tmp_path, 4, "pace=0.5")
    launcher.submit_missing()
    wait_until(lambda: has_saved(launcher, "t0000", "t0001", "t0002", "t0003"))
    nodes = {job.node for job in slurm.queue(launcher.directory)}
    assert nodes == {"n1", "n2"}
    kill_node(cluster, "n1")
    try:
        assert launcher.run(lambda: None)
    finally:
        subprocess.run([CLUSTER, "up", cluster], check=True, stdout=subprocess.DEVNULL)
    assert_each_ended_once(launcher.directory, 4)
    starts = [steps_at_start(launcher.directory, f"t000{i}") for i in range(4)]
    assert sorted(map(len, starts)) == [1, 1, 2, 2]
    assert all(later > 0 for _, *rest in starts for later in rest)
    slurm.cancel(launcher.directory)


def kill_node(cluster: Path, node: str) -> None:
    """SIGKILL for a node's daemon, the steps that it started, and all below them."""
    log = str(cluster / f"slurmd-{node}.log")
    daemons = [pid for pid in processes() if log in open_files(pid)]
    doomed = [*daemons, *(pid for daemon in daemons for pid in descendants(daemon))]
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def open_files(pid: int) -> set[str]:
    try:
        return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:  # it has ended, or is another user's
        return set()


def descendants(pid: int) -> list[int]:
    children = [p for p in processes() if parent(p) == pid]
    return [*children, *(below for child in children for below in descendants(child))]


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@needs_slurm
@pytest.mark.slow
def test_cancelled_task_stays_cancelled_and_others_take_its_trial_over(
    cluster: Path, tmp_path: Path
) -> None:
    launcher = made(tmp_path, 2, "pace=0.4", "n_trials=2", on("n2"))
    launcher.submit_missing()
    wait_until(lambda: has_saved(launcher, "t0000", "t0001"))
    job = slurm.queue(launcher.directory)[0]
    subprocess.run(["scancel", job.id], check=True)
    assert launcher.run(lambda: None)
    assert_each_ended_once(launcher.directory, 2)
    starts = sorted((steps_at_start(launcher.directory, f"t000{i}") for i in range(2)), key=len)
    assert starts[0] == [0]
    assert starts[1][1] > 0
    assert logs(launcher)[job.id.split("_")[1]].count("start ") == 1


@needs_slurm
@pytest.mark.slow
def test_sweep_left_by_ctrl_c_goes_on_and_is_found_again(cluster: Path, tmp_path: Path) -> None:
    given = words(tmp_path, 2, "pace=0.3")
    directory = tmp_path / "runs" / "s"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *given], stdout=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: (directory / "t0000" / "starts").exists())
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert f"gansweep status {directory}" in out
    assert f"gansweep cancel {directory}" in out
    before = slurm.queue(directory)
    assert len(before) == 2
    sweep(given)
    assert_each_ended_once(directory, 4)
    sweep(given)
    submitted = json.loads((directory / "workers" / "slurm.json").read_text())
    assert len(submitted) == 1, "not for those that run, nor for a finished sweep"
    assert all(steps_at_start(directory, f"t000{i}") == [0] for i in range(4))


@needs_slurm
@pytest.mark.slow
def test_cancel_saves_and_ends_all_jobs(cluster: Path, tmp_path: Path) -> None:
    launcher = made(tmp_path, 3, "launcher.max_running=2", "pace=0.3", "launcher.wait=false")
    with pytest.raises(slurm.Detached, match="submitted"):
        launcher.run(lambda: None)
    wait_until(lambda: has_saved(launcher, "t0000", "t0001"))
    assert "2 running, 1 waiting" in slurm.cancel(launcher.directory)
    assert launcher.submit_missing() == 3, "those that still save are none of the new"
    for key in ("t0000", "t0001"):
        assert (RunRecord(launcher.directory / key).result() or {})["status"] == "interrupted"
    assert "job" in slurm.cancel(launcher.directory)
    wait_until(lambda: not slurm.queue(launcher.directory))
    assert "no job" in slurm.cancel(launcher.directory)


@needs_slurm
@pytest.mark.slow
def test_commands_show_and_cancel_the_jobs(
    cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = made(tmp_path, 3, "launcher.max_running=2", "pace=0.3")
    launcher.submit_missing()
    wait_until(lambda: has_saved(launcher, "t0000", "t0001"))
    shown = status_of(launcher.directory)
    assert shown.state == "running" and len(shown.workers) == 2
    assert {w["job"] for w in shown.workers} < {job["id"] for job in shown.jobs}
    assert "SLURM   1 pending (JobArrayTaskLimit), 2 running" in text_of(shown)
    assert main(["cancel", str(launcher.directory)]) == 0
    out = capsys.readouterr().out
    assert "2 running, 1 waiting" in out and "No worker is at work" in out
    wait_until(lambda: not slurm.queue(launcher.directory))
    shown = status_of(launcher.directory)
    assert shown.state == "cancelled" and shown.trials["interrupted"] == 2


@needs_slurm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["launcher.partition=hihg"], "Invalid partition.*launcher.partition=.*high \\(3 nodes"),
        (["launcher.constraint=a100"], "Invalid feature.*launcher.constraint="),
        (["launcher.memory=100G"], "Memory.*memory="),
        (["workers=5000"], "Invalid job array.*workers="),
        (["launcher.gpus=9"], "not available.*gpus="),
        (["launcher.partition=high", "launcher.time=9-0"], "PartitionTimeLimit.*launcher.time="),
        (["launcher.setup=['module load cuda']"], "exit code 2.*\n.*setup line 'module load cuda'"),
        (["does=raise"], "first . trials failed alike.*out of ideas"),
        (["launcher.options=['--output=/nowhere/%j.log']"], "left no log.*runs_dir="),
    ],
)
def test_workers_that_cannot_start_are_told_with_the_mend(
    cluster: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(UserError, match="(?s)" + message):
        sweep(words(tmp_path, 2, *more))
    wait_until(lambda: not slurm.queue(tmp_path / "runs" / "s"))


@needs_slurm
@pytest.mark.slow
def test_worker_near_its_time_limit_saves_and_goes_on_in_another_job(
    limited: SlurmLauncher,
) -> None:
    assert limited.run(lambda: None)
    first, second = steps_at_start(limited.directory, "t0000")
    assert first == 0 < second, "from the checkpoint, not from zero"
    assert_each_ended_once(limited.directory, 1)
    assert "saved before its time limit; back into the queue" in logs(limited)["0"]
    assert "start 2" in logs(limited)["0"]


def test_machine_without_slurm_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no SLURM here.*login node.*launcher=local"):
        sweep(words(tmp_path, 2))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [(90, 5400), ("90", 5400), ("1:30", 90), ("02:00:00", 7200), ("1-2", 93600)]
    + [("1-02:30", 95400), ("0-00:00:30", 30), ("two hours", None), ("1h", None)],
)
def test_time_limit_is_read_as_sbatch_does(limit: str | int, seconds: int | None) -> None:
    assert seconds_of(limit) == seconds


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("launcher.time=1h", "no time limit"),
        ("launcher.time=2", "leaves no time to train"),
        ("launcher.max_running=0", "no positive whole number"),
        ("workers=none", "no positive whole number"),
        ("launcher.options=--exclusive", "options=--exclusive is no list of words"),
    ],
)
def test_option_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, message: str
) -> None:
    monkeypatch.setattr(slurm, "require", lambda _: None)
    with pytest.raises(UserError, match=message):
        sweep([*words(tmp_path, 2), more])
    assert not (tmp_path / "runs").exists()
