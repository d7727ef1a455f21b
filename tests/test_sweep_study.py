"""The study's file and locks, leases, the budget, the objective, the winners."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from gansweep.errors import UserError
from gansweep.record import RunRecord
from gansweep.sweep.attempt import Attempt
from gansweep.sweep.confirm import winners
from gansweep.sweep.leaderboard import write_leaderboard
from gansweep.sweep.locks import KernelLock, Lease, is_alive, share_lease
from gansweep.sweep.objective import Objective, direction_of_runs
from gansweep.sweep.pruning import Hyperband, make_pruner
from gansweep.sweep.settings import Settings
from gansweep.sweep.space import Space
from gansweep.sweep.storage import open_storage
from gansweep.sweep.study import SweepStudy, latest

SPACE: dict[str, Any] = {"model": "choice(gan, wgan)", "lr": "interval(1, 2)"}


def settings(**changes: Any) -> Settings:
    content: dict[str, Any] = {
        "name": "s",
        "n_trials": 4,
        "budget_kimg": 10.0,
        "base_seed": 0,
        "space": SPACE,
        "overrides": [],
        "objective": {"metric": "auto", "direction": "auto", "at": "last"},
        "sampler": {"name": "random", "seed": 0, "startup_trials": 3},
        "pruner": {
            "name": "none",
            "warmup_fraction": 0.2,
            "startup_trials": 1,
            "reduction_factor": 2,
        },
        "confirm": {"top": 2, "per": "config", "seeds": 2},
        "max_retries": 1,
        "runs_dir": "runs",
    }
    return Settings(**{**content, **changes})


def make(directory: Path, **changes: Any) -> SweepStudy:
    chosen = settings(**changes)
    return SweepStudy.create(directory, chosen, Space.parse(chosen.space))


def record(
    study: SweepStudy, key: str, status: str, value: float | None = None, **protocol: Any
) -> None:
    run = RunRecord.create(study.run_dir(key), "a: 1\n")
    last = {} if value is None else {"fid_x": {"value": value, "kimg": 10.0}}
    protocols = {"fid_x": {"score": "fid", "noise_seed": 3, "n_fake": 5, **protocol}}
    run.write_result({"status": status, "reason": "", "last": last, "protocols": protocols})


def begin(study: SweepStudy) -> Attempt:
    attempt = study.claim("me")
    assert attempt is not None
    study.suggest(attempt)
    return attempt


def finish(
    study: SweepStudy, status: str = "finished", value: float | None = 1.0, **protocol: Any
) -> str:
    attempt = begin(study)
    record(study, attempt.key, status, value, **protocol)
    study.settle(attempt, "itself")
    return attempt.key


def stored(folder: Path) -> optuna.storages.BaseStorage:
    return open_storage(folder, "journal").optuna


def test_torn_last_line_is_cut_and_the_study_stays_readable(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    study = optuna.create_study(storage=stored(tmp_path), study_name="a")
    study.ask()
    whole = journal.read_bytes()
    with open(journal, "ab") as file:
        file.write(b'{"op_code": 4, "worker_id": "killed in mid-li')
    again = optuna.load_study(storage=stored(tmp_path), study_name="a")
    again.ask()
    assert journal.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in journal.read_bytes().splitlines())
    assert len(optuna.load_study(storage=stored(tmp_path), study_name="a").trials) == 2


def test_lock_is_released_by_the_death_of_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from gansweep.sweep.locks import KernelLock\n"
        "with KernelLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    started = time.monotonic()
    with KernelLock(path):
        assert time.monotonic() - started < 1


def test_lease_lives_with_its_holder(tmp_path: Path) -> None:
    lease = Lease(tmp_path / "leases" / "trials-0", "w0")
    assert is_alive(lease.path)
    lease.release()
    assert not is_alive(lease.path)


def test_lease_of_another_host_dies_when_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansweep.sweep.locks.TOUCH_SECONDS", 3600)
    lease = Lease(tmp_path / "leases" / "trials-0", "w0")
    monkeypatch.setattr("gansweep.sweep.locks.kernel_id", lambda: "another host's")
    assert is_alive(lease.path)
    os.utime(lease.path, (0, 0))
    assert not is_alive(lease.path)


def test_lease_removed_while_its_lock_is_awaited_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(tmp_path / "leases" / "trials-0", "w0")
    monkeypatch.setattr("fcntl.flock", lambda *_: lease.path.unlink())
    assert share_lease(lease.path) is None


def test_lease_whose_stale_file_goes_while_its_lock_is_awaited_is_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leases" / "trials-0"
    lock, removals = fcntl.flock, []

    def slow_lock(descriptor: int, how: int) -> None:
        if not removals:  # whoever finds the stale file is quicker
            removals.append(path.unlink())
        lock(descriptor, how)

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", slow_lock)
        lease = Lease(path, "w0")
    assert is_alive(path)
    lease.release()


def test_budget_is_not_overshot_by_many_claims(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    attempts = [study.claim("me") for _ in range(6)]
    assert [a.key for a in attempts if a is not None] == ["t0000", "t0001", "t0002", "t0003"]


def _claim_until_none(directory: Path) -> None:
    study = SweepStudy(directory)
    while (attempt := study.claim("w")) is not None and attempt.role == "trial":
        study.suggest(attempt)
        record(study, attempt.key, "finished", 1.0)
        study.settle(attempt, "itself")


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
def test_status_of_the_record_is_told_and_kept(
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
    study.settle(first, "killed", "by SIGKILL")
    second = study.claim("me")
    assert second is not None
    study.suggest(second)
    assert (second.key, second.number, second.params) == (first.key, 2, first.params)
    assert study.settle(second, "killed", "by SIGKILL") == "failed"
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
        assert study.settle(attempt, "interrupted") == "interrupted"


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


def test_grid_tries_every_point_once(tmp_path: Path) -> None:
    entries = {"model": "choice(gan, wgan)", "lr": "range(0, 3)"}
    study = make(
        tmp_path / "s",
        n_trials=100,
        space=entries,
        sampler={"name": "grid", "seed": 0, "startup_trials": 0},
        confirm={"top": 0, "per": "config", "seeds": 1},
    )
    seen = []
    while (attempt := study.claim("me")) is not None:
        study.suggest(attempt)
        seen.append(tuple(attempt.params.values()))
        record(study, attempt.key, "finished", 1.0)
        study.settle(attempt, "itself")
    assert sorted(seen) == [(m, i) for m in ("gan", "wgan") for i in range(3)]
    assert study.finished()


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_proposals_follow_from_the_trial_not_from_the_worker(tmp_path: Path, name: str) -> None:
    sampler = {"name": name, "seed": 0, "startup_trials": 2}
    proposed = []
    for directory in ("a", "b"):
        make(tmp_path / directory, sampler=sampler)
        for _ in range(4):
            study = SweepStudy(tmp_path / directory)  # a worker that has just been started
            attempt = study.claim("me")
            assert attempt is not None
            study.suggest(attempt)
            proposed.append(attempt.params)
            record(study, attempt.key, "finished", attempt.params["lr"])
            study.settle(attempt, "itself")
    assert proposed[:4] == proposed[4:]
    assert len({json.dumps(p) for p in proposed}) == 4


@pytest.mark.parametrize("drawn", [0, 1, 2])
def test_interruption_changes_no_proposal(tmp_path: Path, drawn: int) -> None:
    """drawn: how many of its two parameters the first attempt had when it was killed."""
    plain = make(tmp_path / "plain")
    expected = [begin(plain).params for _ in range(4)]
    study = make(tmp_path / "s")
    first = study.claim("me")
    assert first is not None
    for parameter in study.space.parameters[:drawn]:
        parameter.domain.suggest(first.trial, parameter.name)
    study.settle(first, "killed")
    assert [begin(study).params for _ in range(4)] == expected


def test_parameters_outlive_an_attempt_that_did_not_come_to_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gansweep.sweep.study.make_sampler", lambda *_: optuna.samplers.RandomSampler()
    )
    study = make(tmp_path / "s", n_trials=1)
    first = begin(study)
    study.settle(first, "interrupted")
    second = study.claim("me")
    assert second is not None
    study.settle(second, "interrupted")
    assert begin(study).params == first.params


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_pruner_stops_what_lags(tmp_path: Path, pruner: str) -> None:
    words = {"name": pruner, "warmup_fraction": 0.1, "startup_trials": 1, "reduction_factor": 2}
    study = make(tmp_path / "s", n_trials=9, pruner=words)
    stopped = []
    for value in (1.0, 1.1, 9.0, 9.1, 9.2, 9.3, 9.4, 9.5):
        attempt = study.claim("me")
        assert attempt is not None
        study.suggest(attempt)
        stopped.append(any(study.report(attempt, kimg, value) for kimg in (1.0, 2.0, 4.0, 8.0)))
        record(study, attempt.key, "pruned" if stopped[-1] else "finished", value)
        study.settle(attempt, "itself")
    assert not stopped[0]
    assert any(stopped[2:])


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_variants_are_pruned_apart_where_the_best_of_each_is_confirmed(
    tmp_path: Path, pruner: str
) -> None:
    words = {"name": pruner, "warmup_fraction": 0.1, "startup_trials": 1, "reduction_factor": 2}
    ended = {}
    for per in ("config", "model"):
        study = make(
            tmp_path / per,
            n_trials=24,
            space={"model": "quick,slow", "lr": "range(0, 12)"},
            sampler={"name": "grid", "seed": 0, "startup_trials": 0},
            pruner=words,
            confirm={"top": 2, "per": per, "seeds": 1},
        )
        ended[per] = {"quick": 0, "slow": 0}
        for _ in range(24):
            attempt = begin(study)
            start = {"quick": 5.0, "slow": 50.0}[attempt.params["model"]] + attempt.params["lr"]
            stopped = any(study.report(attempt, k, start / k) for k in (1.0, 2.0, 4.0, 8.0))
            record(study, attempt.key, "pruned" if stopped else "finished", start)
            study.settle(attempt, "itself")
            ended[per][attempt.params["model"]] += not stopped
    assert ended["config"]["slow"] < ended["config"]["quick"]
    assert ended["config"]["slow"] < ended["model"]["slow"] < 12


@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_interruptions_of_one_trial_do_not_prune_another(tmp_path: Path, pruner: str) -> None:
    """The best trial is interrupted again and again; the second best is judged as if it were not:
    counted once, the best leaves room for it in the top third of six."""
    words = {"name": pruner, "warmup_fraction": 0.5, "startup_trials": 1, "reduction_factor": 3}
    judged = []
    for interruptions in (0, 3):
        study = make(tmp_path / str(interruptions), n_trials=6, pruner=words)
        for value in (1.0, 5.0, 6.0, 7.0, 8.0):
            for _ in range(interruptions if value == 1.0 else 0):
                attempt = begin(study)
                study.report(attempt, 5.0, value)
                study.settle(attempt, "interrupted")
            attempt = begin(study)
            study.report(attempt, 5.0, value)
            record(study, attempt.key, "finished", value)
            study.settle(attempt, "itself")
        last = begin(study)
        assert last.key == "t0005"
        judged.append(study.report(last, 5.0, 2.0))
    assert judged == [False, False]


def test_hyperband_keeps_a_retry_in_its_bracket_and_fills_every_bracket(tmp_path: Path) -> None:
    words = {"name": "hyperband", "warmup_fraction": 0.1, "startup_trials": 1}
    study = make(tmp_path / "s", n_trials=40, pruner={**words, "reduction_factor": 3})
    pruner = make_pruner(study.settings)
    assert isinstance(pruner, Hyperband)
    for _ in range(3):
        study.settle(begin(study), "interrupted")
    while study.claim("me"):
        pass
    brackets: dict[str, set[int]] = {}
    for trial in study.trials.trials:
        brackets.setdefault(trial.user_attrs["key"], set()).add(pruner.bracket(trial))
    assert len(study.trials.trials) == 43
    assert all(len(found) == 1 for found in brackets.values())
    assert set.union(*brackets.values()) == {0, 1, 2}  # from 1, 3 and 9 kimg of 10


def test_trials_with_other_batch_sizes_meet_at_the_same_step() -> None:
    chosen = settings(budget_kimg=100.0)
    assert chosen.step(10.0) == chosen.step(10.048) == chosen.step(10.24) == 10_000
    # batches of more than a hundredth of the budget: 3 of 512, 5 of 256
    short = settings(budget_kimg=10.0, evaluation_kimg=1.25)
    assert short.step(1.25) == short.step(1.536) == short.step(1.28) == 1250
    assert short.step(10.24) == 10_000


def test_run_scored_once_at_its_end_is_reported_at_its_budget() -> None:
    assert settings(budget_kimg=8.0, evaluation_kimg=10.0).step(8.064) == 8000


def test_retry_reports_the_earlier_curve_again(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=1)
    first = study.claim("me")
    assert first is not None
    study.suggest(first)
    run = RunRecord.create(study.run_dir("t0000"), "a: 1\n")
    run.append({"kimg": 1.0, "seconds": 1.0, "protocol": {"fid_x": {"score": "fid"}}})
    run.append({"kimg": 1.0, "seconds": 1.0, "fid_x": 5.0})
    run.append({"kimg": 2.0, "seconds": 2.0, "fid_x": None})
    study.settle(first, "killed")
    second = study.claim("me")
    assert second is not None
    study.replayed(second)
    assert study.trials.trials[1].intermediate_values == {1000: 5.0}


def test_objective_finds_its_score_by_protocol_or_name() -> None:
    protocols = {"fid_x_2k": {"score": "fid"}, "kid_x_2k": {"score": "kid"}}
    names = dict.fromkeys([*protocols, "kimg"])

    def found(metric: str, direction: str = "auto") -> str | None:
        words = {"metric": metric, "direction": direction, "at": "last"}
        return Objective.parse(words).find(names, protocols)

    assert found("auto") == "fid_x_2k"
    assert found("kid") == found("kid_x_2k") == "kid_x_2k"
    assert found("is") is None
    auto = Objective.parse({"metric": "auto", "direction": "auto", "at": "last"})
    assert auto.find(names, protocols, default="kid_x_2k") == "kid_x_2k"
    assert auto.find({"reverse_kl_2k": 1}, {"reverse_kl_2k": {"score": "reverse_kl"}}) is not None


def test_a_list_is_no_value_to_optimise() -> None:
    words = {"metric": "mode_counts", "direction": "minimize", "at": "last"}
    result = {
        "last": {"mode_counts_1k": {"value": [3, 0, 7], "kimg": 1.0}},
        "protocols": {"mode_counts_1k": {"score": "mode_counts"}},
    }
    assert Objective.parse(words).read(result) is None


def test_objective_knows_the_better_end() -> None:
    def direction(metric: str) -> str:
        words = {"metric": metric, "direction": "auto", "at": "last"}
        return Objective.parse(words).direction

    assert direction("auto") == direction("fid_50k_train") == "minimize"
    assert direction("modes") == direction("high_quality_2k") == "maximize"
    with pytest.raises(UserError, match="Did you mean 'fid'"):
        direction("fidd")


def test_direction_of_auto_is_that_of_what_the_runs_are_judged_by(tmp_path: Path) -> None:
    assert direction_of_runs(None, ["is"]) == "maximize"
    assert direction_of_runs(None, ["is", "kid", "modes"]) == "minimize"
    assert direction_of_runs(None, None) == direction_of_runs([], ["modes"]) == "auto"
    assert direction_of_runs(["psnr"], ["fid"]) == "maximize"
    study = make(tmp_path / "s", n_trials=1)
    finish(study, direction="maximize")
    (trial,) = study.trials.trials
    assert trial.state == optuna.trial.TrialState.FAIL
    assert "fid_x is to be maximized, and this sweep minimizes" in trial.user_attrs["reason"]


def test_winners_are_the_best_of_each_group_and_never_unfinished(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=6,
        space={"model": "a,b,c", "lr": "range(0, 2)"},
        sampler={"name": "grid", "seed": 0, "startup_trials": 0},
    )
    for _ in range(6):
        attempt = study.claim("me")
        assert attempt is not None
        study.suggest(attempt)
        value = {"a": 10.0, "b": 20.0, "c": 0.0}[attempt.params["model"]] + attempt.params["lr"]
        record(study, attempt.key, "pruned" if value < 5 else "finished", value)
        study.settle(attempt, "itself")

    def values(**confirm: Any) -> list[float | None]:
        chosen = settings(confirm={"seeds": 1, **confirm})
        return [t.value for t in winners(latest(study.trials), study.space, chosen)]

    assert values(top=3, per="config") == [10.0, 11.0, 20.0]
    assert values(top=3, per="model") == [10.0, 20.0]
    assert values(top=1, per="lr") == [10.0]


def test_scores_of_another_protocol_than_the_first_are_refused(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, confirm={"top": 2, "per": "config", "seeds": 2})
    finish(study, value=5.0, noise_seed=1)
    finish(study, value=1.0, noise_seed=2, n_fake=200)
    first, second = study.trials.trials
    assert first.value == 5.0
    assert second.state == optuna.trial.TrialState.FAIL
    assert second.user_attrs["reason"].endswith("first trial: n_fake: 5 there, 200 here")
    for seed in (101, 102):
        assert finish(study, value=float(seed), n_fake=seed - 96) == f"c-t0000-s{seed}"
    path = write_leaderboard(study)
    assert path is not None
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["values"], row["n_failed"]) == ([101.0], 1)


def test_leaderboard_says_what_has_no_row_and_why(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=4,
        space={"model": "a,b,c,d,e", "lr": 1},
        sampler={"name": "grid", "seed": 0, "startup_trials": 0},  # c, b, a, e, and d is left
        confirm={"top": 2, "per": "model", "seeds": 2},
    )
    for model, value in (("c", 3.0), ("b", 1.0), ("a", 2.0), ("e", None)):
        attempt = begin(study)
        assert attempt.params["model"] == model
        record(study, attempt.key, "pruned" if value is None else "finished", value)
        study.settle(attempt, "itself")
    while (run := study.claim("me")) is not None:
        record(study, run.key, "finished" if "t0001" in run.key else "diverged", 1.0)
        study.settle(run, "itself")
    path = write_leaderboard(study)
    assert path is not None
    content = json.loads(path.read_text())
    assert [row["trial"] for row in content["rows"]] == ["t0001"]
    assert content["left_out"] == {
        "a": "no run with a fresh seed of t0002 ended with a score: 2 diverged",
        "c": "its best trial is not among the 2 that were confirmed",
        "d": "no trial took this value",
        "e": "none of its trials ran to its end: 1 pruned",
    }


def test_confirmation_takes_fresh_seeds_and_other_noise(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s", n_trials=1, base_seed=101, confirm={"top": 1, "per": "config", "seeds": 2}
    )
    finish(study)
    runs = [study.claim("me"), study.claim("me")]
    assert study.claim("me") is None
    assert [r.key for r in runs if r is not None] == ["c-t0000-s102", "c-t0000-s103"]
    for run in runs:
        assert run is not None
        seed = run.key[-3:]
        assert run.runs[0].overrides[-2:] == [f"seed={seed}", f"metrics.noise_seed={seed}"]
        assert run.role == "confirm"
        record(study, run.key, "finished", 2.0)
        study.settle(run, "itself")
    assert study.finished()


def test_leaderboard_ranks_means_and_puts_failures_last(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, confirm={"top": 2, "per": "config", "seeds": 2})
    finish(study, value=1.0)
    finish(study, value=2.0)
    while (run := study.claim("me")) is not None:
        fails = run.key == "c-t0000-s102"
        value = {"c-t0000-s101": 1.0, "c-t0001-s101": 3.0, "c-t0001-s102": 5.0}.get(run.key)
        record(study, run.key, "diverged" if fails else "finished", value)
        study.settle(run, "itself")
    path = write_leaderboard(study)
    assert path is not None
    first, second = json.loads(path.read_text())["rows"]
    assert (first["trial"], first["mean"], first["n_seeds"]) == ("t0001", 4.0, 2)
    assert first["std"] == pytest.approx(2**0.5)
    assert first["selection_value"] == 2.0
    assert first["protocol"] == {"score": "fid", "n_fake": 5}
    assert (second["trial"], second["n_failed"], second["std"]) == ("t0000", 1, None)
