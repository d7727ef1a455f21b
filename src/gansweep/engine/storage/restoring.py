"""Restore a study from the records: what a damaged study lacks is taken from the runs.

A trial that ended gets its result; one that did not is queued with the parameters that it
was trained with. Of a population's member the record has the settings of every generation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from gansweep.engine.attempt import start
from gansweep.engine.confirm import params_of
from gansweep.engine.reporting import protocols_in
from gansweep.engine.study import UNFINISHED, SweepStudy
from gansweep.judging.outcome import outcome_of
from gansweep.records.record import RunRecord
from gansweep.search.population import Population, units_of
from gansweep.search.trials import trials_of

TRIAL = re.compile(r"t(\d{4,})")  # the keys of trials, which are numbered without a gap
UNIT = re.compile(r"(t\d{4,})-g(\d+)")
LOST = "the study lost how it ended"


def restore(sweep: SweepStudy) -> list[int]:
    """Have a study that no worker uses follow the records. How many trials and confirmation runs it
    then knows to have ended that it did not.

    Killed at any moment, it can be begun again.
    """
    studies = (sweep.trials, sweep.confirms)
    before = [_count_ended(study) for study in studies]
    if sweep.population is not None:
        sweep.storage.exclusively(partial(_restore_units, sweep, sweep.population))
    sweep.storage.exclusively(partial(_finish_running, sweep))
    sweep.storage.exclusively(partial(_queue_trials, sweep))
    _finish_ended(sweep, sweep.trials)
    if sweep.trials_ended():
        sweep.storage.exclusively(partial(_queue_confirmations, sweep))
        _finish_ended(sweep, sweep.confirms)
    sweep.storage.flush()
    after = [_count_ended(study) for study in studies]
    return [now - then for now, then in zip(after, before, strict=True)]


def _count_ended(study: Study) -> int:
    return sum(trial.state not in UNFINISHED for trial in trials_of(study))


def _finish_running(sweep: SweepStudy) -> None:
    for study in (sweep.trials, sweep.confirms):
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            sweep.lease_path(study, trial.number).unlink(missing_ok=True)
            sweep.finish_dead(study, trial, "interrupted", LOST)


def _queue_trials(sweep: SweepStudy) -> None:
    """Queue every trial up to the last that has a record."""
    names = {p.parent.name.partition("-")[0] for p in sweep.directory.glob("t*/result.json")}
    last = max((int(name[1:]) for name in names if TRIAL.fullmatch(name)), default=-1)
    while (planned := sweep.planned_trial()) is not None:
        params, attrs = planned
        if not TRIAL.fullmatch(attrs["key"]) or int(attrs["key"][1:]) > last:
            return
        sweep.trials.enqueue_trial(params, user_attrs=attrs)


def _queue_confirmations(sweep: SweepStudy) -> None:
    known = {trial.user_attrs["key"] for trial in trials_of(sweep.confirms)}
    for c in sweep.confirmations():
        if c.name not in known and RunRecord(sweep.run_dir(c.name)).result() is not None:
            sweep.confirms.enqueue_trial({}, user_attrs=sweep.attrs_of(c))


def _finish_ended(sweep: SweepStudy, study: Study) -> None:
    """Finish each queued trial whose records say how it ended."""
    for waiting in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        names = sweep.run_names(waiting.user_attrs["key"])
        records = [RunRecord(sweep.run_dir(name)) for name in names]
        if outcome_of(records, sweep.settings.objectives).status is None:
            continue
        if sweep.population is not None and study is sweep.trials and not _is_at(waiting, records):
            continue
        attempt = sweep.storage.exclusively(partial(start, sweep, study, waiting, "repair"))
        sweep.suggest(attempt)
        sweep.report_record(attempt)
        sweep.finish(attempt, "itself")


def _is_at(unit: FrozenTrial, records: Sequence[RunRecord]) -> bool:
    """Whether a member's record speaks of this unit."""
    entry = (records[0].result() or {}).get("sweep") or {}
    return entry.get("key") == unit.user_attrs["key"]


def _restore_units(sweep: SweepStudy, population: Population) -> None:
    """Bring the units of every member to where its record is."""
    units = units_of(trials_of(sweep.trials))
    for member in population.members:
        record = RunRecord(sweep.run_dir(member))
        entry = (record.result() or {}).get("sweep") or {}
        found = UNIT.fullmatch(str(entry.get("key")))
        if found is None or not entry.get("schedule"):
            continue
        now = int(found[2])
        # a unit that was opened and not begun is decided again
        for generation in range(now if entry.get("opened") else now + 1):
            params, source = _settings_in(generation, population, entry["schedule"])
            attrs = population.attrs(member, generation, source)
            unit = units.get((member, generation))
            if unit is not None:
                if unit.state.is_finished() or not _is_lost(sweep, unit, generation < now):
                    continue
                _give_up(sweep, unit)
                attrs["attempt"] = unit.user_attrs["attempt"] + 1
            fixed = sweep.space.pinned(params)
            if generation == now:
                sweep.trials.enqueue_trial(fixed, user_attrs=attrs)
            else:
                value = _value_after(generation, population, sweep, record)
                _add_ended(sweep, fixed, attrs, value)


def _settings_in(
    generation: int, population: Population, schedule: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], str | None]:
    """The parameters of a member's generation, and whose weights it took over."""
    start = generation * population.every_kimg
    stretch = [s for s in schedule if s["kimg"] <= start + 1e-9][-1]
    return stretch["params"], stretch["from"] if stretch["kimg"] > start - 1e-9 else None


def _is_lost(sweep: SweepStudy, unit: FrozenTrial, is_over: bool) -> bool:
    """Whether an unfinished unit has ended, or was trained with what the study does not know."""
    if unit.state == TrialState.RUNNING:
        return is_over or params_of(unit, sweep.space) is None
    return is_over


def _give_up(sweep: SweepStudy, unit: FrozenTrial) -> None:
    storage = sweep.storage.optuna
    if unit.state == TrialState.WAITING:
        storage.set_trial_state_values(unit._trial_id, TrialState.RUNNING)
    storage.set_trial_user_attr(unit._trial_id, "status", "interrupted")
    storage.set_trial_user_attr(unit._trial_id, "reason", LOST)
    storage.set_trial_state_values(unit._trial_id, TrialState.FAIL)
    sweep.lease_path(sweep.trials, unit.number).unlink(missing_ok=True)


def _value_after(
    generation: int, population: Population, sweep: SweepStudy, record: RunRecord
) -> float | None:
    """The score with which a generation ended that others followed; None where it failed."""
    end = (generation + 1) * population.every_kimg
    history = record.history()
    protocols, judged_by = protocols_in(history), (record.result() or {}).get("objective")
    for row in history:
        # a batch may pass the end by a little
        if not end - 1e-6 <= row.get("kimg", 0.0) <= end + population.every_kimg / 10:
            continue
        name = sweep.objective.find(row, protocols, judged_by)
        if name is not None and isinstance(row[name], (int, float)):
            return float(row[name])
    return None


def _add_ended(
    sweep: SweepStudy, fixed: dict[str, Any], attrs: dict[str, Any], value: float | None
) -> None:
    trial = FixedTrial(fixed)
    sweep.space.suggest(trial)
    sweep.trials.add_trial(
        create_trial(
            state=TrialState.FAIL if value is None else TrialState.COMPLETE,
            values=None if value is None else [value],
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**attrs, "status": "diverged" if value is None else "paused"},
            system_attrs={"fixed_params": fixed},
        )
    )
