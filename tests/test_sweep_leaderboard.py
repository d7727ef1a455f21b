"""leaderboard.json: intervals, confirmations on a larger sample, several objectives."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gansweep.record import RunRecord
from gansweep.sweep.leaderboard import BEATEN, write_leaderboard
from gansweep.sweep.settings import Settings
from gansweep.sweep.space import Space
from gansweep.sweep.study import SweepStudy

Measure = Callable[[str, str], dict[str, Any]]


def study_of(directory: Path, n_trials: int, seeds: int, **objective: Any) -> SweepStudy:
    settings = Settings(
        name="s",
        n_trials=n_trials,
        budget_kimg=10.0,
        base_seed=0,
        space={"lr": "interval(1, 2)"},
        overrides=[],
        objective={"metric": "auto", "direction": "auto", "at": "last", **objective},
        sampler={"name": "random", "seed": 0, "startup_trials": 3},
        pruner={"name": "none", "warmup_fraction": 0, "startup_trials": 1, "reduction_factor": 2},
        confirm={"top": n_trials, "per": "config", "seeds": seeds},
        max_retries=1,
        runs_dir="runs",
    )
    return SweepStudy.create(directory, settings, Space.parse(settings.space))


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
        study.settle(attempt, "itself")
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
