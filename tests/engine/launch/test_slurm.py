"""launcher=slurm on a real SLURM of this machine (scripts/slurm_cluster.sh), without torch."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from places import SLURM_CLUSTER
from processes import Processes, said_by, wait_until
from slurm_sweeps import assert_each_ended_once, kill_node, launcher_of, logs, on, words
from sweep_fakes import HELD_AT
from sweep_processes import (
    COMMAND,
    assert_refused,
    held,
    lines,
    steps_at_start,
    sweep,
    wait_until_held,
)

from gansweep.cli.main import main
from gansweep.cli.status import text_of
from gansweep.engine.launch import slurm
from gansweep.engine.launch.slurm import SlurmLauncher, seconds_of
from gansweep.engine.status import status_of
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.records.record import RunRecord

pytestmark = pytest.mark.usefixtures("importable_fakes", "no_job_left")


@pytest.fixture(autouse=True)
def _limited_first(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("slow"):
        request.getfixturevalue("under_a_limit")


@pytest.mark.slow
def test_array_works_on_several_nodes_with_a_gpu_for_each_worker(
    cluster: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "it's 100% mine"
    launcher = launcher_of(tmp_path, 4, f'runs_dir="{runs}"', "n_trials=8")
    each_has_one = [f"t{i:04d}" for i in range(4)]
    file = held(tmp_path, *each_has_one).rename(runs / "held")
    launcher.submit_missing()
    wait_until_held(launcher.directory, *each_has_one)
    file.unlink()
    assert launcher.run(lambda: None)
    assert_each_ended_once(launcher.directory, 8)
    places = re.findall(r"on (n\d), start 1, GPUs: (\d)", "".join(logs(launcher).values()))
    assert len(places) == len(set(places)) == 4, "no two workers on one GPU"
    assert len({node for node, _ in places}) >= 2
    assert "trainer.threads=1" in lines(launcher.directory / "t0000" / "given")[0]


@pytest.mark.slow
def test_no_more_workers_run_at_a_time_than_asked_and_none_is_submitted_twice(
    cluster: Path, tmp_path: Path
) -> None:
    launcher = launcher_of(tmp_path, 5, "launcher.max_running=2", "n_trials=6")
    file = held(tmp_path, "t0000", "t0001")
    other = SlurmLauncher(launcher.directory, launcher.options, 5)
    with ThreadPoolExecutor() as two_shells:
        submitted = list(two_shells.map(lambda each: each.submit_missing(), [launcher, other]))
    assert sorted(submitted) == [0, 5]
    wait_until_held(launcher.directory, "t0000", "t0001")
    running: list[int] = []

    def tick() -> None:
        # a job that is being cleared away holds no place any more
        running.append(sum(job.state == "RUNNING" for job in slurm.queue(launcher.directory)))
        file.unlink(missing_ok=True)

    assert launcher.run(tick)
    assert max(running) == 2
    assert_each_ended_once(launcher.directory, 6)
    wait_until(lambda: not slurm.queue(launcher.directory))  # who waited then is cancelled


@pytest.mark.slow
def test_preempted_worker_saves_and_is_requeued_by_slurm(cluster: Path, tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, 1, "n_trials=1", on("n1"))
    held(tmp_path, "t0000")
    launcher.submit_missing()
    wait_until_held(launcher.directory, "t0000")
    urgent = ["sbatch", "--partition=high", "--nodelist=n1", "--exclusive", "--output=/dev/null"]
    subprocess.run([*urgent, "--wrap=true"], check=True, stdout=subprocess.DEVNULL)
    launcher.run(lambda: None)
    assert steps_at_start(launcher.directory, "t0000") == [0, HELD_AT], "from the checkpoint"
    assert_each_ended_once(launcher.directory, 1)
    assert SweepStudy(launcher.directory).trials.trials[-1].user_attrs["kills"] == 0
    assert "DUE TO PREEMPTION" in logs(launcher)["0"]
    assert "start 2" in logs(launcher)["0"]
    assert "back into the queue" not in logs(launcher)["0"], "that is SLURM's affair"


@pytest.mark.slow
def test_trials_of_a_dead_node_are_taken_up_by_the_others(cluster: Path, tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, 4, "launcher.options=['--exclude=n3']")
    keys = [f"t{i:04d}" for i in range(4)]
    file = held(tmp_path, *keys)
    launcher.submit_missing()
    wait_until_held(launcher.directory, *keys)
    nodes = {job.node for job in slurm.queue(launcher.directory)}
    assert nodes == {"n1", "n2"}
    kill_node(cluster, "n1")
    file.unlink()
    try:
        assert launcher.run(lambda: None)
    finally:
        subprocess.run([SLURM_CLUSTER, "up", cluster], check=True, stdout=subprocess.DEVNULL)
    assert_each_ended_once(launcher.directory, 4)
    starts = [steps_at_start(launcher.directory, key) for key in keys]
    assert sorted(starts) == [[0], [0], [0, HELD_AT], [0, HELD_AT]]
    slurm.cancel(launcher.directory)


@pytest.mark.slow
def test_cancelled_task_stays_cancelled_and_others_take_its_trial_over(
    cluster: Path, tmp_path: Path
) -> None:
    launcher = launcher_of(tmp_path, 2, "n_trials=2", on("n2"))
    file = held(tmp_path, "t0000", "t0001")
    launcher.submit_missing()
    wait_until_held(launcher.directory, "t0000", "t0001")
    job = slurm.queue(launcher.directory)[0]
    subprocess.run(["scancel", job.id], check=True)
    wait_until(lambda: "interrupted" in statuses(launcher, "t0000", "t0001"))
    file.unlink()
    assert launcher.run(lambda: None)
    assert_each_ended_once(launcher.directory, 2)
    starts = [steps_at_start(launcher.directory, f"t000{i}") for i in range(2)]
    assert sorted(starts) == [[0], [0, HELD_AT]]
    # its own log: `run` submits a worker in its place, whose task has the same number
    log = launcher.directory / "workers" / f"slurm-{job.id}.log"
    assert log.read_text().count("start ") == 1


def statuses(launcher: SlurmLauncher, *keys: str) -> list[str | None]:
    """What the records say of trials that have ended, once or for ever."""
    results = [RunRecord(launcher.directory / key).result() or {} for key in keys]
    return [result.get("status") for result in results]


@pytest.mark.slow
def test_sweep_left_by_ctrl_c_goes_on_and_is_found_again(
    cluster: Path, tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = words(tmp_path, 2)
    directory = tmp_path / "runs" / "s"
    file = held(tmp_path, "t0000", "t0001")
    process = processes(*COMMAND, *given)
    wait_until_held(directory, "t0000", "t0001")
    process.send_signal(signal.SIGINT)
    out, error = said_by(process)
    assert process.returncode == 0, error
    assert f"gansweep status {directory}" in out
    assert f"gansweep cancel {directory}" in out
    assert len(slurm.queue(directory)) == 2
    submit = SlurmLauncher.submit_missing

    def submit_and_let_go(launcher: SlurmLauncher) -> int:
        many = submit(launcher)
        file.unlink()
        return many

    monkeypatch.setattr(SlurmLauncher, "submit_missing", submit_and_let_go)
    sweep(given)
    assert_each_ended_once(directory, 4)
    sweep(given)
    submitted = json.loads((directory / "workers" / "slurm.json").read_text())
    assert len(submitted) == 1, "not for those that run, nor for a finished sweep"
    assert all(steps_at_start(directory, f"t000{i}") == [0] for i in range(4))


@pytest.mark.slow
def test_cancel_saves_and_ends_all_jobs(cluster: Path, tmp_path: Path) -> None:
    launcher = launcher_of(tmp_path, 3, "launcher.max_running=2", "launcher.wait=false")
    held(tmp_path, "t0000", "t0001", "t0002")
    with pytest.raises(slurm.Detached, match="submitted"):
        launcher.run(lambda: None)
    wait_until_held(launcher.directory, "t0000", "t0001")
    assert "2 running, 1 waiting" in slurm.cancel(launcher.directory)
    wait_until(lambda: statuses(launcher, "t0000", "t0001") == ["interrupted"] * 2)
    assert launcher.submit_missing() == 3, "those that still save are none of the new"
    assert "cancelled in SLURM: job" in slurm.cancel(launcher.directory)
    wait_until(lambda: not slurm.queue(launcher.directory))
    assert "no job" in slurm.cancel(launcher.directory)


@pytest.mark.slow
def test_commands_show_and_cancel_the_jobs(
    cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = launcher_of(tmp_path, 3, "launcher.max_running=2")
    directory = launcher.directory
    held(tmp_path, "t0000", "t0001")
    launcher.submit_missing()
    wait_until_held(directory, "t0000", "t0001")
    shown = status_of(directory)
    assert shown.state == "running" and len(shown.workers) == 2
    assert {w["job"] for w in shown.workers} < {job["id"] for job in shown.jobs}
    jobs = "SLURM   1 pending (JobArrayTaskLimit), 2 running"
    wait_until(lambda: jobs in text_of(status_of(directory)))
    assert main(["cancel", str(directory)]) == 0
    out = capsys.readouterr().out
    assert "2 running, 1 waiting" in out and "No worker is at work" in out
    wait_until(lambda: not slurm.queue(directory))
    shown = status_of(directory)
    assert shown.state == "cancelled" and shown.trials["interrupted"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["launcher.partition=hihg"], "Invalid partition.*launcher.partition=.*high \\(3 nodes"),
        (["launcher.constraint=a100"], "Invalid feature.*launcher.constraint="),
        (["launcher.memory=100G"], "Memory.*memory="),
        (["workers=4000"], "Invalid job array.*workers="),
        (["launcher.gpus=9"], "not available.*gpus="),
        (["launcher.partition=high", "launcher.time=9-0"], "PartitionTimeLimit.*launcher.time="),
        (["launcher.setup=['module load cuda']"], "exit code 2.*\n.*setup line 'module load cuda'"),
        (["does=raise"], "first . trials failed alike.*out of ideas"),
        (
            ["launcher.options=['--output=/nowhere/%j.log']"],
            r"no log in .*: n\d.* share.*runs_dir=",
        ),
    ],
)
def test_workers_that_cannot_start_are_reported_with_the_fix(
    cluster: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(UserError, match="(?s)" + message):
        sweep(words(tmp_path, 2, *more))
    wait_until(lambda: not slurm.queue(tmp_path / "runs" / "s"))


def test_machine_without_slurm_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_refused(words(tmp_path, 2), "no SLURM here.*login node.*launcher=local")


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
        ("launcher.max_running=0", "not a whole number from 1"),
        ("workers=none", "not a whole number from 1"),
        ("launcher.options=--exclusive", r"options=--exclusive is not a list \(each text\)"),
    ],
)
def test_option_that_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, message: str
) -> None:
    monkeypatch.setattr(slurm, "require", lambda _: None)
    assert_refused(words(tmp_path, 2, more), message)
