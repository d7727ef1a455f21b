"""Trials read from PostgreSQL by one statement, with a row for each trial.

Optuna's own reading takes seven statements, and an object of SQLAlchemy for each value of a trial.
Every worker reads what all others report: with 64 workers that was most of the cost of a trial.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Container
from datetime import datetime, timezone
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState


class PostgresStorage(RDBStorage):
    """Optuna's storage in PostgreSQL. The trials are as Optuna reads them."""

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Raises: KeyError if there is no such trial."""
        from optuna.storages._rdb.models import TrialModel

        found = self._read(TrialModel.trial_id == trial_id)
        if not found:
            raise KeyError(f"There is no trial with the id {trial_id}.")
        return found[0]

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Optuna's cache asks for the trials that had not ended, and for those since the last that
        had. Raises: KeyError if there is no such study."""
        from optuna.storages._rdb.models import TrialModel
        from sqlalchemy import ARRAY, Integer, any_, literal

        # an array: the statement is the same for any number of trials, and the server plans it once
        included = literal(sorted(included_trial_ids), ARRAY(Integer))
        is_new = TrialModel.trial_id > trial_id_greater_than
        is_asked_for = is_new | (TrialModel.trial_id == any_(included))
        trials = self._read((TrialModel.study_id == study_id) & is_asked_for)
        if not trials:
            self.get_study_name_from_id(study_id)
        return [t for t in trials if states is None or t.state in states]

    def _read(self, condition: Any) -> list[FrozenTrial]:
        # one statement sees one state of the database: no transaction is needed
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return [_trial(row) for row in connection.execute(_rows().where(condition))]


@functools.cache
def _rows() -> Any:
    """The query for trials, in the order of their ids: one row each, its values as JSON."""
    from optuna.storages._rdb import models
    from sqlalchemy import func, select

    trials = models.TrialModel.__table__.c
    params = ("param_id", "param_name", "param_value", "distribution_json")

    def all_of(model: Any, *names: str) -> Any:
        columns = model.__table__.c
        rows = func.json_agg(func.json_build_array(*(columns[name] for name in names)))
        return (
            select(rows)
            .where(columns.trial_id == trials.trial_id)
            .scalar_subquery()
            .label(model.__tablename__)
        )

    return select(
        trials.trial_id,
        trials.number,
        trials.state,
        trials.datetime_start,
        trials.datetime_complete,
        all_of(models.TrialValueModel, "objective", "value", "value_type"),
        all_of(models.TrialParamModel, *params),
        all_of(models.TrialUserAttributeModel, "key", "value_json"),
        all_of(models.TrialSystemAttributeModel, "key", "value_json"),
        all_of(
            models.TrialIntermediateValueModel,
            "step",
            "intermediate_value",
            "intermediate_value_type",
        ),
    ).order_by(trials.trial_id)


def _trial(row: Any) -> FrozenTrial:
    values = sorted(row.trial_values or ())
    params = sorted(row.trial_params or ())  # in the order in which they were drawn
    distributions = {name: _distribution(text) for _, name, _, text in params}
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        values=[_number(*stored) for _, *stored in values] or None,
        datetime_start=_local(row.datetime_start),
        datetime_complete=_local(row.datetime_complete),
        # JSON has no floats: 1.0 is read as 1
        params={
            name: distributions[name].to_external_repr(float(value)) for _, name, value, _ in params
        },
        distributions=distributions,
        user_attrs={key: json.loads(text) for key, text in row.trial_user_attributes or ()},
        system_attrs={key: json.loads(text) for key, text in row.trial_system_attributes or ()},
        intermediate_values={
            step: _number(*stored) for step, *stored in row.trial_intermediate_values or ()
        },
        trial_id=row.trial_id,
    )


@functools.lru_cache(maxsize=10_000)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _number(value: float | None, kind: str) -> float:
    """A value as Optuna stores it. kind: FINITE, or which of the others it is."""
    if value is not None:
        return float(value)
    return {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}[kind]


def _local(stored: datetime | None) -> datetime | None:
    """A time as trials have it: without a zone, in that of this machine."""
    if stored is None or not _stores_utc():
        return stored
    return stored.replace(tzinfo=timezone.utc).astimezone().replace(tzinfo=None)


@functools.cache
def _stores_utc() -> bool:
    """Whether the times in the tables are in UTC, as since Optuna 5; else they are local."""
    from optuna.storages._rdb.models import TrialModel

    return hasattr(TrialModel, "_datetime_start_utc")
