"""The time that a sweep has left, worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sweep_studies
from optuna.trial import FrozenTrial, TrialState, create_trial

from gansweep.engine.launch import slurm
from gansweep.engine.launch.slurm_queue import Job
from gansweep.engine.lease.workers import WAITS_FOR_GPU, WorkerFile
from gansweep.engine.status import status_of
from gansweep.engine.study import SweepStudy
from gansweep.engine.time_left import makespan, seconds_left

RATE = "model.optimizer.generator.lr"
POPULATION = {
    "sampler": {"name": "population", "seed": 0, "startup_trials": 3},
    "population": {"every_kimg": 4, "share": 0.25, "factors": [0.5], "resample": 0},
}


@pytest.mark.parametrize(
    ("chains", "workers", "seconds"),
    [
        ([], 3, 0.0),
        ([[5.0]], 8, 5.0),
        ([[3.0]] * 3, 2, 6.0),
        ([[2.0, 2.0], [2.0]], 2, 4.0),
        ([[1.0] * 4] * 3, 2, 6.0),
        ([[1.0], [4.0], [1.0], [1.0]], 2, 4.0),
    ],
)
def test_runs_that_are_left_are_dealt_out_to_the_workers(
    chains: list[list[float]], workers: int, seconds: float
) -> None:
    assert makespan(chains, workers) == seconds


def make(directory: Path, **changes: Any) -> SweepStudy:
    confirm = {"top": 1, "per": "config", "seeds": 2}
    space = {RATE: "interval(0.1, 0.9)"}
    return sweep_studies.make(directory, **{"confirm": confirm, "space": space, **changes})


def add(study: SweepStudy, key: str, seconds: float, status: str = "finished", **more: Any) -> None:
    """A trial, or a part of it, that took so long."""
    states = {"pruned": TrialState.PRUNED, "interrupted": TrialState.FAIL}
    state = states.get(status, TrialState.COMPLETE)
    trial: FrozenTrial = create_trial(
        state=state,
        value=1.0 if state == TrialState.COMPLETE else None,
        user_attrs={"key": key, "attempt": 1, "kills": 0, "status": status, **more},
    )
    trial.datetime_complete = datetime.now()
    trial.datetime_start = trial.datetime_complete - timedelta(seconds=seconds)
    study.trials.add_trial(trial)


@contextmanager
def workers(study: SweepStudy, *doing: str) -> Iterator[None]:
    files = [WorkerFile(study.directory, f"w{i}") for i in range(len(doing))]
    for worker, what in zip(files, doing, strict=True):
        worker.note(what)
    try:
        yield
    finally:
        for worker in files:
            worker.leave()


def left(study: SweepStudy, workers: int = 1) -> float | None:
    seconds = seconds_left(study, workers)
    return None if seconds is None else round(seconds, 2)


def test_workers_that_wait_for_a_gpu_do_not_count(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=7)
    assert left(study) is None
    for i in range(3):
        add(study, f"t{i:04d}", 10.0)
    assert left(study) == 4 * 10 + 2 * 10
    assert left(study, workers=3) == 2 * 10 + 10
    with workers(study, "t0003", "t0004", WAITS_FOR_GPU, WAITS_FOR_GPU):
        assert left(study) == 2 * 10 + 10


def test_jobs_that_wait_in_slurm_will_work_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [Job(f"7_{i}", "PENDING", "Resources", "", "1:00") for i in range(3)]
    monkeypatch.setattr(slurm, "queue", lambda _: waiting)
    study = make(tmp_path / "s", n_trials=4, launcher={"name": "slurm"})
    add(study, "t0000", 10.0)
    status = status_of(tmp_path / "s")
    assert status.state == "queued"
    assert status.seconds_left == pytest.approx(10 + 10, abs=0.1)


def test_confirmation_takes_as_long_as_a_run_that_was_not_pruned(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=5)
    add(study, "t0000", 10.0)
    for i in range(1, 4):
        add(study, f"t{i:04d}", 2.0, "pruned")
    assert left(study) == (10 + 3 * 2) / 4 + 2 * 10


def test_confirmation_is_one_of_the_several_runs_of_a_trial(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, seeds=5)
    add(study, "t0000", 10.0)
    assert left(study) == 10 + 2 * 10 / 5


def test_earlier_attempts_count(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2)
    add(study, "t0000", 6.0, "interrupted")
    add(study, "t0000", 4.0, attempt=2)
    assert left(study) == 10 + 2 * 10
    add(study, "t0001", 7.0, "interrupted")
    queued = {"key": "t0001", "attempt": 2, "kills": 1}
    study.trials.add_trial(create_trial(state=TrialState.WAITING, user_attrs=queued))
    assert left(study) == 3 + 2 * 10


def test_generations_of_a_member_follow_one_another_and_a_confirmation_has_all_of_them(
    tmp_path: Path,
) -> None:
    study = make(tmp_path / "s", **POPULATION)
    for i in range(4):
        add(study, f"t{i:04d}-g00", 10.0, member=f"t{i:04d}", generation=0, **{"from": None})
    assert left(study) == 4 * 2 * 10 + 2 * 3 * 10
    assert left(study, workers=8) == 2 * 10 + 3 * 10
