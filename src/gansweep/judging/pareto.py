"""The Pareto front of a sweep with several objectives."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gansweep.judging.constraints import broken_by_runs
from gansweep.judging.leaderboard import Board, Row
from gansweep.judging.objective import Objective
from gansweep.judging.ranking import pareto_front
from gansweep.judging.statistics import Summary, all_known, seeds_text, summarize
from gansweep.judging.trials import Sweep, sweeps_of
from gansweep.records.read import Run


@dataclass(frozen=True)
class Candidate:
    """A configuration with a value of every objective, over its seeds.

    run: the name of its first run.   lost: how many of its runs have no result.
    on_front: no other candidate dominates it.
    """

    run: str
    row: Row
    values: tuple[Summary, ...]
    lost: int
    on_front: bool = False

    @property
    def point(self) -> tuple[float, ...]:
        return tuple(summary.mean for summary in self.values)

    @property
    def seeds(self) -> str:
        return seeds_text(self.values[0].n, self.lost)


@dataclass(frozen=True)
class Front:
    """The trials of a sweep, or its confirmed configurations, in each objective.

    columns: the full name of each objective's score, or the key of the result.
    """

    objectives: tuple[Objective, ...]
    columns: tuple[str, ...]
    candidates: list[Candidate]

    @property
    def members(self) -> list[Candidate]:
        """The front, the best in the first objective first."""
        found = [one for one in self.candidates if one.on_front]
        return sorted(found, key=lambda o: o.point[0], reverse=self.directions[0] == "maximize")

    @property
    def directions(self) -> list[str]:
        return [objective.direction for objective in self.objectives]


def fronts(board: Board) -> list[tuple[Sweep, Front | None, Front | None]]:
    """(sweep, front of its trials, front of its confirmed configurations) of every sweep with
    several objectives."""
    refused = {refusal.score for refusal in board.refused}
    row_of = {run.directory: r for r in [*board.rows, *board.open_rows] for run in r.runs}
    found = []
    for sweep in sweeps_of(board.runs):
        if len(sweep.objectives) > 1:
            trials = [trial.runs for trial in sweep.trials if trial.complete]
            groups = (trials, _alike(sweep.confirmations))
            tried, confirmed = (_front(sweep.objectives, g, refused, row_of) for g in groups)
            found.append((sweep, tried, confirmed))
    return found


def _alike(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of one configuration together."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run.params, sort_keys=True, default=str), []).append(run)
    return list(groups.values())


def _front(
    objectives: tuple[Objective, ...],
    groups: Sequence[list[Run]],
    refused: Collection[str],
    row_of: Mapping[Path, Row],
) -> Front | None:
    """None where no group of runs has a value of every objective, all measured alike."""
    runs = [run for members in groups for run in members]
    columns = []
    for objective in objectives:
        named = (objective.column(run, runs) for run in runs if run.complete)
        column = next((name for name in named if name is not None), None)
        if column is None or column in refused:
            return None
        columns.append(column)
    found, flawed = [], []
    for members in groups:
        ended = [run for run in members if run.complete]
        pairs = list(zip(objectives, columns, strict=True))
        measured = (all_known(o.value(run, column) for o, column in pairs) for run in ended)
        scored = list(filter(None, measured))
        if scored:
            values = tuple(filter(None, map(summarize, zip(*scored, strict=True))))
            first, lost = members[0].directory, len(members) - len(scored)
            found.append(Candidate(first.name, row_of[first], values, lost))
            flawed.append(lost > 0 or broken_by_runs(ended) != [])
    if not found:
        return None
    points = [one.point for one in found]
    best = pareto_front(points, [objective.direction for objective in objectives], flawed)
    candidates = [replace(one, on_front=place in best) for place, one in enumerate(found)]
    return Front(objectives, tuple(columns), candidates)
