"""A table's cells beside the paper's figures, with the tests of agreement, in plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

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
from gansweep.reproduce.plan import FAILED, LOST
from gansweep.reproduce.results import StoredRun, rank
from gansweep.reproduce.table import Budget, Cell, Expected, Published, Score, Table

UNSCORED = (*LOST, FAILED)
STRENGTH = ("cannot tell", "trend", "same")  # of a verdict for an order, ascending


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
    """How the runs of a cell ended: none is dropped.

    done: those that ended well.   ends: how often each other end came: diverged, collapsed, or
    failed by a bug or a mistake, to run again.
    """

    cell: Cell
    done: int
    ends: Mapping[str, int]
    versions: tuple[str, ...]
    seconds: float

    @property
    def n(self) -> int:
        return self.done + sum(self.ends.values())


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
    elsewhere: tuple[str, ...] = ()  # other budgets with runs in the file

    def of(self, cell: Cell) -> list[CellScore]:
        return [one for one in self.cells if one.cell is cell]

    @property
    def expected(self) -> set[tuple[str, str, str]]:
        """(row, setting, score) of the orders that are expected without a figure."""
        return {(row, o.setting, o.score) for o in self.table.orders for row in o.rows}

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
    mixed = tuple(_mixed(table, by_cell))
    apart = {(setting, refusal.score) for setting, refusal in mixed}
    cells = [
        _untested(one) if (cell.setting, score.title) in apart else one
        for cell in table.cells
        for score in table.scores.values()
        if (one := _cell_score(cell, score, by_cell[cell.name], table, budget))
    ]
    runs = [_runs(cell, by_cell[cell.name]) for cell in table.cells]
    orders = [
        found
        for setting in table.settings
        for score in table.scores.values()
        if (found := _order(setting, score, table, by_cell)) is not None
    ]
    orders += filter(None, (_expected(order, table, by_cell) for order in table.orders))
    orders = [order for order in orders if (order.setting, order.score.title) not in apart]
    hardware = sorted({str(run["hardware"].get("device")) for run in current})
    outdated = sum(run["address"] not in addresses for run in own)
    repeated = len(own) - outdated - len(current)
    parts = (tuple(cells), tuple(runs), tuple(orders), outdated, repeated, mixed, tuple(hardware))
    elsewhere = sorted({run["budget"] for run in stored} - {budget.name})
    return Judged(table, budget, *parts, tuple(elsewhere))


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


def _place(run: StoredRun) -> tuple[bool, bool, int, str]:
    return *rank(run), run["ended"] or ""


def _runs(cell: Cell, runs: Sequence[StoredRun]) -> CellRuns:
    ends = {word: sum(run["status"] == word for run in runs) for word in UNSCORED}
    versions = sorted({str(run["versions"].get("gansweep", "unknown")) for run in runs})
    seconds = math.fsum(run["seconds"] or 0.0 for run in runs)
    return CellRuns(cell, len(runs) - sum(ends.values()), ends, tuple(versions), seconds)


def values_of(runs: Sequence[StoredRun], which: str, score: Score) -> list[list[float]]:
    """Of each run that has the score its values, in the paper's unit; of a lost or failed run none:
    what it measured before is of neither checkpoint."""
    kept = [run for run in runs if run["status"] not in UNSCORED]
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


def _untested(one: CellScore) -> CellScore:
    """With no agreement of values that do not belong beside each other."""
    if one.agreement is None:
        return one
    return replace(one, agreement=Equivalence("cannot tell", math.nan, math.nan, mixed=True))


def _expected(
    one: Expected, table: Table, by_cell: Mapping[str, Sequence[StoredRun]]
) -> ColumnOrder | None:
    """The test of an order that the paper states without figures."""
    rows = [
        (float(place), by_cell[f"{row} / {one.setting}"], row) for place, row in enumerate(one.rows)
    ]
    return _column(one.setting, table, table.scores[one.score], rows)


def _column(
    setting: str,
    table: Table,
    score: Score,
    rows: Sequence[tuple[float, Sequence[StoredRun], str]],
) -> ColumnOrder | None:
    """rows: (place, runs, row), by place; those without runs are left out.

    Runs that could not be scored may be anywhere: the test is made with all of them above and with
    all below. The weaker verdict holds, and none where one test finds the opposite order alone.
    """
    tests = []
    for elsewhere in (-math.inf, math.inf):
        groups = [
            (place, values, row)
            for place, runs, row in rows
            if (values := _ranked(runs, table, score, elsewhere))
        ]
        order = order_of([(place, values) for place, values, _ in groups])
        if order is None:
            return None
        places, names = tuple(place for place, *_ in groups), tuple(row for *_, row in groups)
        tests.append(ColumnOrder(setting, score, names, places, order))
    opposite = [one for one in tests if one.order.verdict == "opposite"]
    if len(opposite) == 1:
        return replace(opposite[0], order=replace(opposite[0].order, verdict="cannot tell"))
    return opposite[0] if opposite else min(tests, key=_strength)


def _strength(one: ColumnOrder) -> int:
    return STRENGTH.index(one.order.verdict)


def _means(runs: Sequence[StoredRun], table: Table, score: Score) -> list[float]:
    """Of each run its value by the paper's rule, the mean over the seeds of the noise."""
    return [math.fsum(v) / len(v) for v in values_of(runs, table.rule, score)]


def _lost(runs: Sequence[StoredRun]) -> int:
    return sum(run["status"] in LOST for run in runs)


def _ranked(runs: Sequence[StoredRun], table: Table, score: Score, elsewhere: float) -> list[float]:
    """The values of the runs, to be ranked: a lost run is worse than all others.

    elsewhere: the value of those that have none, beside some that have one.
    """
    means, lost = _means(runs, table, score), _lost(runs)
    worst = -math.inf if score.direction == "maximize" else math.inf
    unscored = len(runs) - lost - len(means) if means else 0
    return [*means, *[worst] * lost, *[elsewhere] * unscored]


def _order(
    setting: str, score: Score, table: Table, by_cell: Mapping[str, Sequence[StoredRun]]
) -> ColumnOrder | None:
    """The test of the order of the paper's figures. Calculated ones are tested one by one, and
    those from memory not at all."""
    if score.tolerance is not None or table.known_from == "memory":
        return None
    rows = [
        (published.value, by_cell[cell.name], cell.row)
        for cell in table.cells
        if cell.setting == setting and (published := cell.published.get(score.name)) is not None
    ]
    return _column(setting, table, score, sorted(rows, key=lambda row: row[0]))
