"""A table's cells beside the paper's figures, with the tests of agreement, in plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gansweep.judging.agreement import (
    Equivalence,
    Figure,
    Order,
    Spread,
    equivalence,
    order_of,
    spread_of,
    within,
)
from gansweep.judging.protocols import Refusal
from gansweep.metrics.protocol import protocol_key
from gansweep.reproduce.results import LOST, StoredRun, rank
from gansweep.reproduce.table import Budget, Cell, Expected, Published, Score, Table


@dataclass(frozen=True)
class CellScore:
    """One cell's score: the paper's figure and ours, of the last and of the best checkpoint.

    agreement: of the checkpoint that the paper's rule names; None where it is not tested.
    """

    cell: Cell
    score: Score
    published: Published | None
    last: Spread | None
    best: Spread | None
    agreement: Equivalence | None


@dataclass(frozen=True)
class CellRuns:
    """How the runs of a cell ended: none is dropped."""

    cell: Cell
    done: int
    diverged: int
    collapsed: int
    versions: tuple[str, ...]
    seconds: float

    @property
    def n(self) -> int:
        return self.done + self.diverged + self.collapsed


@dataclass(frozen=True)
class ColumnOrder:
    """The order of the rows of one score in one setting.

    rows: by the paper's figures, ascending.   places: these figures, or the rows' ranks.
    """

    setting: str
    score: Score
    rows: tuple[str, ...]
    places: tuple[float, ...]
    order: Order


@dataclass(frozen=True)
class Judged:
    """A table under one budget."""

    table: Table
    budget: Budget
    cells: tuple[CellScore, ...]
    runs: tuple[CellRuns, ...]
    orders: tuple[ColumnOrder, ...]
    outdated: int  # runs in the file whose cell has changed since
    repeated: int  # runs in the file of a seed that another run counts for
    mixed: tuple[tuple[str, Refusal], ...]  # setting, and a score of several protocols in it
    hardware: tuple[str, ...] = ()

    def of(self, cell: Cell) -> list[CellScore]:
        return [one for one in self.cells if one.cell is cell]

    def runs_of(self, cell: Cell) -> CellRuns | None:
        return next((one for one in self.runs if one.cell is cell), None)

    @property
    def n(self) -> int:
        return sum(one.n for one in self.runs)


def judged(
    table: Table, budget: Budget, stored: Sequence[StoredRun], addresses: Mapping[str, str]
) -> Judged:
    """stored: the runs of the file.   addresses: of what the cells' runs are now -> cell's name."""
    own = [run for run in stored if run["budget"] == budget.name]
    by_cell = {cell.name: _seeds(own, cell, addresses) for cell in table.cells}
    current = [run for runs in by_cell.values() for run in runs]
    cells = [
        _cell_score(cell, score, by_cell[cell.name], table, budget)
        for cell in table.cells
        for score in table.scores.values()
    ]
    runs = [_runs(cell, by_cell[cell.name]) for cell in table.cells]
    orders = [
        found
        for setting in table.settings
        for score in table.scores.values()
        if (found := _order(setting, score, table, by_cell)) is not None
    ]
    orders += filter(None, (_expected(one, table, by_cell) for one in table.orders))
    hardware = sorted({str(run["hardware"].get("device")) for run in current})
    outdated = sum(run["address"] not in addresses for run in own)
    repeated = len(own) - outdated - len(current)
    mixed = tuple(_mixed(table, by_cell))
    parts = (tuple(cells), tuple(runs), tuple(orders), outdated, repeated, mixed, tuple(hardware))
    return Judged(table, budget, *parts)


def _mixed(
    table: Table, by_cell: Mapping[str, Sequence[StoredRun]]
) -> Iterator[tuple[str, Refusal]]:
    """The scores that runs of one setting were given under several protocols."""
    for setting in table.settings:
        cells = [cell for cell in table.cells if cell.setting == setting]
        runs = [run for cell in cells for run in by_cell[cell.name]]
        for score in table.scores.values():
            known = [p for run in runs if (p := run["protocols"].get(score.word))]
            different = {protocol_key(protocol): protocol for protocol in known}
            if len(different) > 1:
                yield setting, Refusal(score.title, [(p, []) for p in different.values()])


def _seeds(runs: Sequence[StoredRun], cell: Cell, addresses: Mapping[str, str]) -> list[StoredRun]:
    """The runs of a cell, one of each seed: of an older and a newer version's that of the higher
    rank, the newer one if these are equal. The file may know the cell by an older name."""
    found: dict[int, StoredRun] = {}
    for run in runs:
        if addresses.get(run["address"]) == cell.name:
            known = found.get(run["seed"])
            if known is None or _place(run) > _place(known):
                found[run["seed"]] = run
    return [found[seed] for seed in sorted(found)]


def _place(run: StoredRun) -> tuple[bool, int, str]:
    return *rank(run), run["ended"] or ""


def _runs(cell: Cell, runs: Sequence[StoredRun]) -> CellRuns:
    lost = {word: sum(run["status"] == word for run in runs) for word in LOST}
    versions = sorted({str(run["versions"].get("gansweep", "unknown")) for run in runs})
    seconds = math.fsum(run["seconds"] or 0.0 for run in runs)
    done = len(runs) - sum(lost.values())
    return CellRuns(cell, done, lost["diverged"], lost["collapsed"], tuple(versions), seconds)


def values_of(runs: Sequence[StoredRun], which: str, score: Score) -> list[list[float]]:
    """Of each run that has the score its values, in the paper's unit; of a lost run none: what it
    measured before it was lost is of neither checkpoint."""
    kept = [run for run in runs if run["status"] not in LOST]
    lists = [(run["last"] if which == "last" else run["best"]).get(score.word) for run in kept]
    return [[value * score.factor for value in values] for values in lists if values]


def _cell_score(
    cell: Cell, score: Score, runs: Sequence[StoredRun], table: Table, budget: Budget
) -> CellScore:
    possible = table.possible(cell, score)
    spreads = {
        which: spread_of(values_of(runs, which, score), possible) for which in ("last", "best")
    }
    published = cell.published.get(score.name)
    agreement = None
    if published is not None and budget.shows == "digits" and table.known_from != "memory":
        means = _means(runs, table, score)
        # a score that no run was given was not measured; beside one that has it, others lack it
        lost = len(runs) - len(means) if means else _lost(runs)
        if score.tolerance is not None:
            agreement = within(means, published.value, score.tolerance, lost)
        else:
            figure = Figure(published.value, published.error, table.error, table.runs)
            agreement = equivalence(means, figure, lost)
    return CellScore(cell, score, published, spreads["last"], spreads["best"], agreement)


def _expected(
    one: Expected, table: Table, by_cell: Mapping[str, Sequence[StoredRun]]
) -> ColumnOrder | None:
    """The test of an order that the paper states without figures."""
    score = table.scores[one.score]
    groups = [
        (float(place), values, row)
        for place, row in enumerate(one.rows)
        if (values := _ranked(by_cell[f"{row} / {one.setting}"], table, score))
    ]
    return _column(one.setting, score, groups)


def _column(
    setting: str, score: Score, groups: Sequence[tuple[float, Sequence[float], str]]
) -> ColumnOrder | None:
    """groups: (place, values, row) of each row that has values, by place."""
    order = order_of([(place, values) for place, values, _ in groups])
    if order is None:
        return None
    places, rows = tuple(place for place, *_ in groups), tuple(row for *_, row in groups)
    return ColumnOrder(setting, score, rows, places, order)


def _means(runs: Sequence[StoredRun], table: Table, score: Score) -> list[float]:
    """Of each run its value by the paper's rule, the mean over the seeds of the noise."""
    return [math.fsum(v) / len(v) for v in values_of(runs, table.rule, score)]


def _lost(runs: Sequence[StoredRun]) -> int:
    return sum(run["status"] in LOST for run in runs)


def _ranked(runs: Sequence[StoredRun], table: Table, score: Score) -> list[float]:
    """The values of the runs, to be ranked: a lost run is worse than all others."""
    worst = -math.inf if score.direction == "maximize" else math.inf
    return [*_means(runs, table, score), *[worst] * _lost(runs)]


def _order(
    setting: str, score: Score, table: Table, by_cell: Mapping[str, Sequence[StoredRun]]
) -> ColumnOrder | None:
    groups = []
    # calculated figures are tested one by one, and those from memory not at all
    if score.tolerance is not None or table.known_from == "memory":
        return None
    for cell in table.cells:
        published = cell.published.get(score.name)
        values = _ranked(by_cell[cell.name], table, score)
        if cell.setting == setting and published is not None and values:
            groups.append((published.value, values, cell.row))
    groups.sort(key=lambda group: group[0])
    return _column(setting, score, groups)
