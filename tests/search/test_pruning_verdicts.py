"""What pruners may say of a trial, and when."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from sweep_studies import NO_CONFIRMATION, begin, make, record

from gansweep.engine.study import SweepStudy
from gansweep.search.trials import trials_of

BUDGET = 9
# rungs of successive halving at 1, 3 and 9 kimg: the last one is the end
OPTIONS = {"warmup_fraction": 1 / BUDGET, "startup_trials": 1, "reduction_factor": 3}


def sweep(directory: Path, pruner: str, **changes: Any) -> SweepStudy:
    return make(
        directory,
        budget_kimg=float(BUDGET),
        pruner={"name": pruner, **OPTIONS},
        n_trials=9,
        confirm=NO_CONFIRMATION,
        **changes,
    )


def run(study: SweepStudy, curve: list[float]) -> int:
    """Report a trial's values at 1, 2, ... kimg; at which it ended."""
    attempt = begin(study)
    for kimg, value in enumerate(curve, start=1):
        if study.report(attempt, float(kimg), value):
            record(study, attempt.key, "pruned")
            break
    else:
        record(study, attempt.key, "finished", value)
    study.finish(attempt, "itself")
    return kimg


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_trial_is_not_stopped_at_its_end(tmp_path: Path, pruner: str) -> None:
    study = sweep(tmp_path / "s", pruner)
    # the best until the last value, which is the worst of all so far
    ended = [run(study, [*[9.0 - trial] * (BUDGET - 1), 10.0 + trial]) for trial in range(9)]
    assert ended == [BUDGET] * 9
    values = [t.values for t in trials_of(study.trials) if t.state == TrialState.COMPLETE]
    assert values == [[10.0 + trial] for trial in range(9)]


def curves(count: int) -> list[list[float]]:
    """Falling towards a level of their own, with noise."""
    draw = random.Random(0)
    levels = [draw.uniform(5, 20) for _ in range(count)]
    return [[level + 10 / k + draw.gauss(0, 1) for k in range(1, 10)] for level in levels]


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_maximising_mirrors_minimising(tmp_path: Path, pruner: str) -> None:
    ended = {}
    for direction, sign in (("minimize", 1.0), ("maximize", -1.0)):
        objective = {"metric": "fid_x", "direction": direction, "at": "last"}
        study = sweep(tmp_path / direction, pruner, objective=objective)
        ended[direction] = [run(study, [sign * v for v in curve]) for curve in curves(9)]
    assert ended["maximize"] == ended["minimize"]
    assert 0 < sum(kimg < BUDGET for kimg in ended["minimize"]) < 8


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_signed_rank_test_pairs_equal_seeds(tmp_path: Path, sign: float) -> None:
    """Seeds differ by 100 times as much as settings do: only pairs can tell them apart."""
    direction = "minimize" if sign > 0 else "maximize"
    objective = {"metric": "fid_x", "direction": direction, "at": "last"}
    study = sweep(tmp_path / "s", "wilcoxon", seeds=8, objective=objective)
    luck = [300.0, 0.0, 700.0, 100.0, 500.0, 200.0, 600.0, 400.0]
    ran = []
    for worse_by in (1.0, 2.0, 0.0):
        attempt = begin(study)
        for place, one in enumerate(attempt.runs):
            record(study, one.name, "finished", sign * (luck[place] + worse_by + place / 100))
            if study.report_seed(attempt, one) and one is not attempt.runs[-1]:
                study.finish(attempt, "pruned")
                break
        else:
            study.finish(attempt, "itself")
        ran.append(place + 1)
    assert ran == [8, 4, 8]


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_score_that_is_no_number_is_no_reason_to_stop(tmp_path: Path, pruner: str) -> None:
    """What comes of it is for training to say; the scores after it count as ever."""
    study = sweep(tmp_path / "s", pruner)
    for trial in range(8):
        assert run(study, [math.nan, 9.0 - trial, math.nan, *[9.0 - trial] * 6]) == BUDGET
    assert run(study, [*[math.nan] * 5, *[99.0] * 4]) < BUDGET


def test_no_rung_stands_before_the_first_score(tmp_path: Path) -> None:
    """Two rungs passed at one score would let one in nine pass, where one in three is meant."""
    options = {**OPTIONS, "warmup_fraction": 0.0}
    study = make(
        tmp_path / "s",
        budget_kimg=9.0,
        evaluation_kimg=3.0,
        n_trials=30,
        pruner={"name": "asha", **options},
        confirm=NO_CONFIRMATION,
    )
    draw = random.Random(1)
    levels = [draw.uniform(1, 9) for _ in range(30)]
    passed = []
    for level in levels:
        attempt = begin(study)
        passed.append(not study.report(attempt, 3.0, level))
        record(study, attempt.key, "finished", level)
        study.finish(attempt, "itself")
    order = [sorted(levels[: k + 1]).index(levels[k]) for k in range(30)]
    assert passed == [place < max(1, (k + 1) // 3) for k, place in enumerate(order)]
