"""A published table as data.

A table has rows (methods), settings (data sets, or numbers of labels) and scores. A cell is a row
in a setting: one configuration, trained with several seeds, with a published value of each score.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gansweep.errors import UserError, nearest
from gansweep.metrics.protocol import DIRECTIONS, RANGES

# where a figure was read; those from memory are leads, and no verdict rests on them
KnownFrom = Literal["repository", "table", "copy", "calculated", "memory", "ours"]
Shows = Literal["digits", "order", "trend", "nothing"]
SHARE = re.compile(r"share-(\d*\.?\d+)")  # the name of a budget that no file names


@dataclass(frozen=True)
class Score:
    """A column: a score's word, and how it is shown.

    factor: by which the measured value is multiplied, 100 for a share in per cent.
    tolerance: for a figure that is calculated, and has no error of its own: how far ours may be.
    better: the direction of a score that is not gansweep's, "minimize" or "maximize".
    """

    name: str
    word: str
    title: str
    factor: float = 1.0
    decimals: int = 2
    tolerance: float | None = None
    better: str | None = None

    @property
    def direction(self) -> str | None:
        return self.better or DIRECTIONS.get(self.word)

    @property
    def range(self) -> tuple[float, float]:
        """What it can be at all, as it is shown."""
        low, high = RANGES.get(self.word, (-math.inf, math.inf))
        return low * self.factor, high * self.factor


@dataclass(frozen=True)
class Published:
    """A figure of the paper, as it prints it; the error is of the table's kind."""

    value: float
    error: float | None = None


@dataclass(frozen=True)
class Cell:
    """A row in a setting.   overrides: of `gansweep train`, before a budget's."""

    row: str
    setting: str
    overrides: tuple[str, ...]
    published: Mapping[str, Published]

    @property
    def name(self) -> str:
        return f"{self.row} / {self.setting}"


@dataclass(frozen=True)
class Budget:
    """How much of the paper's budget is spent, and what that can still show.

    share: of the paper's budget_kimg.   says: what it shows, in words.
    """

    name: str
    share: float
    seeds: int
    shows: Shows
    says: str = ""
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Departure:
    what: str
    why: str


@dataclass(frozen=True)
class Expected:
    """An order that the paper states without figures: rows from the smallest score up."""

    setting: str
    score: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One published table.

    error: what the published errors are: "se", "sd", or "none"; runs: of how many runs.
    rule: the checkpoint that the paper reports.   evaluations: of a run while it trains.
    evaluation_seeds: with how many seeds of its noise each checkpoint is scored; 0: the scores are
        those of the run itself.   evaluation: options of the metrics for that, such as split.
    not_run: row -> why it is shown with the paper's figures alone.
    most: setting -> score -> the most that it can be in this setting, as the number of its modes.
    """

    name: str
    title: str
    citation: str
    known_from: KnownFrom
    run_by_us: bool
    error: str
    runs: int | None
    rule: str
    evaluation_seeds: int
    evaluations: int
    scores: Mapping[str, Score]
    settings: Mapping[str, str]  # name -> title
    cells: tuple[Cell, ...]
    budgets: Mapping[str, Budget]
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    orders: tuple[Expected, ...] = ()
    departures: tuple[Departure, ...] = ()
    notes: tuple[str, ...] = ()
    not_run: Mapping[str, str] = field(default_factory=dict)
    most: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def possible(self, cell: Cell, score: Score) -> tuple[float, float]:
        """The least and the most that a cell's score can be, as it is shown."""
        low, high = score.range
        return low, min(high, self.most.get(cell.setting, {}).get(score.name, math.inf))

    @property
    def rows(self) -> list[str]:
        return list(dict.fromkeys(cell.row for cell in self.cells))

    def to_run(self, only: Sequence[str] | None = None) -> list[Cell]:
        """The cells that are run, in the table's order; of those that `only` names, if given.

        only: rows, settings or ROW / SETTING; a setting is named by its key or its title.
        Raises: UserError for a name that there is not, or a row that is not run.
        """
        if only is None:
            return [cell for cell in self.cells if cell.row not in self.not_run]
        meant = [cell for name in only for cell in self._named(name)]
        return [cell for cell in self.cells if cell in meant]

    def _named(self, name: str) -> list[Cell]:
        meant = [cell for cell in self.cells if name in self._names_of(cell)]
        if not meant:
            known = [one for cell in self.cells for one in self._names_of(cell)]
            raise UserError(
                f"--only {name}: the table {self.name} has no such row, setting or cell."
                f"{nearest(name, known)} Its rows are: {'; '.join(self.rows)}. Its settings are: "
                f"{'; '.join(self.settings)}. Or give 'ROW / SETTING'."
            )
        found = [cell for cell in meant if cell.row not in self.not_run]
        if not found:
            raise UserError(
                f"--only {name} has the paper's figures alone. {self.not_run[meant[0].row]}"
            )
        return found

    def _names_of(self, cell: Cell) -> tuple[str, ...]:
        title = self.settings[cell.setting]
        return cell.row, cell.setting, title, cell.name, f"{cell.row} / {title}"

    def budget(self, name: str | None) -> Budget:
        """The budget of that name, or of that share; the first one for None.

        Raises: UserError for another name.
        """
        first = next(iter(self.budgets.values()))
        if name is None or name in self.budgets:
            return first if name is None else self.budgets[name]
        share = SHARE.fullmatch(name)
        if share is None or not 0 < float(share[1]) < 1:
            raise UserError(
                f"--budget {name}: the table {self.name} has no such budget."
                f"{nearest(name, self.budgets)} It has: {', '.join(self.budgets)}; or give a part "
                "of its images, as in --budget share-0.25."
            )
        shows: Shows = "order" if first.shows == "digits" else first.shows
        return Budget(name, float(share[1]), first.seeds, shows, "", self.largest.overrides)

    @property
    def largest(self) -> Budget:
        """The budget of most images, of which a share is a part."""
        return max(self.budgets.values(), key=lambda one: one.share)
