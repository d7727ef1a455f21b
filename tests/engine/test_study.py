"""The study of a sweep: claims, the budget, ends that are reported once, retries."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import optuna
import pytest
from sweep_studies import (
    SPACE,
    finish,
    make,
    record,
)

from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.records.record import RunRecord


def test_budget_is_not_overshot_by_many_claims(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    attempts = [study.claim("me") for _ in range(6)]
    assert [a.key for a in attempts if a is not None] == ["t0000", "t0001", "t0002", "t0003"]


def _claim_until_none(directory: Path) -> None:
    study = SweepStudy(directory)
    while (attempt := study.claim("w")) is not None and attempt.role == "trial":
        study.suggest(attempt)
        record(study, attempt.key, "finished", 1.0)
        study.finish(attempt, "itself")


def test_claims_of_several_processes_are_all_different(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=12, confirm={"top": 0, "per": "config", "seeds": 1})
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_claim_until_none, args=(tmp_path / "s",)) for _ in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [t.user_attrs["key"] for t in study.trials.trials] == [f"t{i:04d}" for i in range(12)]
    assert study.finished()


def test_changed_space_is_refused_with_the_difference_and_nothing_written(tmp_path: Path) -> None:
    finish(make(tmp_path / "s"))
    before = {p.name: p.read_bytes() for p in (tmp_path / "s").iterdir() if p.is_file()}
    with pytest.raises(UserError, match=r"space lr: interval\(1.0,2.0\) there.*name=s-2"):
        make(tmp_path / "s", space={**SPACE, "lr": "interval(1, 3)"})
    with pytest.raises(UserError, match="objective.metric: auto there, kid here"):
        make(tmp_path / "s", objective={"metric": "kid", "direction": "minimize", "at": "last"})
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "s").iterdir() if p.is_file()}


def test_search_that_never_began_gives_way_to_another(tmp_path: Path) -> None:
    make(tmp_path / "s")
    other = make(tmp_path / "s", objective={"metric": "is", "direction": "auto", "at": "last"})
    assert other.trials.direction.name == "MAXIMIZE"
    assert finish(other) == "t0000"
    with pytest.raises(UserError, match="another search"):
        make(tmp_path / "s")


def test_more_trials_continue_the_same_study(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=1)
    finish(study)
    longer = make(tmp_path / "s", n_trials=2)
    assert finish(longer) == "t0001"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("finished", optuna.trial.TrialState.COMPLETE),
        ("equilibrium", optuna.trial.TrialState.COMPLETE),
        ("pruned", optuna.trial.TrialState.PRUNED),
        ("diverged", optuna.trial.TrialState.FAIL),
        ("collapsed", optuna.trial.TrialState.FAIL),
        ("failed", optuna.trial.TrialState.FAIL),
    ],
)
def test_status_of_the_record_is_reported_and_kept(
    tmp_path: Path, status: str, state: optuna.trial.TrialState
) -> None:
    study = make(tmp_path / "s", n_trials=1)
    finish(study, status)
    (trial,) = study.trials.trials
    assert trial.state == state
    assert trial.user_attrs["status"] == status


def test_run_without_a_value_of_the_objective_has_failed(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=1)
    finish(study, "finished", value=None)
    (trial,) = study.trials.trials
    assert trial.user_attrs["status"] == "failed"
    assert "objective 'auto'" in trial.user_attrs["reason"]


def test_killed_trial_is_queued_again_with_its_parameters_until_the_retries_end(
    tmp_path: Path,
) -> None:
    study = make(tmp_path / "s", n_trials=1)
    first = study.claim("me")
    assert first is not None
    study.suggest(first)
    study.finish(first, "killed", "by SIGKILL")
    second = study.claim("me")
    assert second is not None
    study.suggest(second)
    assert (second.key, second.number, second.params) == (first.key, 2, first.params)
    assert study.finish(second, "killed", "by SIGKILL") == "failed"
    result = RunRecord(study.run_dir(first.key)).result()
    assert result is not None
    assert result["reason"] == "killed 2 times; the last time by SIGKILL"
    assert study.claim("me") is None


def test_interruption_is_no_kill(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=1)
    for number in (1, 2, 3, 4):
        attempt = study.claim("me")
        assert attempt is not None
        assert attempt.number == number
        assert study.finish(attempt, "interrupted") == "interrupted"


def _claim_and_wait(directory: Path) -> None:
    study = SweepStudy(directory)
    attempt = study.claim("w")
    assert attempt is not None
    study.suggest(attempt)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("ended", [False, True])
def test_trial_of_a_killed_worker_is_found_by_its_lease(tmp_path: Path, ended: bool) -> None:
    study = make(tmp_path / "s", n_trials=1, confirm={"top": 0, "per": "config", "seeds": 1})
    process = multiprocessing.get_context("spawn").Process(
        target=_claim_and_wait, args=(tmp_path / "s",)
    )
    process.start()
    process.join()
    if ended:  # its child wrote the result before the worker could tell it
        record(study, "t0000", "finished", 1.5)
        assert study.claim("me") is None
        assert study.trials.best_value == 1.5
    else:
        attempt = study.claim("me")
        assert attempt is not None
        assert (attempt.key, attempt.number) == ("t0000", 2)


def test_trial_asked_without_a_lease_is_taken_up_again(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=1)
    attempt = study.claim("me")
    assert attempt is not None
    attempt.lease.release()  # as if its worker had died between asking and leasing
    again = study.claim("me")
    assert again is not None
    assert (again.key, again.number) == ("t0000", 2)
