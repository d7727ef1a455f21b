"""What a table's cells are as runs: their options, their addresses, and which are there already.

A run is known by the content address of its configuration (records/address.py). One that has ended
anywhere on the shelf counts, whoever trained it: another table, or `gansweep train`.
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from gansweep.errors import UserError
from gansweep.records.address import address_of, deciding, still_holds
from gansweep.records.find import find_records
from gansweep.records.record import ENDED_WELL, RunRecord
from gansweep.records.run_config import revisions_of, stored_settings
from gansweep.reproduce.table import Budget, Cell, Table
from gansweep.search.listed import Point
from gansweep.search.settings import Settings

TARGET = "gansweep.reproduce.trial.train_cell"
LOST, FAILED = ("diverged", "collapsed"), "failed"
ENDED = (*ENDED_WELL, *LOST)  # what a training can lead to; a bug is none of it
OPEN = ("running", "interrupted")  # a training that its last checkpoint continues
PERIODIC = ("quality", "samples", "neighbours")  # callbacks that act as often as a table says
SEEDED = re.compile(r"\bs(\d+)-[0-9a-f]{8}$")  # how the name of a run's directory ends
Compose = Callable[[list[str]], Any]


@dataclass(frozen=True)
class PlannedCell:
    """A cell under a budget.

    words: of `gansweep train`, without the seed.   cfg: composed of them.   steps: of a run.
    """

    cell: Cell
    words: tuple[str, ...]
    cfg: DictConfig

    @property
    def steps(self) -> int:
        return round(self.cfg.budget_kimg * 1000 / self.cfg.batch_size)

    @property
    def evaluations(self) -> int:
        """How often it is scored while it trains."""
        quality = self.cfg.callbacks.get("quality")
        return 0 if quality is None else math.ceil(self.cfg.budget_kimg / quality.every_kimg - 1e-6)

    def address(self, seed: int) -> str:
        return self._address(seed, self.cfg.budget_kimg)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides its runs, but for the seed, of which some options may be made."""
        return deciding(self.cfg)

    def settings_with(self, seed: int) -> dict[str, Any]:
        """As `settings`, with the options that are made of the seed."""
        return deciding(self._with(seed, self.cfg.budget_kimg))

    @property
    def step(self) -> str:
        """Equal for cells whose steps cost the same: the address under no budget in particular."""
        return self._address(0, 1.0)

    def _address(self, seed: int, budget_kimg: float) -> str:
        return address_of(self._with(seed, budget_kimg))

    def _with(self, seed: int, budget_kimg: float) -> DictConfig:
        cfg = self.cfg.copy()
        with open_dict(cfg):
            cfg.seed, cfg.budget_kimg = seed, budget_kimg
            if budget_kimg != self.cfg.budget_kimg:
                cfg.callbacks = {}
        return cfg


@dataclass(frozen=True)
class PlannedRun:
    """One run of a cell.   begun: the directory of what an older version has trained of it."""

    planned: PlannedCell
    seed: int
    address: str
    begun: str | None = None

    @property
    def place(self) -> str:
        """Row, setting and seed, as its directory begins."""
        cell = self.planned.cell
        words = [re.sub(r"[^A-Za-z0-9.]+", "_", w).strip("_.") for w in _places(cell)]
        return "-".join([*filter(None, words), f"s{self.seed}", ""])

    @property
    def key(self) -> str:
        """The name of its directory, which ends with the start of its address."""
        return self.begun or f"{self.place}{self.address[:8]}"

    def point(self, table: Table, budget: Budget) -> Point:
        cell = self.planned.cell
        note = {
            "table": table.name,
            "budget": budget.name,
            "row": cell.row,
            "setting": cell.setting,
            "address": self.address,
            "evaluation_seeds": table.evaluation_seeds,
            "evaluation": dict(table.evaluation),
        }
        params = {"row": cell.row, "setting": cell.setting, "seed": self.seed}
        words = [*self.planned.words, f"seed={self.seed}"]
        return {"key": self.key, "params": params, "overrides": words, "note": note}


def _places(cell: Cell) -> tuple[str, str]:
    return cell.row, cell.setting


def planned_cells(
    table: Table, budget: Budget, compose: Compose, only: Sequence[str] | None = None
) -> list[PlannedCell]:
    """The cells that are run, composed under the budget.

    Raises: UserError naming the cell whose options do not fit, two cells that are the same run, or
        the name in `only`.
    """
    found: dict[str, PlannedCell] = {}
    for cell in table.to_run(only):
        one = planned(cell, table, budget, compose)
        other = found.setdefault(one.address(0), one)
        if other is not one:
            raise UserError(
                f"{table.name}: '{other.cell.name}' and '{cell.name}' are the same run: their "
                "options differ in nothing that decides a result, as places and threads do not. "
                "Remove one of them, or change its options."
            )
    return list(found.values())


def planned(cell: Cell, table: Table, budget: Budget, compose: Compose) -> PlannedCell:
    """A cell, composed under the budget. Raises: UserError naming it."""
    words = [*cell.overrides, *budget.overrides]
    try:
        cfg = compose(words)
    except UserError as error:
        raise UserError(f"{table.name}, {cell.name}: {error}") from error
    steps = max(1, round(cfg.budget_kimg * 1000 * budget.share / cfg.batch_size))
    cfg.budget_kimg = float(_number(steps * cfg.batch_size / 1000))
    words.append(f"budget_kimg={_number(cfg.budget_kimg)}")
    every = _number(cfg.budget_kimg / table.evaluations)
    for name in PERIODIC:
        if cfg.callbacks.get(name) is not None:
            cfg.callbacks[name].every_kimg = float(every)
            words.append(f"callbacks.{name}.every_kimg={every}")
    return PlannedCell(cell, tuple(words), cfg)


def _number(value: float) -> str:
    return f"{value:.12g}"


def planned_runs(cells: Iterable[PlannedCell], seeds: int) -> list[PlannedRun]:
    """Seed by seed, so that a table that is stopped early has something of every cell."""
    cells = list(cells)
    return [PlannedRun(one, seed, one.address(seed)) for seed in range(seeds) for one in cells]


def adopted(runs: Sequence[PlannedRun], runs_dir: Path) -> dict[str, RunRecord]:
    """Address -> the record of a run that has ended, of those below `runs_dir`.

    A run of an older version counts where its options say the same still; of two records of a run
    one that was lost does, else that of today's version.
    A record that cannot be read is passed over: its run is trained.
    """
    alike: dict[tuple[Any, Any], list[PlannedRun]] = {}
    for run in runs:
        alike.setdefault((run.seed, float(run.planned.cfg.budget_kimg)), []).append(run)
    found: dict[str, RunRecord] = {}
    lost: set[str] = set()
    try:
        records = find_records([runs_dir])
    except UserError:  # there is none yet
        return {}
    for record in records:
        result = record.result() or {}
        candidates = alike.get((result.get("seed"), result.get("budget_kimg")), [])
        is_lost = result.get("status") in LOST
        known = all(run.address in found for run in candidates)
        if not has_ended(record) or (known and not is_lost):
            continue
        try:
            settings = stored_settings(record)
            revisions = revisions_of(record)
            address, before = address_of(settings, revisions), deciding(settings, revisions)
        except (UserError, OmegaConfBaseException):
            continue
        for run in candidates:
            is_older = run.address != address
            if run.address in lost or (is_older and run.address in found and not is_lost):
                continue
            if not is_older or (
                _was_given(record, run) and still_holds(before, run.planned.settings_with(run.seed))
            ):
                found[run.address] = record
                lost.update([run.address] if is_lost else [])
    return found


def has_ended(record: RunRecord) -> bool:
    """Whether the training of a record has ended, and was not cut off: a limit of the trainer or a
    callback may have finished it early."""
    result = record.result() or {}
    if result.get("status") != "finished":
        return result.get("status") in ENDED
    kimg, budget = result.get("kimg"), result.get("budget_kimg")
    return kimg is None or budget is None or kimg >= budget - 1e-9


def continuing(runs: Iterable[PlannedRun], directory: Path) -> list[PlannedRun]:
    """The runs, those that an older version has begun in the table's directory by their names
    there: a new option changes the address, and what was trained is to be continued."""
    return [replace(run, begun=_begun(run, directory)) for run in runs]


def _begun(run: PlannedRun, directory: Path) -> str | None:
    for folder in sorted(directory.glob(f"{glob.escape(run.place)}*")):
        record = RunRecord(folder)
        status = (record.result() or {}).get("status")
        if status not in OPEN or not record.last.exists() or not _was_given(record, run):
            continue
        try:
            before = deciding(stored_settings(record), revisions_of(record))
        except (UserError, OmegaConfBaseException):
            continue
        if still_holds(before, run.planned.settings_with(run.seed)):
            return folder.name
    return None


def _was_given(record: RunRecord, run: PlannedRun) -> bool:
    """Whether the record's command had the options of a planned run; its seed is left out."""
    given = (record.result() or {}).get("overrides") or ()
    return set(given).issuperset(run.planned.words)


def settings_of(
    table: Table, budget: Budget, runs: Sequence[PlannedRun], *, name: str, runs_dir: str
) -> Settings:
    """The settings of the sweep that trains these runs.   runs: one at least."""
    return Settings(
        name=name,
        n_trials=len(runs),
        budget_kimg=max(float(run.planned.cfg.budget_kimg) for run in runs),
        base_seed=0,
        space={},
        overrides=[],
        # of no search: the runs' scores are compared with the paper's, not with each other
        objective={"metric": "seconds", "direction": "minimize", "at": "last"},
        sampler={"name": "random", "seed": 0, "startup_trials": 0},
        pruner={"name": "none", "warmup_fraction": 0.2, "startup_trials": 5, "reduction_factor": 3},
        confirm={"top": 0, "per": "config", "seeds": 1, "n_fake": None},
        max_retries=5,
        runs_dir=runs_dir,
        target=TARGET,
        points=[run.point(table, budget) for run in runs],
    )
