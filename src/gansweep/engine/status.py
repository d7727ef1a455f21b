"""The state of a sweep as plain values, from any shell that sees its directory. It only reads."""

from __future__ import annotations

import re
import shlex
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansweep.engine.failures import SweepHalt
from gansweep.engine.lease.locks import is_alive
from gansweep.engine.lease.workers import (
    STOPPING,
    WorkerInfo,
    is_cancelled,
    launcher_of,
    workers_of,
)
from gansweep.errors import UserError, visible
from gansweep.judging.constraints import met_by
from gansweep.judging.outcome import outcome_of
from gansweep.judging.statuses import ENDED_WELL, FAILED
from gansweep.records.record import RunRecord
from gansweep.search.settings import Settings

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

ORDER = ("done", "running", "waiting", "interrupted", "pruned", *FAILED)


@dataclass
class Status:
    """What --json prints."""

    sweep: str
    directory: str
    objective: str  # "" for a list of runs, which are not compared with each other
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
    """The state of the sweep in `directory` now. Raises: UserError if there is no sweep."""
    settings = Settings.load(directory)
    objective, workers = settings.objectives[0], workers_of(directory)
    words = "" if settings.points else f"{objective.direction} {objective.metric}"
    status = Status(settings.name, str(directory), words, workers=list(map(_worker, workers)))
    status.damaged = damaged_files(directory)
    if settings.launcher.get("name") == "slurm":
        _from_slurm(status, directory)
    finished = False
    try:
        finished = _from_study(status, directory, settings)
    except Exception as error:  # the driver of a database may raise anything
        status.storage_error = visible(" ".join(str(error).split())) or type(error).__name__
        _from_records(status, directory, settings)
    stop = SweepHalt.of(directory)
    status.stopped = "" if stop is None else stop.message(directory)
    # the tasks of Ray live no longer than the process that submitted them
    waits = settings.launcher.get("name") == "ray" and launcher_of(directory) is not None
    waits = waits or bool(status.jobs)
    status.state = _state(status, workers, finished, is_cancelled(directory), waits)
    status.next = _next(status, settings)
    return status


def _worker(worker: WorkerInfo) -> dict[str, Any]:
    facts = {key: getattr(worker, key) for key in ("host", "pid", "job", "gpus", "doing")}
    seconds = round(max(0.0, time.time() - worker.since), 1)
    return {"name": worker.worker, **facts, "seconds": seconds}


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

    def state(of: Study, trial: FrozenTrial) -> str:
        state = state_of(trial)
        if state == "running" and not is_alive(study.lease_path(of, trial.number)):
            return "interrupted"  # its worker died, and no other one has noticed yet
        return state

    trials = study.begun()
    status.trials = _in_order([state(study.trials, t) for t in trials], study.n_trials)
    status.confirmations = _in_order(state(study.confirms, t) for t in trials_of(study.confirms))
    failures = (t.user_attrs.get("failure") for t in trials)
    status.failures = dict(Counter(kind for kind in failures if kind))
    status.seconds_left = seconds_left(study, workers=max(1, len(status.jobs)))
    watch = Watch(study)
    best = watch.best(watch.rows())
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
    at_work, objective = {w["doing"] for w in status.workers}, settings.objectives[0]
    states, values, params = [], {}, {}
    for key, records in runs.items():
        outcome = outcome_of(records, settings.objectives)
        states.append(outcome.status or ("running" if key in at_work else "interrupted"))
        results = [record.result() or {} for record in records]
        if outcome.measured and met_by(settings.limits, results):
            values[key] = outcome.measured[0].value
            params[key] = results[0]["sweep"].get("params") or {}
    status.trials = _in_order(states, settings.n_trials)
    if values and not settings.points:
        key = min(values, key=lambda key: objective.sort_key(values[key]))
        shown = " ".join(f"{name}={value}" for name, value in params[key].items())
        status.best = {"trial": key, "value": values[key], "parameters": shown}


def _from_slurm(status: Status, directory: Path) -> None:
    from gansweep.engine.launch import slurm

    try:
        status.jobs = [asdict(job) for job in slurm.queue(directory)]
    except UserError as error:
        status.queue_error = str(error)


def _state(
    status: Status, workers: list[WorkerInfo], finished: bool, cancelled: bool, waits: bool
) -> str:
    """waits: whether the cluster has tasks or jobs that will be workers."""
    if finished and not status.stopped:
        return "finished"
    if workers:
        return "stopping" if all(w.doing == STOPPING for w in workers) else "running"
    if cancelled:
        return "cancelled"
    if status.stopped:
        return "stopped"
    return "queued" if waits else "idle"


def _next(status: Status, settings: Settings) -> dict[str, str]:
    """The commands that make sense now, and what they do."""
    began = settings.to_continue(Path(status.directory))
    table = {f"{_whole_table(began)} --show": "see the table"} if settings.points else {}
    directory = shlex.quote(status.directory)
    report, worker, cancel, again = (
        f"gansweep {verb} {directory}" for verb in ("report", "worker", "cancel", "status")
    )
    if status.state == "finished":
        return {**table, report: "see its runs"} if table else {report: "see its winners"}
    if status.state == "stopping":
        return {again: "look again"}
    if status.state in ("running", "queued"):
        return {**table, report: "see its runs", worker: "add a worker", cancel: "stop it"}
    return {began: "continue it", report: "see its runs"}


def _whole_table(command: str) -> str:
    """The command of a table without what says which of its cells were to be trained."""
    return re.sub(r" --(only|seeds|minutes)[ =]('[^']*'|\S+)", "", command)


def _in_order(statuses: Iterable[str], planned: int = 0) -> dict[str, int]:
    """state -> how many, in the order of ORDER; those that are planned and not there, "to come"."""
    ended = (*ENDED_WELL, "paused")  # paused: the end of a generation of a population's member
    counts = Counter("done" if status in ended else status for status in statuses)
    counts["to come"] = max(0, planned - counts.total())
    return {state: counts[state] for state in (*ORDER, "to come") if counts[state]}


def damaged_files(directory: Path) -> list[str]:
    """A line for each, as in: t0003/result.json: Unterminated string in line 1"""
    paths = sorted(directory.glob("*/result.json"))
    reasons = {path: RunRecord(path.parent).read_result()[1] for path in paths}
    return [visible(f"{p.parent.name}/{p.name}: {why}") for p, why in reasons.items() if why]
