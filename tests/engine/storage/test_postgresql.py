"""Trials read from PostgreSQL by one statement, exactly as Optuna reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from gansweep.engine.storage.databases import open_postgresql
from gansweep.engine.storage.postgresql import PostgresStorage

Where = Callable[[str], str]
INFINITE = float("inf")
SPACE: dict[str, BaseDistribution] = {
    "z": FloatDistribution(0.0, 4.0),
    "model": CategoricalDistribution(["gan", None, 3, True]),
    "a": IntDistribution(1, 9, step=2),
    "lr": FloatDistribution(1e-5, 1e-2, log=True),
}


@pytest.fixture
def url(where: Where) -> str:
    return where("postgresql")


@pytest.fixture
def cached(url: str) -> Any:
    """Optuna's cache around our storage."""
    return open_postgresql(url, pool_size=1)


@contextmanager
def statements(storage: RDBStorage) -> Iterator[list[tuple[str, int]]]:
    """The statements that the storage sends meanwhile, and how many rows each answers with."""
    from sqlalchemy import event

    sent: list[tuple[str, int]] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append((statement, cursor.rowcount))

    event.listen(storage.engine, "after_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(storage.engine, "after_cursor_execute", note)


def study_in(storage: BaseStorage, name: str = "a", objectives: int = 1) -> Study:
    directions = ["minimize"] * objectives
    return optuna.create_study(storage=storage, study_name=name, directions=directions)


def test_trials_are_as_optuna_reads_them(cached: Any) -> None:
    study = study_in(cached)
    running = study.ask(SPACE)
    for step, value in ((9, 1.0), (2, float("nan")), (3, INFINITE), (4, -INFINITE), (5, 0.1)):
        running.report(value, step)
    running.set_user_attr("notes", {"name": 'Ü "quoted" \\', "of": [1, 2.5, None, INFINITE]})
    cached.set_trial_system_attr(running._trial_id, "fixed_params", {"lr": 1e-5})
    study.enqueue_trial({"z": 1.0}, user_attrs={"key": "t0001"})
    for value in (2.0, INFINITE, 1 / 3):
        study.tell(study.ask(SPACE), value)
    study.tell(study.ask(SPACE), state=TrialState.FAIL)
    whole = {"z": 1.0, "a": 3, "lr": 1e-4}
    spaces = {name: SPACE[name] for name in whole}
    study.add_trial(create_trial(value=1e300, params=whole, distributions=spaces))
    both = study_in(cached, "b", objectives=2)
    both.tell(both.ask(SPACE), [3.0, -INFINITE])

    for of in (study, both):
        ours = of.get_trials()
        theirs = RDBStorage._get_trials(cached._backend, of._study_id, None, set(), -1)
        # nan differs from itself
        assert [repr(vars(t)) for t in ours] == [repr(vars(t)) for t in theirs]
        assert [list(t.params) for t in ours] == [list(t.params) for t in theirs]
        for trial in ours:
            one = cached._backend.get_trial(trial._trial_id)
            assert repr(vars(one)) == repr(vars(trial))
            assert all(type(v) is float for v in trial.intermediate_values.values())


def test_reading_all_trials_is_one_statement_with_a_row_for_each_that_may_have_changed(
    url: str, cached: Any
) -> None:
    study = study_in(cached)
    curve = {step: 1.0 / step for step in range(1, 9)}
    for state in (TrialState.RUNNING, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL) * 3:
        study.add_trial(create_trial(state=state, intermediate_values=curve))
    reader = open_postgresql(url, pool_size=1)
    with statements(reader._backend) as sent:
        assert len(reader.get_all_trials(study._study_id)) == 12
        assert len(reader.get_all_trials(study._study_id)) == 12
    assert [rows for _, rows in sent] == [12, 6], "no statement and no row for each value"


def test_one_trial_is_one_statement(cached: Any) -> None:
    trial = study_in(cached).ask(SPACE)
    with statements(cached._backend) as sent:
        assert cached.get_trial(trial._trial_id).params == trial.params
    assert [rows for _, rows in sent] == [1]


def test_missing_trial_and_deleted_study_are_refused_as_by_optuna(cached: Any) -> None:
    study = study_in(cached)
    assert study.get_trials() == []
    with pytest.raises(KeyError):
        cached.get_trial(12345)
    cached._backend.delete_study(study._study_id)
    with pytest.raises(KeyError):
        study.get_trials()


def test_only_the_asked_for_states_are_read(tmp_path: Path, cached: Any) -> None:
    study = study_in(cached)
    study.tell(study.ask(), 1.0)
    study.ask()
    backend: PostgresStorage = cached._backend
    found = backend.get_all_trials(study._study_id, states=(TrialState.RUNNING,))
    assert [t.number for t in found] == [1]
