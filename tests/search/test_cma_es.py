"""CMA-ES in a sweep: a worker killed at any write of its state spoils no later trial."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial
from sweep_studies import ONE, begin, finish_with, make, sampler

from gansweep.engine.study import SweepStudy
from gansweep.search.cma_es import state_of, with_whole_states
from gansweep.search.trials import trials_of

VALLEY = {
    "lr": "tag(log, interval(1e-5, 1e-1))",
    "weight": "tag(log, interval(1e-2, 1e2))",
    "rate": "interval(0, 1)",
}
GENERATION = 7  # trials, in three dimensions
PARTS = ("cma:optimizer:0", "cma:optimizer:1", "cma:generation")


class KilledError(BaseException):
    """Stands for SIGKILL: no handler of ours sees it."""


def evolving(directory: Path) -> SweepStudy:
    """A sweep by CMA-ES whose next trial ends a generation."""
    study = make(
        directory, n_trials=40, space=VALLEY, sampler=sampler("cmaes"), objective=ONE, max_retries=9
    )
    for position in range(GENERATION + 1):
        finish_with(study, begin(study), fid=float(position))
    return study


def begin_killed_after(writes: int, study: SweepStudy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a trial in a worker that is killed once it has written so many parts of the state."""
    storage, written = study.storage.optuna, []
    real = storage.set_trial_system_attr

    def write(trial_id: int, key: str, value: Any) -> None:
        if key.startswith("cma:") and len(written) == writes:
            raise KilledError
        real(trial_id, key, value)
        written.extend([key] if key.startswith("cma:") else [])

    attempt = study.claim("me")
    assert attempt is not None
    with monkeypatch.context() as patch, contextlib.suppress(KilledError):
        patch.setattr(storage, "set_trial_system_attr", write)
        study.suggest(attempt)
    attempt.lease.release()  # as the kernel does
    assert tuple(written) == PARTS[:writes]


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_worker_killed_between_two_parts_of_the_state_poisons_no_later_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    study = evolving(tmp_path / "s")
    begin_killed_after(writes, study, monkeypatch)
    other = SweepStudy(tmp_path / "s")
    attempts = [begin(other) for _ in range(2)]  # the retry, and a trial of its own
    for number, attempt in enumerate(attempts):
        finish_with(other, attempt, fid=10.0 + number)
    for position in range(2 * GENERATION):
        finish_with(other, begin(other), fid=float(position))
    generations = [t.system_attrs["cma:generation"] for t in trials_of(other.trials)[1:]]
    assert generations == [i // GENERATION for i in range(len(generations))]


def test_retry_that_was_queued_with_a_part_of_the_state_is_not_read(tmp_path: Path) -> None:
    """As versions before this one queued them: the part counts for nothing."""
    study = evolving(tmp_path / "s")
    whole = begin(study)
    finish_with(study, whole, fid=1.0)
    drawn = study.trials.trials[whole.trial.number]
    assert set(PARTS) <= set(drawn.system_attrs)
    torn = {k: v for k, v in drawn.system_attrs.items() if k != "cma:optimizer:1"}
    study.trials.add_trial(
        create_trial(
            state=TrialState.COMPLETE,
            value=1.0,
            params=drawn.params,
            distributions=drawn.distributions,
            user_attrs={**drawn.user_attrs, "key": "t0009", "status": "finished"},
            system_attrs=torn,
        )
    )
    (shown,) = with_whole_states(trials_of(study.trials)[-1:])
    assert state_of(shown) == {}
    assert begin(study).key == "t0010"


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def test_state_in_a_study_of_somebody_else_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = evolving(tmp_path / "s")
    last = trials_of(study.trials)[-1]
    study.trials.add_trial(
        create_trial(
            state=TrialState.COMPLETE,
            value=1.0,
            params=last.params,
            distributions=last.distributions,
            user_attrs={**last.user_attrs, "key": "t0008", "status": "finished"},
            system_attrs={
                "cma:optimizer:0": pickle.dumps(Payload()).hex(),
                "cma:generation": 1,
            },
        )
    )
    assert begin(study).key == "t0009"
    assert not (tmp_path / "ran").exists()
