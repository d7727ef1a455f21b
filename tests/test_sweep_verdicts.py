"""What pruners may say of a trial, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from sweep_studies import begin, make, record

from gansweep.sweep.study import SweepStudy, latest

BUDGET = 9
# rungs of successive halving at 1, 3 and 9 kimg: the last one is the end
OPTIONS = {"warmup_fraction": 1 / BUDGET, "startup_trials": 1, "reduction_factor": 3}


def sweep(directory: Path, pruner: str, **changes: Any) -> SweepStudy:
    return make(
        directory,
        budget_kimg=float(BUDGET),
        pruner={"name": pruner, **OPTIONS},
        n_trials=9,
        confirm={"top": 0, "per": "config", "seeds": 1},
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
    study.settle(attempt, "itself")
    return kimg


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_trial_is_not_stopped_at_its_end(tmp_path: Path, pruner: str) -> None:
    study = sweep(tmp_path / "s", pruner)
    # the best until the last value, which is the worst of all so far
    ended = [run(study, [*[9.0 - trial] * (BUDGET - 1), 10.0 + trial]) for trial in range(9)]
    assert ended == [BUDGET] * 9
    values = [t.values for t in latest(study.trials) if t.state == TrialState.COMPLETE]
    assert values == [[10.0 + trial] for trial in range(9)]
