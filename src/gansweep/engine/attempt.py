"""One attempt at a trial or at a confirmation run: how it starts, and which runs it consists of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from gansweep.engine.confirm import confirmation
from gansweep.engine.finish_attempt import pin_recorded
from gansweep.engine.lease.locks import Lease
from gansweep.records.record import RunRecord
from gansweep.search.population import PlannedRun, open_record
from gansweep.search.samplers import make_sampler
from gansweep.search.settings import Settings
from gansweep.search.trials import trials_of

if TYPE_CHECKING:
    from gansweep.engine.study import SweepStudy


@dataclass
class Attempt:
    """One try at a key, claimed by this process: an Optuna trial of its own."""

    role: str  # trial | confirm
    key: str  # t0007, or c-t0007-s101
    number: int  # 1 for the first attempt at this key
    params: dict[str, Any]
    runs: list[PlannedRun]  # one after the other; empty until the parameters are known
    trial: Trial
    study: Study
    lease: Lease
    worker: str = ""  # the name of the worker that runs it
    taken_from: str | None = None  # the source of enqueued parameters; None: the sampler
    reported: set[int] = field(default_factory=set)
    schedule: list[dict[str, Any]] | None = None  # which settings hold from which kimg on
    score: str | None = None  # the objective's full name, once the run has named it

    def sweep_entry(self, settings: Settings, run: PlannedRun, directory: Path) -> dict[str, Any]:
        """What the record of `run` keeps of the sweep in `directory`."""
        objectives = [
            {"metric": o.metric, "direction": o.direction, "at": o.at} for o in settings.objectives
        ]
        entry = {
            "name": settings.name,
            "directory": str(directory.resolve()),
            "key": self.key,
            "params": self.params,
            "role": self.role,
            "attempt": self.number,
            "worker": self.worker,
            "seed": run.seed,
            "objective": objectives[0],
        }
        several = {"objectives": objectives} if len(objectives) > 1 else {}
        limits = [asdict(limit) for limit in settings.limits]
        limited = {"constraints": limits} if limits else {}
        scheduled = {} if self.schedule is None else {"schedule": self.schedule}
        enqueued = {} if self.taken_from is None else {"source": self.taken_from}
        return {**entry, **several, **limited, **scheduled, **enqueued}


def run_names(key: str, seeds: int) -> list[str]:
    """The runs of trial `key`: one of its own name, or one for each seed."""
    return [key] if seeds == 1 else [f"{key}-s{i}" for i in range(seeds)]


def start(sweep: SweepStudy, study: Study, waiting: FrozenTrial, worker: str) -> Attempt:
    """Start a queued attempt for a worker; call it under the storage's lock.

    study: that of the trials, or of the confirmation runs.
    """
    lease = Lease(sweep.lease_path(study, waiting.number), worker)
    try:
        if study is sweep.trials:
            return _of_trial(sweep, waiting, worker, lease)
        return _of_confirmation(sweep, waiting, worker, lease)
    except BaseException:
        lease.release()
        raise


def _of_trial(sweep: SweepStudy, waiting: FrozenTrial, worker: str, lease: Lease) -> Attempt:
    key = waiting.user_attrs["key"]
    number = int(key.partition("-")[0][1:])
    sweep.trials.sampler = make_sampler(sweep.settings, sweep.space, number)
    if sweep.population is not None:
        open_record(RunRecord(sweep.run_dir(sweep.population.member_of(key))), key)
    pin_recorded(sweep, waiting)
    trial = _asked(sweep.trials, waiting, worker)
    return _attempt("trial", sweep.trials, waiting, trial, lease, worker)


def _of_confirmation(sweep: SweepStudy, waiting: FrozenTrial, worker: str, lease: Lease) -> Attempt:
    trial, attrs = _asked(sweep.confirms, waiting, worker), waiting.user_attrs
    attempt = _attempt("confirm", sweep.confirms, waiting, trial, lease, worker)
    trials = trials_of(sweep.trials)
    c = confirmation(trials, attrs["of"], attrs["seed"], sweep.space, sweep.settings)
    attempt.params, attempt.runs, attempt.schedule = c.params, c.runs, c.schedule
    return attempt


def _asked(study: Study, waiting: FrozenTrial, worker: str) -> Trial:
    """The queued trial, running: what Study.ask does, for this one."""
    study._thread_local.cached_all_trials = None
    taken = study._storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
    assert taken, "only the holder of the lock asks"
    trial = Trial(study, waiting._trial_id)
    if waiting.user_attrs.get("worker") != worker:
        trial.set_user_attr("worker", worker)
    return trial


def _attempt(
    role: str, study: Study, waiting: FrozenTrial, trial: Trial, lease: Lease, worker: str
) -> Attempt:
    attrs = waiting.user_attrs
    return Attempt(
        role=role,
        key=attrs["key"],
        number=attrs["attempt"],
        params={},
        runs=[],
        trial=trial,
        study=study,
        lease=lease,
        worker=worker,
        taken_from=attrs.get("source"),
    )
