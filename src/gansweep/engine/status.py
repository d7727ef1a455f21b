"""The state of a sweep as plain values, from any shell that sees its directory. It only reads."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansweep.engine.failures import SweepHalt
from gansweep.engine.lease.locks import is_alive
from gansweep.engine.lease.workers import STOPPING, WorkerInfo, is_cancelled, workers_of
from gansweep.errors import UserError, visible
from gansweep.judging.constraints import met_by
from gansweep.judging.outcome import outcome_of
from gansweep.judging.statuses import ENDED_WELL, FAILED
from gansweep.records.record import RunRecord
from gansweep.search.settings import Settings

if TYPE_CHECKING:
    from optuna.study import Study

ORDER = ("done", "running", "waiting", "interrupted", "pruned", *FAILED)


@dataclass
class Status:
    """What --json prints."""

    sweep: str
    directory: str
    objective: str
    state: str = "idle"
    stopped: str = ""  # why it was stopped
    storage_error: str = ""  # why the study could not be read
    damaged: list[str] = field(default_factory=list)  # files of its runs, and why
    trials: dict[str, int] = field(default_factory=dict)  # state -> how many
    failures: dict[str, int] = field(default_factory=dict)  # of the failed: by what -> how many
    confirmations: dict[str, int] = field(default_factory=dict)
    seconds_left: float | None = None
    best: dict[str, Any] | None = None
    workers: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    queue_error: str = ""  # why SLURM was not asked
    next: dict[str, str] = field(default_factory=dict)  # command -> what it does


def status_of(directory: Path) -> Status:
    """The state of the sweep in `directory` now. Raises: UserError where there is no sweep."""
    settings = Settings.load(directory)
    objective = settings.objectives[0]
    status = Status(
        sweep=settings.name,
        directory=str(directory),
        objective=f"{objective.direction} {objective.metric}",
    )
    workers = workers_of(directory)
    status.workers = [_worker(w) for w in workers]
    status.damaged = damaged_files(directory)
    if settings.launcher.get("name") == "slurm":
        _from_slurm(status, directory)
    finished = False
    try:
        finished = _from_study(status, directory, settings)
    except Exception as error:  # whatever the driver of a database raises
        status.storage_error = visible(" ".join(str(error).split())) or type(error).__name__
        _from_records(status, directory, settings)
    stop = SweepHalt.of(directory)
    status.stopped = "" if stop is None else stop.message(directory)
    status.state = _state(status, workers, finished, is_cancelled(directory))
    status.next = _next(status, settings.command)
    return status


def _worker(worker: WorkerInfo) -> dict[str, Any]:
    return {
        "name": worker.worker,
        "host": worker.host,
        "pid": worker.pid,
        "job": worker.job,
        "gpus": worker.gpus,
        "doing": worker.doing,
        "seconds": round(max(0.0, time.time() - worker.since), 1),
    }


def _from_study(status: Status, directory: Path, settings: Settings) -> bool:
    """Fill in what the study says; whether the sweep is finished."""
    from gansweep.engine.storage.storage import open_storage
    from gansweep.engine.study import SweepStudy
    from gansweep.engine.time_left import seconds_left
    from gansweep.engine.watch import Watch, state_of
    from gansweep.search.trials import trials_of

    storage = open_storage(directory, settings.storage)
    storage.retries.ends = lambda: True  # a reader does not wait for the end of an outage
    study = SweepStudy(directory, storage)

    def counted(of: Study) -> dict[str, int]:
        states = []
        for trial in trials_of(of):
            state = state_of(trial)
            if state == "running" and not is_alive(study.lease_path(of, trial.number)):
                state = "interrupted"  # its worker died, and none has come since to see it
            states.append(state)
        return _in_order(states)

    watch = Watch(study)
    rows = watch.rows()
    status.trials, status.confirmations = counted(study.trials), counted(study.confirms)
    to_come = study.n_trials - sum(status.trials.values())
    status.trials |= {"to come": to_come} if to_come > 0 else {}
    failures = (t.user_attrs.get("failure") for t in trials_of(study.trials))
    status.failures = dict(Counter(kind for kind in failures if kind))
    status.seconds_left = seconds_left(study, workers=max(1, len(status.jobs)))
    best = watch.best(rows)
    if best is not None:
        status.objective = f"{study.objective.direction} {best.score or study.objective.metric}"
        status.best = {"trial": best.key, "value": best.value, "parameters": best.params}
    return study.finished()


def _from_records(status: Status, directory: Path, settings: Settings) -> None:
    """Fill in what the runs' own records say."""
    runs: dict[str, list[RunRecord]] = {}
    for path in sorted(directory.glob("*/result.json")):
        record = RunRecord(path.parent)
        entry = (record.result() or {}).get("sweep") or {}
        if entry.get("role") == "trial" and entry.get("key"):
            runs.setdefault(entry["key"], []).append(record)
    outcomes = {key: outcome_of(records, settings.objectives) for key, records in runs.items()}
    at_work = {worker["doing"] for worker in status.workers}
    unended = {key: "running" if key in at_work else "interrupted" for key in runs}
    status.trials = _in_order(o.status or unended[key] for key, o in outcomes.items())
    to_come = settings.n_trials - len(runs)
    status.trials |= {"to come": to_come} if to_come > 0 else {}
    objective = settings.objectives[0]
    results = {key: [record.result() or {} for record in runs[key]] for key in runs}
    values = {
        key: o.measured[0].value
        for key, o in outcomes.items()
        if o.measured and met_by(settings.limits, results[key])
    }
    if values:
        key = min(values, key=lambda key: objective.sort_key(values[key]))
        params = results[key][0]["sweep"].get("params") or {}
        shown = " ".join(f"{name}={value}" for name, value in params.items())
        status.best = {"trial": key, "value": values[key], "parameters": shown}


def _from_slurm(status: Status, directory: Path) -> None:
    from gansweep.engine.launch import slurm

    try:
        status.jobs = [asdict(job) for job in slurm.queue(directory)]
    except UserError as error:
        status.queue_error = str(error)


def _state(status: Status, workers: list[WorkerInfo], finished: bool, cancelled: bool) -> str:
    if finished and not status.stopped:
        return "finished"
    if workers:
        return "stopping" if all(w.doing == STOPPING for w in workers) else "running"
    if cancelled:
        return "cancelled"
    if status.stopped:
        return "stopped"
    return "queued" if status.jobs else "idle"


def _next(status: Status, began: str) -> dict[str, str]:
    """The commands that make sense now, and what they do."""
    directory = shlex.quote(status.directory)
    report = {f"gansweep report {directory}": "see its runs"}
    if status.state == "finished":
        return {f"gansweep report {directory}": "see its winners"}
    if status.state == "stopping":
        return {f"gansweep status {directory}": "look again"}
    if status.state in ("running", "queued"):
        helps = f"gansweep worker {directory}"
        return {**report, helps: "add a worker", f"gansweep cancel {directory}": "stop it"}
    return {began: "continue it", **report}


def _in_order(statuses: Iterable[str]) -> dict[str, int]:
    """state -> how many, as ORDER has them."""
    ended = (*ENDED_WELL, "paused")  # a generation of a population's member that is over
    counts = Counter("done" if status in ended else status for status in statuses)
    return {state: counts[state] for state in ORDER if counts[state]}


def damaged_files(directory: Path) -> list[str]:
    """A line for each, as in: t0003/result.json: Unterminated string in line 1"""
    found = []
    for path in sorted(directory.glob("*/result.json")):
        _, why = RunRecord(path.parent).read_result()
        if why:
            found.append(visible(f"{path.parent.name}/{path.name}: {why}"))
    return found
