"""What SLURM's sbatch refuses, and the fix that follows its words."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_sweeps import launcher_of

from gansweep.engine.launch import slurm
from gansweep.engine.launch.slurm_queue import Job, NoAnswerError, ask_slurm
from gansweep.engine.lease.workers import CANCELLED
from gansweep.errors import UserError


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("sbatch: error: Invalid --mem specification", "memory="),
        ("sbatch: unrecognized option '--nonsense'", "Correct the words of launcher.options="),
        ("sbatch: error: invalid partition specified: gpuu", "Choose one with launcher.partition="),
        ("Batch job submission failed: Invalid node name specified", "launcher.options="),
        ("Batch job submission failed: Invalid qos specification", "launcher.options="),
        ("Batch job submission failed: Invalid feature specification", "launcher.constraint="),
        ("Invalid generic resource (gres) specification", "gpus="),
        ("Invalid account or account/partition combination specified", "launcher."),
        ("Job violates accounting/QOS policy (job submit limit, size or time)", "workers="),
        ("launch failed requeued held", "Give the same command again"),
    ],
)
def test_refusal_names_the_option_to_change(
    monkeypatch: pytest.MonkeyPatch, said: str, fix: str
) -> None:
    monkeypatch.setattr(slurm, "partitions", lambda: "")
    reported = str(slurm._refused(said))
    assert fix in reported.partition(". ")[2], reported


def test_job_that_an_administrator_holds_is_not_to_be_submitted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slurm, "partitions", lambda: "")
    assert slurm._fix("JobHeldAdmin") == ""


@pytest.mark.parametrize(
    "said",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: If munged is up, restart with --num-threads=10",
        "slurm_load_jobs error: Socket timed out on send/recv operation",
    ],
)
def test_absent_controller_is_reported_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    squeue_says(said, tmp_path, monkeypatch)
    with pytest.raises(NoAnswerError, match=r"does not answer \(.*Try again when its controller"):
        ask_slurm(["squeue"])


def test_partition_named_like_a_connection_is_refused_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue_says("sbatch: error: invalid partition specified: infiniconnect", tmp_path, monkeypatch)
    with pytest.raises(UserError, match="^sbatch: error: invalid partition") as refused:
        ask_slurm(["squeue"])
    assert not isinstance(refused.value, NoAnswerError)


def squeue_says(said: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "squeue"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_machine_outside_a_cluster_has_another_error_than_an_absent_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "squeue: fatal: Could not establish a configuration source"
    squeue_says(said, tmp_path, monkeypatch)
    with pytest.raises(UserError, match="no SLURM here.* on a login node") as refused:
        ask_slurm(["squeue"])
    assert not isinstance(refused.value, NoAnswerError)


def test_jobs_of_a_cancelled_sweep_are_cancelled_once_slurm_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "require", lambda _: None)
    launcher = launcher_of(tmp_path, 1)
    held = Job("7_0", "PENDING", "launch failed requeued held", "", "1:00")
    cancelled: list[Path] = []
    monkeypatch.setattr(slurm, "queue", lambda _: [held])
    monkeypatch.setattr(slurm, "cancel", cancelled.append)
    (launcher.directory / CANCELLED).write_text("{}")
    assert launcher.run(lambda: None) is False
    assert cancelled == [launcher.directory]


def test_workers_that_ended_as_the_sweep_grew_are_submitted_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"max_running": None, "every_seconds": 1}
    launcher, submitted = slurm.SlurmLauncher(tmp_path, options, 2), []
    monkeypatch.setattr(launcher, "_exit_codes", lambda jobs: {0})
    monkeypatch.setattr(launcher, "submit_missing", lambda: submitted.append(2))
    launcher._refuse_stuck([])
    assert submitted == [2]
    monkeypatch.setattr(launcher, "_written", lambda kind: [])
    with pytest.raises(UserError, match="are gone"):
        launcher._refuse_stuck([])
    assert submitted == [2]
