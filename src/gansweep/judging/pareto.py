"""The Pareto front of a sweep with several objectives."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gansweep.judging.goals import column_of, pareto_front, value_of
from gansweep.judging.statistics import Board, Row, Summary, summarize
from gansweep.judging.table import Table
from gansweep.judging.trials import Sweep, limits_broken, sweeps_of
from gansweep.records.notation import plural
from gansweep.records.read import Run
from gansweep.records.sweep_part import Goal


@dataclass(frozen=True)
class Candidate:
    """A configuration with a value of every objective, over its seeds.

    run: the name of its first.   name, label: as those of its row.   lost: runs of it that came to
    no result.   on_front: no other candidate is better in one objective without being worse in
    another.
    """

    run: str
    model: str
    name: str
    label: str
    values: tuple[Summary, ...]
    lost: int
    on_front: bool = False

    @property
    def point(self) -> tuple[float, ...]:
        return tuple(summary.mean for summary in self.values)

    @property
    def seeds(self) -> str:
        """ "3", or "2 of 3" where a run was lost."""
        n = self.values[0].n
        return f"{n} of {n + self.lost}" if self.lost else str(n)


@dataclass(frozen=True)
class Front:
    """What a sweep's trials, or its confirmation runs, came to in each objective.

    columns: the full name of the score of each goal, or the key of the result.
    """

    goals: tuple[Goal, ...]
    columns: tuple[str, ...]
    candidates: list[Candidate]

    @property
    def members(self) -> list[Candidate]:
        """The front, the best in the first objective first."""
        found = [one for one in self.candidates if one.on_front]
        return sorted(found, key=lambda o: o.point[0], reverse=self.directions[0] == "maximize")

    @property
    def directions(self) -> list[str]:
        return [goal.direction for goal in self.goals]


def fronts(board: Board) -> list[tuple[Sweep, Front | None, Front | None]]:
    """(sweep, front of its trials, front of its confirmed configurations), for every sweep that
    has several objectives."""
    refused = {refusal.score for refusal in board.refused}
    row_of = {run.directory: r for r in [*board.rows, *board.open_rows] for run in r.runs}
    found = []
    for sweep in sweeps_of(board.runs):
        if len(sweep.goals) > 1:
            trials = [trial.runs for trial in sweep.trials if trial.complete]
            confirmed = _alike(sweep.confirmations)
            fronts_of = [_front(sweep.goals, g, refused, row_of) for g in (trials, confirmed)]
            found.append((sweep, fronts_of[0], fronts_of[1]))
    return found


def _alike(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of one configuration together."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.params, sort_keys=True, default=str), []).append(run)
    return list(groups.values())


def _front(
    goals: tuple[Goal, ...],
    groups: Sequence[list[Run]],
    refused: Collection[str],
    row_of: Mapping[Path, Row],
) -> Front | None:
    """None where no group of runs has a value of every objective, all measured alike."""
    runs = [run for members in groups for run in members]
    columns = []
    for goal in goals:
        named = (column_of(run, goal.metric, runs) for run in runs if run.complete)
        column = next((name for name in named if name is not None), None)
        if column is None or column in refused:
            return None
        columns.append(column)
    found, flawed = [], []
    for members in groups:
        measured = [_values(run, goals, columns) for run in members if run.complete]
        complete = [values for values in measured if values is not None]
        summaries = [summarize(values) for values in zip(*complete, strict=True)]
        if complete:
            values = tuple(summary for summary in summaries if summary)
            first, lost = members[0], len(members) - len(complete)
            run, row = first.directory.name, row_of[first.directory]
            found.append(Candidate(run, first.model, row.name, row.label, values, lost))
            flawed.append(lost > 0 or limits_broken([run for run in members if run.complete]) != [])
    if not found:
        return None
    # a mean over the survivors alone beats none over all seeds, nor does what breaks a constraint
    points = [(*one.point, float(flaw)) for one, flaw in zip(found, flawed, strict=True)]
    best = pareto_front(points, [*(goal.direction for goal in goals), "minimize"])
    candidates = [replace(one, on_front=place in best) for place, one in enumerate(found)]
    return Front(goals, tuple(columns), candidates)


def _values(run: Run, goals: Sequence[Goal], columns: Sequence[str]) -> list[float] | None:
    found = [value_of(run, goal, column) for goal, column in zip(goals, columns, strict=True)]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else None


def front_table(sweep: Sweep, front: Front, confirmed: bool) -> Table:
    """The members of a front with the mean of every objective."""
    what = "confirmed with fresh seeds" if confirmed else "of the trials"
    rows = [[one.name, one.seeds, *map(_cell, one.values)] for one in front.members]
    heads = [
        f"{column}, {'higher' if goal.direction == 'maximize' else 'lower'} is better"
        for column, goal in zip(front.columns, front.goals, strict=True)
    ]
    of = plural(len(front.candidates), "configuration")
    caption = f"{sweep.name}: Pareto front {what}, {len(rows)} of {of}"
    return Table(caption, ["configuration", "seeds", *heads], rows, titled=True)


def _cell(summary: Summary) -> str:
    return f"{summary} {summary.interval_text}".rstrip()
