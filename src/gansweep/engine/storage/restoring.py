"""Restore a study from the records of the runs.

A trial that ended gets its result. One that did not end is queued with the parameters that it was
trained with. The record of a population's member has the settings of every generation.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from gansweep.engine.attempt import start
from gansweep.engine.reporting import scores_in
from gansweep.engine.storage.journal_check import TRIAL
from gansweep.engine.study import UNFINISHED, SweepStudy
from gansweep.records.record import RunRecord
from gansweep.search.population import Population, units_of
from gansweep.search.trials import trials_of

UNIT = re.compile(r"(t\d{4,})-g(\d+)")
LOST = "the study lost how it ended"


def restore(sweep: SweepStudy) -> list[int]:
    """Make a study that no worker uses agree with the records. Returns how many trials and how many
    confirmation runs it learned to have ended. If it is killed, it can be started again.
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
    for attrs in sweep.planned_confirmations():
        if sweep.records(attrs["key"])[0].result() is not None:
            sweep.confirms.enqueue_trial({}, user_attrs=attrs)


def _finish_ended(sweep: SweepStudy, study: Study) -> None:
    """Finish each queued trial whose records say how it ended."""
    for waiting in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        key = waiting.user_attrs["key"]
        if sweep.outcome(key).status is None:
            continue
        is_unit = sweep.population is not None and study is sweep.trials
        if is_unit and _entry(sweep.records(key)[0]).get("key") != key:  # of another unit
            continue
        attempt = sweep.storage.exclusively(partial(start, sweep, study, waiting, "repair"))
        sweep.suggest(attempt)
        sweep.report_record(attempt)
        sweep.finish(attempt, "itself")


def _entry(record: RunRecord) -> dict[str, Any]:
    """What a run's record says of the sweep."""
    return (record.result() or {}).get("sweep") or {}


def _restore_units(sweep: SweepStudy, population: Population) -> None:
    """Bring the units of every member to the state of its record."""
    units = units_of(trials_of(sweep.trials))
    for member in population.members:
        record = RunRecord(sweep.run_dir(member))
        entry = _entry(record)
        found = UNIT.fullmatch(str(entry.get("key")))
        if found is None or not entry.get("schedule"):
            continue
        now = int(found[2])
        # a unit that was opened but not begun is decided again
        for generation in range(now if entry.get("opened") else now + 1):
            params, source = _settings_in(generation, population, entry["schedule"])
            attrs = population.attrs(member, generation, source)
            unit = units.get((member, generation))
            if unit is not None:
                # of a running one the study may lack the parameters it is trained with
                unknown = sweep.space.values_at(unit.params) is None
                lost = generation < now or (unit.state == TrialState.RUNNING and unknown)
                if unit.state.is_finished() or not lost:
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
    begin = generation * population.every_kimg
    segment = [s for s in schedule if s["kimg"] <= begin + 1e-9][-1]
    return segment["params"], segment["from"] if segment["kimg"] > begin - 1e-9 else None


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
    """The score at the end of a generation that is followed by another; None if it failed."""
    end = (generation + 1) * population.every_kimg
    late = end + population.every_kimg / 10  # the last batch may pass the end a little
    scores = scores_in(record, sweep.objective)
    return next((value for kimg, value in scores if end - 1e-6 <= kimg <= late), None)


def _add_ended(
    sweep: SweepStudy, fixed: dict[str, Any], attrs: dict[str, Any], value: float | None
) -> None:
    trial = FixedTrial(fixed)
    sweep.space.suggest(trial)
    failed = value is None
    sweep.trials.add_trial(
        create_trial(
            state=TrialState.FAIL if failed else TrialState.COMPLETE,
            value=value,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**attrs, "status": "diverged" if failed else "paused"},
            system_attrs={"fixed_params": fixed},
        )
    )
