"""The runs and sweeps below some paths, each as one line of `gansweep ls`."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gansweep.engine.lease.workers import is_cancelled, workers_of
from gansweep.errors import UserError, nearest
from gansweep.judging.objective import objective_so_far, objectives_of
from gansweep.judging.ranking import lower_is_better
from gansweep.judging.statuses import FAILED, UNFINISHED, judged_status
from gansweep.judging.where import FACTS, chosen, read_filter, values_of
from gansweep.records.find import find_records
from gansweep.records.plain_values import DamagedError, mapping, parsed
from gansweep.records.read import Run, add_settings, read_run
from gansweep.records.record import RunRecord, content_of
from gansweep.records.stored_yaml import yaml_mapping
from gansweep.records.writer import is_held

KILLED = "killed"  # its record says running, and no process writes it
OPEN = (*UNFINISHED, KILLED)
ORDERS: dict[str, Callable[[Line], Any]] = {
    "age": lambda line: line.age_seconds,
    "name": lambda line: line.directory,
    "status": lambda line: line.status,
    "kimg": lambda line: line.kimg,
    "objective": lambda line: line.place,
    "seed": lambda line: line.seeds,
}


@dataclass
class Line:
    """One run or one sweep; `gansweep ls --json` prints these fields.

    age_seconds: since it ended, or since the last row of one that has not.
    objective: score, value and direction of what it is judged by; {} before the first evaluation.
    params: what its sweep set for it.   runs: of a sweep, status -> how many.
    """

    kind: str  # run | sweep
    directory: str
    status: str
    reason: str
    age_seconds: float
    kimg: float
    budget_kimg: float | None
    seeds: list[Any]
    objective: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    data: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def place(self) -> tuple[bool, str, float]:
        """Lower is better, one score after the other; without a value last."""
        value = self.objective.get("value")
        if value is None:
            return True, "", 0.0
        goal = self.objective
        return False, goal["score"], lower_is_better(value, goal["direction"])


class Shelf:
    """Reads the runs below some paths; those that have ended again only after they have changed.

    paths: as given.   every: list the runs of sweeps one by one.   where: a filter of the runs.
    """

    def __init__(self, paths: Sequence[Path], *, every: bool = False, where: str = "") -> None:
        self.paths, self.every, self.where = paths, every, where
        self._known: dict[Path, tuple[Any, Run]] = {}

    def runs(self) -> list[Run]:
        """All runs, read briefly, each with the status that it is judged by, or "killed".

        Raises: UserError if a path holds no run.
        """
        return [self._run(record) for record in find_records(self.paths)]

    def lines(self, order: str = "age", *, backwards: bool = False) -> list[Line]:
        """order: one of ORDERS, or a name that a filter takes.

        Raises: UserError if a path holds no run, or for a filter or an order that is not known.
        """
        runs = self.runs()
        names = {order} - ORDERS.keys() | {*(read_filter(self.where).names if self.where else ())}
        if names - FACTS.keys():
            for run in runs:
                add_settings(run)
        shown = chosen(runs, self.where) if self.where else runs
        if order not in ORDERS:
            return _by_value(shown, order, backwards)
        sweeps: dict[Path, list[Run]] = {}
        single: list[Run] = []
        for run in shown:
            parent = run.directory.parent
            grouped = not (self.every or self.where) and self._is_folded(parent)
            (sweeps.setdefault(parent, []) if grouped else single).append(run)
        lines = [_line_of_run(run) for run in single]
        lines += [_line_of_sweep(parent, members) for parent, members in sweeps.items()]
        lines.sort(key=lambda line: line.directory)
        return sorted(lines, key=ORDERS[order], reverse=backwards)

    def _is_folded(self, folder: Path) -> bool:
        """Whether a folder is a sweep that is shown as one line; not if it is itself a path."""
        within = any(folder.resolve() == p or folder.resolve() in p.parents for p in self._tops)
        return not within and (folder / "sweep.yaml").is_file()

    @property
    def _tops(self) -> list[Path]:
        return [path.resolve() for path in self.paths]

    def _run(self, record: RunRecord) -> Run:
        paths = (record.result_path, record.remarks_path)
        stamp = [_changed(path) for path in paths]
        known = self._known.get(record.directory)
        if known is not None and known[0] == stamp and known[1].status not in OPEN:
            return known[1]
        run = read_run(record, brief=True)
        if run.complete:
            at = objectives_of(run.sweep)[0].at if run.sweep else "last"
            run.status, run.reason = judged_status(run.result, at)
        if run.status == "running":
            run.reason = ""
            if not is_held(record.directory):
                run.status, run.reason = KILLED, "its process has ended without a result"
        self._known[record.directory] = (stamp, run)
        return run


def _by_value(runs: Iterable[Run], name: str, backwards: bool) -> list[Line]:
    """The runs in the order of a setting or a score; those without it last."""
    found = [(next(iter(values_of(run, name)), None), _line_of_run(run)) for run in runs]
    if found and all(value is None for value, _ in found):
        scores = [str(p["score"]) for run in runs for p in run.protocols.values() if "score" in p]
        raise UserError(
            f"--sort {name} is not known.{nearest(name, [*ORDERS, *scores])} Sort by "
            f"{', '.join(ORDERS)}, or by a setting or a score of these runs."
        )
    having = [(value, line) for value, line in found if value is not None]
    having.sort(key=lambda pair: _number_or_text(pair[0]), reverse=backwards)
    return [line for _, line in having] + [line for value, line in found if value is None]


def _line_of_run(run: Run) -> Line:
    budget = run.result.get("budget_kimg", run.config.get("budget_kimg"))
    return Line(
        kind="run",
        directory=str(run.directory),
        status=run.status,
        reason=run.reason,
        age_seconds=_age(run),
        kimg=run.kimg,
        budget_kimg=float(budget) if isinstance(budget, (int, float)) else None,
        seeds=[] if run.seed is None else [run.seed],
        objective=_objective(run),
        model=run.model,
        data=run.data,
        params=dict(run.sweep.params) if run.sweep else {},
        tags=run.tags,
        note=run.note,
    )


def _objective(run: Run) -> dict[str, Any]:
    found = objective_so_far(run)
    return dict(zip(("score", "value", "direction"), found, strict=True)) if found else {}


def _line_of_sweep(folder: Path, runs: Sequence[Run]) -> Line:
    lines = [_line_of_run(run) for run in runs]
    fair = [line for line in lines if line.status not in (*FAILED, "pruned")]
    best = min(fair, key=lambda line: line.place).objective if fair else {}
    return Line(
        kind="sweep",
        directory=str(folder),
        status=_state(folder, runs),
        reason="",
        age_seconds=min(line.age_seconds for line in lines),
        kimg=math.fsum(line.kimg for line in lines),
        budget_kimg=None,
        seeds=sorted({seed for line in lines for seed in line.seeds}, key=_number_or_text),
        objective=_winner(folder) or best,
        model=", ".join(sorted({line.model for line in lines})),
        data=", ".join(sorted({line.data for line in lines})),
        runs=dict(Counter(run.status for run in runs).most_common()),
        tags=sorted({tag for line in lines for tag in line.tags}),
    )


def _number_or_text(value: Any) -> tuple[bool, Any]:
    is_number = isinstance(value, (int, float))
    return not is_number, value if is_number else str(value)


def _winner(folder: Path) -> dict[str, Any]:
    """The mean of the best configuration over its fresh seeds; {} before there is one."""
    board = _board(folder)
    try:
        first, goal = mapping(board["rows"][0]), mapping(board["objective"])
        value = float(first["mean"])
    except (DamagedError, KeyError, IndexError, TypeError, ValueError):
        return {}
    direction = "maximize" if goal.get("direction") == "maximize" else "minimize"
    return {"score": str(first.get("score")), "value": value, "direction": direction}


def _board(folder: Path) -> dict[str, Any]:
    """leaderboard.json; {} before there is one."""
    try:
        return mapping(parsed(content_of(folder / "leaderboard.json")))
    except (OSError, DamagedError):
        return {}


def _state(folder: Path, runs: Sequence[Run]) -> str:
    """A word for the sweep by its files alone; `gansweep status` asks the study."""
    if any(run.status == "running" for run in runs) or workers_of(folder):
        return "running"
    if is_cancelled(folder):
        return "cancelled"
    try:
        wanted = yaml_mapping(folder / "sweep.yaml").get("n_trials")
    except (OSError, DamagedError):
        wanted = None
    tried = {run.sweep.key for run in runs if run.sweep and run.sweep.role == "trial"}
    is_open = any(run.status in OPEN for run in runs)
    whole = isinstance(wanted, int) and len(tried) >= wanted and not is_open
    board = _board(folder)  # of fewer trials where the sweep was given more since
    has_ended = bool(board) and board.get("n_trials", wanted) == wanted
    return "finished" if whole or has_ended else "stopped"


def _age(run: Run) -> float:
    """Seconds since the run ended, or since its last row."""
    record = RunRecord(run.directory)
    now = time.time()
    if run.status not in OPEN:
        try:
            ended = datetime.fromisoformat(str(run.result.get("ended")))
            return max(0.0, now - ended.timestamp())
        except (ValueError, OverflowError):
            pass
    changed = [_changed(p) for p in (record.history_path, record.result_path, record.config_path)]
    return max(0.0, now - max(changed))


def _changed(path: Path) -> float:
    """When the file was last written, in seconds since 1970; 0 where it is gone."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def as_json(line: Line) -> Mapping[str, Any]:
    """The fields of a line, rounded for reading."""
    return {**vars(line), "age_seconds": round(line.age_seconds, 1)}
