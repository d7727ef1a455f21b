"""Constraints: bounds that a trial must keep to win."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from sweep_studies import (
    ONE,
    TWO,
    begin,
    finish_with,
    make,
    run_grid,
    sampler,
)

from gansweep.engine.confirm import front, winners
from gansweep.engine.leaderboard import write_leaderboard
from gansweep.engine.watch import Watch
from gansweep.errors import UserError
from gansweep.judging.constraints import Constraint, broken, met_by
from gansweep.search.trials import trials_of


def test_constraint_is_read_strictly_and_keeps_its_bound() -> None:
    at_most, at_least = Constraint.parse("seconds<=6e1"), Constraint.parse(" coverage >= .5 ")
    assert (str(at_most), str(at_least)) == ("seconds <= 60", "coverage >= 0.5")
    assert at_most.excess(60.0) == 0 == at_least.excess(0.5)
    assert at_most.excess(61.0) == 1
    assert at_least.excess(0.25) == 0.25
    for text in ("seconds < 60", "60 >= seconds", "seconds <= a minute", "seconds <= nan", 60):
        with pytest.raises(UserError, match="Write METRIC <= NUMBER"):
            Constraint.parse(text)


def test_trial_that_breaks_a_constraint_never_wins_and_the_board_says_so(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=3,
        space={"lr": "range(0, 3)"},
        sampler=sampler("grid"),
        objective=ONE,
        constraints=["seconds <= 60", "coverage >= 0.5"],
        confirm={"top": 3, "per": "config", "seeds": 1},
    )
    seen = {
        (0,): {"seconds": 81.2, "fid": 1.0, "coverage": 0.4},
        (1,): {"seconds": 60.0, "fid": 2.0, "coverage": 0.5},
        (2,): {"seconds": 10.0, "fid": 3.0, "coverage": 0.9},
    }
    run_grid(study, seen)
    by_lr = {t.params["lr"]: t for t in trials_of(study.trials)}
    assert broken(by_lr[0]) == "breaks seconds <= 60 (81.2), coverage >= 0.5 (0.4)"
    won = winners(trials_of(study.trials), study.space, study.settings)
    assert [t.params["lr"] for t in won] == [1, 2]
    rows = Watch(study).rows()
    best = Watch(study).best(rows)
    assert best is not None
    assert best.value == 2.0
    while (run := study.claim("me")) is not None:
        finish_with(study, run, fid=2.0)
    path = write_leaderboard(study)
    assert path is not None
    key = by_lr[0].user_attrs["key"]
    assert json.loads(path.read_text())["left_out"] == {key: broken(by_lr[0])}


def test_best_by_the_records_alone_meets_the_constraints_too() -> None:
    limits = [Constraint.parse("seconds <= 60")]
    assert met_by(limits, [{"seconds": 50.0}, {"seconds": 70.0}])  # the mean of two seeds
    assert not met_by(limits, [{"seconds": 61.0}])
    assert not met_by(limits, [{}])
    assert met_by([], [{}])


def test_samplers_that_know_constraints_get_them(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=2,
        sampler=sampler("tpe"),
        objective=ONE,
        constraints=["seconds <= 60"],
    )
    finish_with(study, begin(study), seconds=81.0, fid=1.0)
    finish_with(study, begin(study), seconds=50.0, fid=2.0)
    stored = [
        [v for k, v in t.system_attrs.items() if "constraints" in k] for t in study.trials.trials
    ]
    assert [np.ravel(values).tolist() for values in stored] == [[21.0], [-10.0]]
    assert study.trials.best_trial.values == [2.0]  # Optuna's dashboard agrees


NEEDS_4_5 = pytest.mark.skipif(
    tuple(map(int, optuna.__version__.split(".")[:2])) < (4, 5),
    reason="GP takes several objectives from Optuna 4.5 on",
)


@pytest.mark.parametrize("name", ["tpe", "qmc", pytest.param("gp", marks=NEEDS_4_5)])
def test_samplers_search_several_objectives_under_a_constraint(tmp_path: Path, name: str) -> None:
    study = make(
        tmp_path / "s",
        n_trials=8,
        space={"lr": "interval(0, 1)", "steps": "range(1, 9)"},
        sampler=sampler(name, startup=6),
        objective=TWO,
        constraints=["seconds <= 5"],
    )
    for _ in range(8):
        attempt = begin(study)
        at = attempt.params
        finish_with(study, attempt, seconds=at["steps"], fid=at["lr"], coverage=at["steps"] / 9)
    assert all(t.state == TrialState.COMPLETE for t in study.trials.trials)
    assert all(t.params["steps"] <= 4 for t in front(trials_of(study.trials), study.settings))


def test_trial_without_the_metric_of_a_constraint_fails_and_says_why(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=1, objective=ONE, constraints=["coverage >= 0.5"])
    assert finish_with(study, begin(study), fid=1.0) == "failed"
    (trial,) = study.trials.trials
    assert trial.user_attrs["reason"] == "no value of 'coverage', which sweep.constraints names"


def test_changed_constraints_are_another_search(tmp_path: Path) -> None:
    begin(make(tmp_path / "s", constraints=["seconds <= 60"])).lease.release()
    with pytest.raises(UserError, match="constraints: seconds <= 60 there, seconds <= 90 here"):
        make(tmp_path / "s", constraints=["seconds <= 90"])
