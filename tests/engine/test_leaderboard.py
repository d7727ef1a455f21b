"""Winners, their confirmations, and leaderboard.json: ranks, intervals, who has no row and why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from sweep_studies import begin, finish, make, record, settings

from gansweep.engine.confirm import winners
from gansweep.engine.leaderboard import BEATEN, write_leaderboard
from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord
from gansweep.search.trials import trials_of

Measure = Callable[[str, str], dict[str, Any]]


def study_of(directory: Path, n_trials: int, seeds: int, **objective: Any) -> SweepStudy:
    return make(
        directory,
        n_trials=n_trials,
        space={"lr": "interval(1, 2)"},
        objective={"metric": "auto", "direction": "auto", "at": "last", **objective},
        confirm={"top": n_trials, "per": "config", "seeds": seeds},
    )


def score(name: str, value: float, n_fake: int = 5) -> dict[str, Any]:
    """What a run's result says of one score, which judges the run."""
    protocol = {"score": "fid", "direction": "minimize", "n_fake": n_fake}
    last = {name: {"value": value, "kimg": 10.0}}
    return {"last": last, "protocols": {name: protocol}, "objective": name}


def run_all(study: SweepStudy, measure: Measure) -> dict[str, Any]:
    """Every run of the sweep, with what `measure` gives for (trial, "" or a seed)."""
    while (attempt := study.claim("me")) is not None:
        study.suggest(attempt)
        key, _, seed = attempt.key.removeprefix("c-").partition("-s")
        record = RunRecord.create(study.run_dir(attempt.key), "a: 1\n")
        record.write_result({"status": "finished", "reason": "", **measure(key, seed)})
        study.finish(attempt, "itself")
    path = write_leaderboard(study)
    assert path is not None
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_a_row_has_the_95_percent_interval_of_its_mean(tmp_path: Path) -> None:
    fresh = {"": 1.0, "101": 2.0, "102": 4.0, "103": 9.0}
    study = study_of(tmp_path / "s", 1, seeds=3)
    (row,) = run_all(study, lambda _, seed: score("fid_5", fresh[seed]))["rows"]
    # 5 ± 4.302653 * sqrt(13 / 3): Student's t of 2 degrees of freedom
    assert row["interval"] == pytest.approx([5 - 8.956686, 5 + 8.956686])
    assert row["std"] == pytest.approx(13**0.5) and "objectives" not in row


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    (row,) = run_all(study_of(tmp_path / "s", 1, seeds=1), lambda *_: score("fid_5", 2.0))["rows"]
    assert row["interval"] is None and row["std"] is None


@pytest.mark.parametrize("metric", ["auto", "fid", "fid_5"])
def test_winners_are_ranked_by_the_larger_sample_that_confirmed_them(
    tmp_path: Path, metric: str
) -> None:
    def measure(key: str, seed: str) -> dict[str, Any]:
        better = {"t0000": 3.0, "t0001": 1.0}[key]
        return score("fid_50", better, n_fake=50) if seed else score("fid_5", 4 - better)

    content = run_all(study_of(tmp_path / "s", 2, seeds=2, metric=metric), measure)
    assert [(row["trial"], row["mean"]) for row in content["rows"]] == [
        ("t0001", 1.0),
        ("t0000", 3.0),
    ]
    first = content["rows"][0]
    assert (first["score"], first["protocol"]["n_fake"]) == ("fid_50", 50)
    assert first["selection_value"] == 3.0 and content["left_out"] == {}


def test_what_was_confirmed_by_another_protocol_than_the_first_has_no_row(tmp_path: Path) -> None:
    def measure(key: str, seed: str) -> dict[str, Any]:
        value = 1.0 if key == "t0000" else 2.0
        other = seed and key == "t0001"
        return score("fid_5", value, n_fake=6 if other else 5)

    content = run_all(study_of(tmp_path / "s", 2, seeds=2), measure)
    assert [row["trial"] for row in content["rows"]] == ["t0000"]
    assert list(content["left_out"]) == ["t0001"]


def test_several_objectives_make_rows_of_the_pareto_front(tmp_path: Path) -> None:
    fids = {"t0000": 10.0, "t0001": 20.0, "t0002": 30.0}
    times = {"t0000": 30.0, "t0001": 10.0, "t0002": 5.0}

    def measure(key: str, seed: str) -> dict[str, Any]:
        # fresh seeds find t0002 as slow as t0001, and so no better in anything
        seconds = times["t0001"] if seed and key == "t0002" else times[key]
        return {**score("fid_5", fids[key] + (seed == "102")), "seconds": seconds}

    study = study_of(tmp_path / "s", 3, seeds=2, metric=["fid", "seconds"])
    content = run_all(study, measure)
    assert [(row["rank"], row["trial"]) for row in content["rows"]] == [(1, "t0000"), (2, "t0001")]
    quality, time = content["rows"][1]["objectives"]
    assert (quality["metric"], quality["mean"], quality["values"]) == ("fid_5", 20.5, [20.0, 21.0])
    # 20.5 ± 12.7062 * sqrt(0.5) / sqrt(2): Student's t of 1 degree of freedom
    assert quality["interval"] == pytest.approx([20.5 - 6.3531, 20.5 + 6.3531])
    assert (time["metric"], time["mean"], time["std"]) == ("seconds", 10.0, 0.0)
    assert content["rows"][1]["mean"] == 20.5
    assert content["left_out"] == {"t0002": BEATEN}


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
        study.finish(attempt, "itself")

    def values(**confirm: Any) -> list[float | None]:
        chosen = settings(confirm={"seeds": 1, **confirm})
        return [t.value for t in winners(trials_of(study.trials), study.space, chosen)]

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
        study.finish(attempt, "itself")
    while (run := study.claim("me")) is not None:
        record(study, run.key, "finished" if "t0001" in run.key else "diverged", 1.0)
        study.finish(run, "itself")
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
        study.finish(run, "itself")
    assert study.finished()


def test_leaderboard_ranks_means_and_puts_failures_last(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, confirm={"top": 2, "per": "config", "seeds": 2})
    finish(study, value=1.0)
    finish(study, value=2.0)
    while (run := study.claim("me")) is not None:
        fails = run.key == "c-t0000-s102"
        value = {"c-t0000-s101": 1.0, "c-t0001-s101": 3.0, "c-t0001-s102": 5.0}.get(run.key)
        record(study, run.key, "diverged" if fails else "finished", value)
        study.finish(run, "itself")
    path = write_leaderboard(study)
    assert path is not None
    first, second = json.loads(path.read_text())["rows"]
    assert (first["trial"], first["mean"], first["n_seeds"]) == ("t0001", 4.0, 2)
    assert first["std"] == pytest.approx(2**0.5)
    assert first["selection_value"] == 2.0
    assert first["protocol"] == {"score": "fid", "n_fake": 5}
    assert (second["trial"], second["n_failed"], second["std"]) == ("t0000", 1, None)
