"""How an attempt ends, as the study records it; one process at a time, under the storage's lock."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from gansweep.engine import failures
from gansweep.engine.lease.gpus import GpuShare
from gansweep.errors import UserError
from gansweep.judging.constraints import store_measured
from gansweep.judging.objective import Objective
from gansweep.judging.outcome import Measured, Outcome, outcome_of
from gansweep.judging.statuses import ENDED_WELL
from gansweep.metrics.protocol import REPEATABLE, Protocol, comparable
from gansweep.records.record import RunRecord
from gansweep.search.domains import Scalar
from gansweep.search.listed import POINT
from gansweep.search.population import UNIT
from gansweep.search.samplers import KNOWS_CONSTRAINTS
from gansweep.search.space import difference
from gansweep.search.trials import trials_of

if TYPE_CHECKING:
    from gansweep.engine.study import SweepStudy

# options of a run that are neither overrides of the sweep nor parameters
ADDED = ("trainer.threads", "trainer.devices", "group", "name", "seed")


def finish(sweep: SweepStudy, study: Study, trial: FrozenTrial, ended: str, reason: str) -> str:
    """Record in the study how an attempt ended; the status that it was given.

    study: that of the trials, or of the confirmation runs.   ended, reason: see SweepStudy.finish.
    """
    if trial.state.is_finished():  # another worker took us for dead and finished it
        return str(trial.user_attrs.get("status", "interrupted"))
    # If the next attempt is queued, the worker that did so died before it finished this one.
    is_last = any(t.number == trial.number for t in trials_of(study))
    records = sweep.records(trial.user_attrs["key"]) if is_last else []
    with contextlib.ExitStack() as claims:
        for record in records:  # their writer may only be suspended: from now on it is refused
            if record.directory.is_dir():
                claims.enter_context(record.claimed(take=True))
        outcome = _outcome(sweep, study, trial, records, ended, reason)
        return _record_end(sweep, study, trial, outcome, reason)


def _record_end(
    sweep: SweepStudy, study: Study, trial: FrozenTrial, outcome: Outcome, reason: str
) -> str:
    attrs: dict[str, Any] = {"status": outcome.status}
    if outcome.reason or reason:
        attrs["reason"] = outcome.reason or reason
    if outcome.failure:
        attrs |= {"failure": outcome.failure, "alike": outcome.alike}
    for key, value in attrs.items():
        sweep.storage.optuna.set_trial_user_attr(trial._trial_id, key, value)
    population = sweep.population if study is sweep.trials else None
    if outcome.measured:
        if population is not None:  # first: once it has ended, others may take it over
            population.keep_snapshot(sweep.directory, trial)
        study.tell(trial.number, [m.value for m in outcome.measured])
    else:
        state = TrialState.PRUNED if outcome.status == "pruned" else TrialState.FAIL
        study.tell(trial.number, state=state)
    if population is not None:
        population.drop_snapshots(sweep.directory, trials_of(study))
    if outcome.alike and study is sweep.trials:
        _stop_if_alike(sweep)
    return str(outcome.status)


def _outcome(
    sweep: SweepStudy,
    study: Study,
    trial: FrozenTrial,
    records: Sequence[RunRecord],
    ended: str,
    reason: str,
) -> Outcome:
    """How the attempt ended; if that is "interrupted", the next one is queued.

    records: of its runs; none if they belong to the next attempt.
    """
    if not records:
        return Outcome("interrupted", reason)
    outcome = outcome_of(records, _objectives(sweep, study))
    if outcome.status is not None and _lacks_params(sweep, study, trial):
        # the study lost how it ended: the next attempt takes the parameters from the record
        _queue_again(sweep, study, trial, trial.user_attrs["kills"])
        return Outcome("interrupted", reason)
    if study is sweep.trials and outcome.measured:
        refusal = _refused(sweep, outcome.measured) or _unlimited(sweep, trial, records)
        if refusal:
            return Outcome("failed", refusal, failure=failures.MISTAKE, alike=refusal)
    if ended == "pruned" and outcome.status is None:
        _record_pruned(records, reason)
        return Outcome("pruned", reason)
    if outcome.status is None:
        return _unfinished(sweep, study, trial, records, ended, reason)
    if _neighbour_took_memory(sweep, trial, outcome):
        return _unfinished(sweep, study, trial, records, "out_of_memory", outcome.reason)
    return outcome


def _objectives(sweep: SweepStudy, study: Study) -> list[Objective]:
    """The objectives by which a study's runs are read. A full name has the size of the trials'
    samples: runs that confirm with another size are read by the word of the score alone."""
    objectives = sweep.settings.objectives
    if study is sweep.trials or sweep.settings.confirm.get("n_fake") is None:
        return objectives
    tried: dict[str, Protocol] = sweep.trials.user_attrs.get("protocols") or {}
    words = [str(tried.get(str(i), {}).get("score", o.metric)) for i, o in enumerate(objectives)]
    return [replace(o, metric=word) for o, word in zip(objectives, words, strict=True)]


def _refused(sweep: SweepStudy, measured: Sequence[Measured]) -> str:
    """Why these scores cannot be ranked among those of the other trials; "" if they can."""
    first: dict[str, Protocol] = sweep.trials.user_attrs.get("protocols") or {}
    for position, m in enumerate(measured):
        other = first.get(str(position))
        if other is not None and not comparable(other, m.protocol):
            same = dict.fromkeys(REPEATABLE)
            return "measured by another protocol than the first trial: " + difference(
                {**other, **same}, {**m.protocol, **same}
            )
    if not first:
        protocols = {str(i): m.protocol for i, m in enumerate(measured)}
        sweep.trials.set_user_attr("protocols", protocols)
    return ""


def _unlimited(sweep: SweepStudy, trial: FrozenTrial, records: Sequence[RunRecord]) -> str:
    """Store by how much a trial breaks the constraints; why that is not known, or ""."""
    for_sampler = sweep.settings.sampler["name"] in KNOWS_CONSTRAINTS
    results = [record.result() or {} for record in records]
    return store_measured(sweep.trials, trial, sweep.settings.limits, results, for_sampler)


def _record_pruned(records: Sequence[RunRecord], reason: str) -> None:
    """Mark the runs that have begun and not ended as pruned."""
    for record in records:
        result = record.result() or {}
        if result.get("status") in ("running", "interrupted"):
            record.write_result({**result, "status": "pruned", "reason": reason})


def _unfinished(
    sweep: SweepStudy,
    study: Study,
    trial: FrozenTrial,
    records: Sequence[RunRecord],
    ended: str,
    reason: str,
) -> Outcome:
    """Queue another attempt at an unfinished trial, unless it was killed too often."""
    kills = trial.user_attrs["kills"] + (ended in failures.RETRIED)
    if ended == "itself" or kills > sweep.settings.max_retries:
        if ended != "itself":
            reason = f"killed {kills} times; the last time {reason}"
        record = next(r for r in records if (r.result() or {}).get("status") not in ENDED_WELL)
        failures.record_end(record, failures.RETRIED.get(ended, failures.BUG), reason)
        return outcome_of([record], sweep.settings.objectives)
    for record in records:
        failures.reopen(record)
    _queue_again(sweep, study, trial, kills)
    return Outcome("interrupted", reason)


def _lacks_params(sweep: SweepStudy, study: Study, trial: FrozenTrial) -> bool:
    """Whether a trial was trained with parameters that the study does not know."""
    if study is not sweep.trials or sweep.space.values_at(trial.params) is not None:
        return False
    return recorded_params(sweep, trial.user_attrs["key"]) is not None


def _queue_again(sweep: SweepStudy, study: Study, trial: FrozenTrial, kills: int) -> None:
    attrs = trial.user_attrs
    kept = {k: attrs[k] for k in ("key", "of", "seed", "source", POINT, *UNIT) if k in attrs}
    queued = {**kept, "attempt": attrs["attempt"] + 1, "kills": kills}
    # if it was killed while its parameters were drawn, the sampler draws the same again
    is_drawn = sweep.space.values_at(trial.params) is not None
    fixed = trial.params if is_drawn else trial.system_attrs.get("fixed_params", {})
    notes = {"fixed_params": fixed}
    study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=queued, system_attrs=notes))


def _neighbour_took_memory(sweep: SweepStudy, trial: FrozenTrial, outcome: Outcome) -> bool:
    """Whether a trial that ran out of memory may do better beside others, or alone."""
    return (
        outcome.failure == failures.OUT_OF_MEMORY
        and GpuShare.of(sweep.settings.launcher).slots > 1
        and trial.user_attrs["kills"] < sweep.settings.max_retries
    )


def _stop_if_alike(sweep: SweepStudy) -> None:
    """Stop the sweep if the first trials that ended all failed by one cause."""
    alike = failures.all_alike(trials_of(sweep.trials), sweep.settings.stop_after_alike)
    if alike:
        records = sweep.records(alike[0].user_attrs["key"])
        failed = (r for r in records if (r.result() or {}).get("status") == "failed")
        run_dir = next(failed, records[0]).directory
        failures.SweepHalt.after(alike, run_dir).save(sweep.directory)


def queue_failed(sweep: SweepStudy) -> None:
    """Queue trials that failed again: a user who gives the command again has corrected the cause.

    Of a list each, for none may be missing; of a sweep that was stopped those with a cause; else
    those that failed alike, if no trial fared better.
    """
    trials = trials_of(sweep.trials)
    if sweep.queue.listed is not None:
        again = [t for t in sweep.begun() if t.user_attrs.get("status") == "failed"]
    elif failures.is_stopped(sweep.directory):
        again = [t for t in trials if t.state.is_finished() and t.user_attrs.get("alike")]
    else:
        ended = sum(t.state.is_finished() for t in trials)
        again = failures.all_alike(trials, min(sweep.settings.stop_after_alike, ended))
    for trial in again:
        for record in sweep.records(trial.user_attrs["key"]):
            failures.reopen(record)
        _queue_again(sweep, sweep.trials, trial, kills=0)
    (sweep.directory / failures.STOPPED).unlink(missing_ok=True)


def recorded_params(sweep: SweepStudy, key: str) -> dict[str, Scalar] | None:
    """The parameters of a trial by its record, if the study has lost them; None: it was not run.
    Its scores must not be reported for other parameters.

    Raises: UserError if it was run in another search.
    """
    if sweep.population is not None:
        return None
    record = sweep.records(key)[0]
    result = record.result() or {}
    params = (result.get("sweep") or {}).get("params")
    if params is None:
        return None
    with contextlib.suppress(ValueError):
        fixed = sweep.space.pinned(params)
        if sweep.space.values_at(fixed) == params and _has_options(sweep, result):
            return fixed
    raise UserError(
        f"{record.directory} holds a run of another search, of which the study is gone. Move it "
        "away, or start a new sweep with another name=."
    )


def pin_recorded(sweep: SweepStudy, waiting: FrozenTrial) -> None:
    """Give a queued trial without parameters those of its record, if the study lost them.

    Raises: as `recorded_params`.
    """
    fixed = waiting.system_attrs.get("fixed_params", {})
    if sweep.space.values_at(fixed) is not None:
        return
    recorded = recorded_params(sweep, waiting.user_attrs["key"])
    if recorded is not None and recorded != fixed:
        sweep.storage.optuna.set_trial_system_attr(waiting._trial_id, "fixed_params", recorded)


def _has_options(sweep: SweepStudy, result: Mapping[str, Any]) -> bool:
    """Whether a run with this result had the sweep's options beside its parameters."""
    if "overrides" not in result:  # it failed before it was trained
        return True
    asked = {*sweep.settings.overrides, *sweep.space.overrides(result["sweep"]["params"])}
    differing = asked.symmetric_difference(result["overrides"] or ())
    return all(word.lstrip("+").partition("=")[0] in ADDED for word in differing)
