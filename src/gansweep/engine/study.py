"""The state of a sweep: an Optuna study of trials and one of confirmation runs in one storage.

Any number of processes work on it at once. A trial has one or more attempts, each an Optuna trial
of its own with the same `key`. A worker claims an attempt by a lease. A worker that finds a dead
lease finishes the attempt as its run record says, or queues the trial again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from gansweep.engine import failures
from gansweep.engine.attempt import Attempt, run_names, start
from gansweep.engine.confirm import Confirmation, confirmations, group_of, winners
from gansweep.engine.existing_sweep import (
    STUDIES,
    make_room,
    refuse_another_sample,
    refuse_another_storage,
)
from gansweep.engine.finish_attempt import finish, queue_failed, recorded_params
from gansweep.engine.lease.locks import is_alive
from gansweep.engine.reporting import report_rows, report_score, report_value
from gansweep.engine.storage.storage import Storage, keep_name, open_storage
from gansweep.errors import UserError
from gansweep.judging.outcome import Outcome, outcome_of
from gansweep.judging.statuses import ENDED_WELL
from gansweep.records.drafts import remove_drafts
from gansweep.records.record import RunRecord
from gansweep.records.run_config import stored_settings
from gansweep.search.enqueue import Earlier
from gansweep.search.listed import point_of
from gansweep.search.population import PlannedRun
from gansweep.search.pruning import PeerPruner, make_pruner
from gansweep.search.queue import Planned, Queue, space_of
from gansweep.search.settings import Settings, merged_identity
from gansweep.search.space import Space
from gansweep.search.trials import trials_of

UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)

optuna.logging.set_verbosity(optuna.logging.WARNING)


class SweepStudy:
    """A sweep's directory, opened by a worker, a launcher or a reader."""

    def __init__(self, directory: Path, storage: Storage | None = None) -> None:
        self.directory = directory
        self.settings = Settings.load(directory)
        self.objective = self.settings.objectives[0]
        self.space = space_of(self.settings)
        self.storage = storage or open_storage(directory, self.settings.storage)
        self.trials = self._study("trials", PeerPruner(make_pruner(self.settings), self._kind))
        self.confirms = self._study("confirm", optuna.pruners.NopPruner())
        self.queue = Queue(self.settings, self.space)
        self.population = self.queue.population

    @classmethod
    def create(cls, directory: Path, settings: Settings, space: Space) -> SweepStudy:
        """Make the study, or open one to be continued with the same search; trials that failed
        alike, as by a bug that was corrected since, are queued again.

        Raises: UserError, with nothing written, if the directory's study has another search of
            which a trial finished.
        """
        sweep = cls.made(directory, settings, space)
        sweep.storage.exclusively(lambda: queue_failed(sweep))
        return sweep

    @classmethod
    def made(cls, directory: Path, settings: Settings, space: Space) -> SweepStudy:
        """As `create`, and no trial that has ended is queued."""
        identity = merged_identity(settings, space.canonical())
        refuse_another_storage(directory, settings)
        refuse_another_sample(directory, settings)
        storage = open_storage(directory, settings.storage)

        def make() -> None:
            make_room(storage, directory, settings, identity)
            (directory / "leases").mkdir(parents=True, exist_ok=True)
            for name in STUDIES:
                study = optuna.create_study(
                    storage=storage.optuna,
                    study_name=storage.prefix + name,
                    directions=[o.direction for o in settings.objectives],
                    load_if_exists=True,
                )
                if storage.is_shared:
                    keep_name(study, directory)
                if study.user_attrs.get("identity") != identity:
                    study.set_user_attr("identity", identity)
            settings.save(directory)
            remove_drafts(directory)

        storage.exclusively(make)
        return cls(directory, storage)

    @property
    def n_trials(self) -> int:
        return self.queue.n_trials

    def claim(self, worker: str, is_ready: Callable[[], bool] = lambda: True) -> Attempt | None:
        """The next thing to run; None if there is nothing now.

        is_ready: asked if there is something; if it says no, that is left to others.
        """
        return self.storage.exclusively(lambda: self._claim(worker, is_ready))

    def _claim(self, worker: str, is_ready: Callable[[], bool]) -> Attempt | None:
        # first: a sampler avoids the points of running trials, and a dead one does not run
        self._reap(self.trials)
        self._reap(self.confirms)
        if failures.is_stopped(self.directory):
            return None
        for study, planned in (
            (self.trials, self.planned_trial),
            (self.confirms, self._planned_confirmation),
        ):
            waiting = self._waiting(study)
            new = planned() if waiting is None else None
            if (waiting is not None or new is not None) and not is_ready():
                return None
            if new is not None:  # for ourselves
                study.enqueue_trial(new[0], user_attrs={**new[1], "worker": worker})
                waiting = self._waiting(study)
            if waiting is not None:
                return start(self, study, waiting, worker)
            if not self.trials_ended():
                return None
        return None

    def suggest(self, attempt: Attempt) -> None:
        """Fill in a trial's parameters, as the sampler proposes them, and its runs."""
        if attempt.role != "trial":
            return
        if attempt.point is not None:
            attempt.params = attempt.point["params"]
            attempt.runs = [PlannedRun(attempt.key, attempt.point["overrides"])]
            return
        attempt.params = self.space.suggest(attempt.trial)
        self.storage.flush()  # the study must have the parameters of every record on the disk
        overrides, names = self.space.overrides(attempt.params), self.run_names(attempt.key)
        if self.population is not None:
            trials = trials_of(self.trials)
            unit = next(t for t in trials if t.number == attempt.trial.number)
            attempt.runs = [self.population.planned(self.directory, unit, overrides)]
            schedule = self.population.schedule(trials, names[0])
            attempt.schedule = [segment.entry() for segment in schedule]
        elif self.settings.seeds == 1:
            attempt.runs = [PlannedRun(names[0], overrides)]
        else:
            seeds = enumerate(names, self.settings.base_seed)
            attempt.runs = [PlannedRun(name, [*overrides, f"seed={s}"], s) for s, name in seeds]

    def report(self, attempt: Attempt, kimg: float, value: float) -> bool:
        """Report an intermediate value; True if the pruner wants the trial stopped.

        Raises: optuna.exceptions.UpdateFinishedTrialError if another process took the attempt.
        """
        if self.settings.compares_seeds or attempt.role != "trial":
            return False
        return report_score(self.settings, attempt.trial, attempt.reported, kimg, value)

    def report_seed(self, attempt: Attempt, run: PlannedRun) -> bool:
        """Report the final value of one seed's run, if the pruner compares those; as `report`."""
        if not self.settings.compares_seeds or attempt.role != "trial":
            return False
        outcome = outcome_of([RunRecord(self.run_dir(run.name))], self.settings.objectives)
        if not outcome.measured:
            return False
        step, value = attempt.runs.index(run), outcome.measured[0].value
        return report_value(self.settings, attempt.trial, attempt.reported, step, value)

    def finish(self, attempt: Attempt, ended: str, reason: str = "") -> str:
        """Record in the study how an attempt ended; the status that it was given.

        ended: "itself" (its records say how), a word of failures.RETRIED, "interrupted" (on our
            demand), or "pruned" (between two seeds).
        """

        def finished() -> str:
            frozen = self.storage.optuna.get_trial(attempt.trial._trial_id)
            return finish(self, attempt.study, frozen, ended, reason)

        status = self.storage.exclusively(finished)
        attempt.lease.release()
        self.storage.flush()
        return status

    def finished(self) -> bool:
        """Whether every trial and every confirmation run of the winners has ended."""
        if not self.trials_ended():
            return False
        ended = {t.user_attrs["key"] for t in trials_of(self.confirms) if t.state not in UNFINISHED}
        return {c.name for c in self.confirmations()} <= ended

    def confirmations(self) -> list[Confirmation]:
        return confirmations(trials_of(self.trials), self.space, self.settings)

    def is_done(self, run: PlannedRun) -> bool:
        """Whether a run has reached its end or its pause."""
        result = RunRecord(self.run_dir(run.name)).result() or {}
        if result.get("status") == "paused" and run.until_kimg is not None:
            return bool((result.get("kimg") or 0.0) >= run.until_kimg)
        return result.get("status") in ENDED_WELL

    def has_ended(self, attempt: Attempt) -> bool:
        """Whether the records say already how the trial ended, as if the study was lost."""
        return self.outcome(attempt.key).status is not None

    def outcome(self, key: str) -> Outcome:
        """How the trial or the confirmation run `key` ended, by its records."""
        return outcome_of(self.records(key), self.settings.objectives)

    def records(self, key: str) -> list[RunRecord]:
        """The records of the runs of the trial or the confirmation run `key`."""
        return [RunRecord(self.run_dir(name)) for name in self.run_names(key)]

    def run_names(self, key: str) -> list[str]:
        """The runs of the trial or the confirmation run `key`."""
        if self.population is not None and not key.startswith("c-"):
            return [self.population.member_of(key)]
        return run_names(key, 1 if key.startswith("c-") else self.settings.seeds)

    def run_dir(self, key: str) -> Path:
        """Raises: UserError if a damaged study names a place outside the sweep's directory."""
        if "/" in key or key in ("", ".", ".."):
            raise UserError(
                f"The study of {self.directory} names the run {key!r}, which is no name of a "
                "directory in it: it was damaged, or is none of gansweep's."
            )
        return self.directory / key

    def report_record(self, attempt: Attempt) -> bool:
        """Report the values that the run's record has already: the pruner compares whole curves.
        Whether it wants the trial stopped.

        Only its verdict on the last value counts: the attempt before may have been killed before
        it could obey that, and it obeyed those on the earlier values.
        """
        if attempt.role != "trial":
            return False
        return self._report_rows(attempt.trial, attempt.key, attempt.reported)

    def _report_rows(self, trial: Trial, key: str, reported: set[int]) -> bool:
        if self.settings.compares_seeds or self.population is not None:
            return False
        return report_rows(self.settings, self.records(key)[0], trial, reported)

    def _study(self, name: str, pruner: optuna.pruners.BasePruner) -> Study:
        try:
            return optuna.load_study(
                study_name=self.storage.prefix + name, storage=self.storage.optuna, pruner=pruner
            )
        except KeyError as error:
            raise UserError(
                f"{self.directory} holds no study. Start the sweep with `gansweep sweep` first."
            ) from error

    def _kind(self, trial: FrozenTrial) -> object:
        """What trials have in common that the pruner compares: the value of the key of which the
        best of each value is to be confirmed."""
        per = str(self.settings.confirm["per"])
        return None if per == "config" else group_of(trial, self.space, per)

    def _waiting(self, study: Study) -> FrozenTrial | None:
        trials = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return next(filter(self.is_wanted, trials), None)

    def is_wanted(self, trial: FrozenTrial) -> bool:
        """Whether the sweep runs this trial now: any but one that its list has left."""
        listed = self.queue.listed
        return listed is None or listed.wants(trial)

    def begun(self) -> list[FrozenTrial]:
        """The trials that were begun and are wanted, each once."""
        return list(filter(self.is_wanted, trials_of(self.trials)))

    def trials_ended(self) -> bool:
        """Whether every trial of the budget has ended."""
        is_idle = all(t.state not in UNFINISHED for t in self.begun())
        return is_idle and self.queue.next_trial(trials_of(self.trials)) is None

    def planned_trial(self) -> Planned | None:
        """The trial to queue next; None if the budget is spent."""
        planned = self.queue.next_trial(trials_of(self.trials))
        if planned is None:
            return None
        fixed, attrs = planned
        if point_of(attrs) is not None:
            return planned
        return recorded_params(self, attrs["key"]) or fixed, attrs

    def _planned_confirmation(self) -> Planned | None:
        return next((({}, attrs) for attrs in self.planned_confirmations()), None)

    def planned_confirmations(self) -> Iterator[dict[str, Any]]:
        """The attributes of each confirmation run that is not queued yet. Only the first is queued
        at a time: with more trials or other options, others may win."""
        known = {t.user_attrs["key"] for t in trials_of(self.confirms)}
        for c in self.confirmations():
            if c.name not in known:
                yield {"key": c.name, "attempt": 1, "kills": 0, "of": c.key, "seed": c.seed}

    def lease_path(self, study: Study, number: int) -> Path:
        """The lease of the worker on Optuna's trial `number` of the study."""
        name = "trials" if study is self.trials else "confirm"
        return self.directory / "leases" / f"{name}-{number}"

    def _reap(self, study: Study) -> None:
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            lease = self.lease_path(study, trial.number)
            if not is_alive(lease):
                # first: a suspended worker that wakes up then takes no new number of the records
                lease.unlink(missing_ok=True)
                self.finish_dead(study, trial, "killed", "its worker was killed")

    def finish_dead(self, study: Study, trial: FrozenTrial, ended: str, reason: str) -> None:
        """Finish an attempt that no worker works on any more; call it under the storage's lock.

        ended, reason: as of `finish`, if its records do not say how it ended.
        """
        key = trial.user_attrs["key"]
        if study is self.trials and self.outcome(key).status is not None:
            # others are compared with its curve, whose end was not reported yet
            self._report_rows(Trial(study, trial._trial_id), key, set(trial.intermediate_values))
            trial = self.storage.optuna.get_trial(trial._trial_id)
        finish(self, study, trial, ended, reason)


def best_of(earlier: Path) -> Iterator[Earlier]:
    """The trials of an earlier sweep that ran to their end, best first."""
    study = SweepStudy(earlier)
    every = {**study.settings.confirm, "per": "config", "top": study.n_trials}
    settings = replace(study.settings, confirm=every)
    for trial in winners(trials_of(study.trials), study.space, settings):
        run = study.records(trial.user_attrs["key"])[0]
        cfg = stored_settings(run) if run.exists else OmegaConf.create()
        yield Earlier(trial.user_attrs["key"], study.space.values_at(trial.params) or {}, cfg)
