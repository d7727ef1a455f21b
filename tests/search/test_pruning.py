"""The pruners of a sweep: what they stop, against what, and what they spare."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sweep_studies import (
    NO_CONFIRMATION,
    ONE,
    begin,
    finish_with,
    make,
    pruner,
    record,
    record_scores,
    sampler,
    settings,
)

from gansweep.engine.attempt import Attempt
from gansweep.engine.lease.workers import WorkerFile
from gansweep.engine.study import SweepStudy
from gansweep.engine.worker import Worker
from gansweep.records.record import RunRecord
from gansweep.search.pruning import Hyperband, PeerPruner, make_pruner
from gansweep.search.trials import trials_of


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
        study.finish(attempt, "itself")
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
            study.finish(attempt, "itself")
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
                study.finish(attempt, "interrupted")
            attempt = begin(study)
            study.report(attempt, 5.0, value)
            record(study, attempt.key, "finished", value)
            study.finish(attempt, "itself")
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
        study.finish(begin(study), "interrupted")
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
    study.finish(first, "killed")
    second = study.claim("me")
    assert second is not None
    study.report_record(second)
    assert study.trials.trials[1].intermediate_values == {1000: 5.0}


@pytest.mark.parametrize(("value", "escapes"), [(9.0, False), (0.5, True)])
def test_trial_killed_before_it_heard_the_pruner_stays_below_its_rung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, escapes: bool
) -> None:
    """One in three passes the rung at 1 kimg: 0.5 is the best of three, 9 is not."""
    changes = {"pruner": pruner("asha"), "objective": ONE, "confirm": NO_CONFIRMATION}
    study = make(tmp_path / "s", n_trials=3, **changes)
    for done in (1.0, 2.0):
        attempt = begin(study)
        study.report(attempt, 1.0, done)
        finish_with(study, attempt, fid=done)
    killed = begin(study)
    run = RunRecord.create(study.run_dir("t0002"), "a: 1\n")
    run.append({"kimg": 0.5, "seconds": 1.0, "protocol": {"fid_x": {"score": "fid"}}})
    run.append({"kimg": 0.5, "seconds": 1.0, "fid_x": value})
    run.append({"kimg": 1.0, "seconds": 1.0, "fid_x": value})
    run.write_result({"status": "running", "last": {}})
    study.report(killed, 0.5, value)
    assert study.report(killed, 1.0, value) is not escapes
    killed.lease.release()
    trained: list[str] = []

    def train_all(self: Worker, attempt: Attempt) -> tuple[str, str]:
        trained.append(attempt.key)
        return "interrupted", ""

    monkeypatch.setattr(Worker, "_train_all", train_all)
    worker = Worker(study.directory, "w")
    worker.file = WorkerFile(study.directory, "w")
    again = worker.study.claim("w")
    assert again is not None and again.number == 2
    worker._attempt(again)
    assert trained == (["t0002"] if escapes else [])
    assert (run.result() or {})["status"] == ("running" if escapes else "pruned")
    assert study.trials_ended() is not escapes


def test_asha_follows_the_rungs_worked_out_by_hand(tmp_path: Path) -> None:
    """One in three passes a rung, at least one; rungs stand at 1, 3 and 9 kimg of 10.

    At 1 kimg: 5 first; 4 best of 2; 6 not best of 3; 3 best of 4; 7 not best of 5; 2 among the
    best two of 6; 3.5 not; 2.5 among the best two of 8, and so is 1 of 9, whose best three count.
    At 3 kimg each keeps its value, and 5, 4, 3, 2, 2.5, 1 come in this order: 2.5 is not the best
    of five.
    """
    study = make(tmp_path / "s", n_trials=9, pruner=pruner("asha"), objective=ONE)
    stopped_at: list[float | None] = []
    for value in (5.0, 4.0, 6.0, 3.0, 7.0, 2.0, 3.5, 2.5, 1.0):
        attempt = begin(study)
        kimg = (1.0, 2.0, 3.0, 5.0, 9.0, 10.0)
        stopped_at.append(next((k for k in kimg if study.report(attempt, k, value)), None))
        finish_with(study, attempt, fid=value)
    assert stopped_at == [None, None, 1.0, None, 1.0, None, 1.0, 3.0, None]


def seeds_run(study: SweepStudy, mean: float, draw: random.Random) -> int:
    """Run a trial with values around `mean`, until its pruner stops it; how many of its seeds."""
    attempt = begin(study)
    for count, run in enumerate(attempt.runs, start=1):
        record_scores(study, run.name, fid=draw.gauss(mean, 1.0))
        if study.report_seed(attempt, run) and run is not attempt.runs[-1]:
            study.finish(attempt, "pruned")
            return count
    study.finish(attempt, "itself")
    return len(attempt.runs)


def test_wilcoxon_stops_the_bad_early_and_the_good_never() -> None:
    chosen = settings(seeds=8, pruner=pruner("wilcoxon"), objective=ONE)
    ran: dict[str, list[int]] = {"first": [], "alike": [], "bad": [], "good": []}
    for repeat in range(20):
        draw = random.Random(repeat)
        study = optuna.create_study(pruner=PeerPruner(make_pruner(chosen), lambda _: None))
        for kind, mean in (("first", 10.0), ("alike", 10.0), ("bad", 14.0), ("good", 7.0)):
            study.enqueue_trial({}, user_attrs={"key": kind})
            trial, values = study.ask(), []
            while len(values) < 8 and not trial.should_prune():
                values.append(draw.gauss(mean, 1.0))
                trial.report(values[-1], len(values))
            whole = len(values) == 8
            state = TrialState.COMPLETE if whole else TrialState.PRUNED
            study.tell(trial, statistics.fmean(values) if whole else None, state)
            ran[kind].append(len(values))
    assert statistics.fmean(ran["bad"]) < 4.5  # four losses in a row are what p < 0.1 takes
    assert ran["good"] == [8] * 20
    assert statistics.fmean(ran["alike"]) > 6.5


def test_wilcoxon_compares_a_variant_with_the_best_of_its_own(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=4,
        seeds=6,
        space={"model": "gan,wgan", "lr": "1,2"},
        sampler=sampler("grid"),
        pruner=pruner("wilcoxon"),
        objective=ONE,
        confirm={"top": 2, "per": "model", "seeds": 1},
    )
    means = {"gan": 5.0, "wgan": 50.0}
    for _ in range(4):
        model = begin_model(study)
        assert seeds_run(study, means[model], random.Random(1)) == 6


def begin_model(study: SweepStudy) -> str:
    """The model of the trial that comes next."""
    planned = study.queue.next_trial(trials_of(study.trials))
    assert planned is not None
    return str(planned[0]["model"])


def test_trial_equal_to_the_best_is_not_stopped_by_wilcoxon(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, seeds=6, pruner=pruner("wilcoxon"), objective=ONE)
    for _ in range(2):
        attempt = begin(study)
        for position, run in enumerate(attempt.runs):
            record_scores(study, run.name, fid=float(position))
            assert not study.report_seed(attempt, run)
        study.finish(attempt, "itself")
