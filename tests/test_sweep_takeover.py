"""Trials that change hands, and winners that change: nothing is told twice, nothing is stuck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from test_sweep_study import begin, finish, make, record

from gansweep.sweep.study import SweepStudy, latest


def drain(study: SweepStudy, value: float = 1.0) -> list[str]:
    """Finish everything that is to be claimed; the keys in their order."""
    keys = []
    while (attempt := study.claim("me")) is not None:
        study.suggest(attempt)
        record(study, attempt.key, "finished", value)
        study.settle(attempt, "itself")
        keys.append(attempt.key)
    return keys


def test_confirmations_of_who_wins_no_longer_do_not_stop_the_sweep(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, confirm={"top": 1, "per": "config", "seeds": 2})
    finish(study, value=3.0)
    finish(study, value=2.0)
    under_way = begin(study)  # t0001 is to be confirmed
    assert under_way.key == "c-t0001-s101"
    study.settle(under_way, "interrupted")
    more = make(tmp_path / "s", n_trials=3, confirm={"top": 1, "per": "config", "seeds": 2})
    assert finish(more, value=1.0) == "t0002"
    keys = drain(more)
    assert more.finished()
    assert {"c-t0002-s101", "c-t0002-s102"} <= set(keys)
    assert "c-t0001-s102" not in keys  # not begun, and of no winner


def test_fewer_confirmations_than_planned(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=2, confirm={"top": 2, "per": "config", "seeds": 3})
    finish(study, value=3.0)
    finish(study, value=2.0)
    study.settle(begin(study), "interrupted")
    fewer = make(tmp_path / "s", n_trials=2, confirm={"top": 1, "per": "config", "seeds": 1})
    drain(fewer)
    assert fewer.finished()
    assert all(t.state.is_finished() for t in latest(fewer.confirms))


def test_attempt_whose_successor_was_queued_before_its_worker_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two words of one settlement: the trial is told once all the same."""
    study = make(tmp_path / "s", n_trials=1, confirm={"top": 0, "per": "config", "seeds": 1})
    first = begin(study)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(first.study), "tell", die)
        with pytest.raises(KeyboardInterrupt):
            study.settle(first, "interrupted")
    first.lease.release()
    second = begin(study)  # of one that has looked for dead workers just before
    assert second.number == 2
    record(study, second.key, "finished", 1.0)
    study.settle(second, "itself")
    study._reaped = -1e9
    assert study.claim("me") is None
    told = [t.state for t in study.trials.trials]
    assert told == [TrialState.FAIL, TrialState.COMPLETE]
