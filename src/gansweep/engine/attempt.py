"""One attempt at a trial or at a confirmation run: how it starts, and which runs it consists of."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from gansweep.engine.confirm import confirmation
from gansweep.engine.finish_attempt import pin_recorded
from gansweep.engine.lease.locks import Lease
from gansweep.search.listed import POINT, Point
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
    trial: Trial
    study: Study
    lease: Lease
    worker: str  # the name of the worker that runs it
    taken_from: str | None  # the source of enqueued parameters; None: the sampler
    params: dict[str, Any] = field(default_factory=dict)
    runs: list[PlannedRun] = field(default_factory=list)  # empty until the parameters are known
    reported: set[int] = field(default_factory=set)
    schedule: list[dict[str, Any]] | None = None  # which settings hold from which kimg on
    score: str | None = None  # the objective's full name, once the run has named it
    point: Point | None = None  # of a list

    def sweep_entry(self, settings: Settings, run: PlannedRun, directory: Path) -> dict[str, Any]:
        """What the record of `run` keeps of the sweep in `directory`."""
        objectives = [asdict(objective) for objective in settings.objectives]
        if self.point is not None:  # to readers each run of a list is judged by its own
            objectives = [asdict(replace(settings.objectives[0], metric="auto"))]
        optional = {
            "objectives": objectives if len(objectives) > 1 else None,
            "constraints": [asdict(limit) for limit in settings.limits] or None,
            "schedule": self.schedule,
            "source": self.taken_from,
            "note": self.point and self.point["note"],
        }
        return {
            "name": settings.name,
            "directory": str(directory.resolve()),
            "key": self.key,
            "params": self.params,
            "role": self.role,
            "attempt": self.number,
            "worker": self.worker,
            "seed": run.seed,
            "objective": objectives[0],
            **{key: value for key, value in optional.items() if value is not None},
        }


def run_names(key: str, seeds: int) -> list[str]:
    """The runs of trial `key`: one of its own name, or one for each seed."""
    return [key] if seeds == 1 else [f"{key}-s{i}" for i in range(seeds)]


def start(sweep: SweepStudy, study: Study, waiting: FrozenTrial, worker: str) -> Attempt:
    """Start a queued attempt for a worker; call it under the storage's lock.

    study: that of the trials, or of the confirmation runs.
    """
    attrs, key = waiting.user_attrs, waiting.user_attrs["key"]
    role = "trial" if study is sweep.trials else "confirm"
    lease = Lease(sweep.lease_path(study, waiting.number), worker)
    with contextlib.ExitStack() as on_error:
        on_error.callback(lease.release)
        if role == "trial":
            number = 0 if POINT in attrs else int(key.partition("-")[0][1:])
            study.sampler = make_sampler(sweep.settings, sweep.space, number)
            if sweep.population is not None:
                open_record(sweep.records(key)[0], key)
            pin_recorded(sweep, waiting)
        trial, source = _asked(study, waiting, worker), attrs.get("source")
        attempt = Attempt(role, key, attrs["attempt"], trial, study, lease, worker, source)
        listed = sweep.queue.listed
        attempt.point = listed.point(attrs) if listed else None
        if role == "confirm":
            trials = trials_of(sweep.trials)
            c = confirmation(trials, attrs["of"], attrs["seed"], sweep.space, sweep.settings)
            attempt.params, attempt.runs, attempt.schedule = c.params, c.runs, c.schedule
        on_error.pop_all()
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
