"""A table under a budget on this machine: its runs, which of them are there, and their cost."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gansweep.cli.reproduce import VALUED, parser
from gansweep.cli.sweep_options import check_sweep
from gansweep.cli.waiting import waiting
from gansweep.config import permissions
from gansweep.config.compose import compose
from gansweep.config.directory_names import checked_name
from gansweep.engine.launch import worker_count
from gansweep.errors import UserError, nearest, tell
from gansweep.records.record import RunRecord
from gansweep.reproduce import cost, plan, results, scoring
from gansweep.reproduce.guide import current
from gansweep.reproduce.judged import Judged, judged
from gansweep.reproduce.table_file import load_table, table_names
from gansweep.search.settings import Settings

OWN_KEYS = ("runs_dir", "results_dir", "workers", "storage", "launcher")
OF_RUNS = ("trainer", "tracker")  # groups of which every run takes options


class Reproduction:
    """A table under a budget on this machine."""

    def __init__(self, words: Sequence[str], options: argparse.Namespace) -> None:
        granted = [word for word in words if permissions.is_package_option(word)]
        for word in granted:
            permissions.allow_packages(permissions.packages_in(word.partition("=")[2]))
        name, given = _split([word for word in words if word not in granted])
        self.table = load_table(name, options.config_dir)
        self.budget = self.table.budget(options.budget)
        self.seeds = self.budget.seeds
        self.results_dir = given.pop("results_dir", "results")
        self.of_runs = [f"{k}={v}" for k, v in given.items() if _group(k) in OF_RUNS]
        if not any(_group(word) == "tracker" for word in self.of_runs):
            self.of_runs.append("tracker=none")
        own = [f"{k}={v}" for k, v in given.items() if _group(k) not in OF_RUNS]
        folder = options.config_dir
        self.config_dir = None if folder is None else str(Path(folder).resolve())
        self.cfg = compose(own, config_name="sweep", config_dir=self.config_dir)
        check_sweep(self.cfg)
        _refuse_trying(self.cfg.launcher)
        self.runs_dir = Path(self.cfg.runs_dir)
        self.name = checked_name("name", f"reproduce-{self.table.name}")
        self.directory = self.runs_dir / self.name
        self.path = results.path_of(self.table, self.results_dir)
        if options.seeds is not None:
            self.seeds = int(options.seeds)
        elif options.show or options.badge or options.verify:
            self.seeds = max([self.seeds, *self._seeds_there()])
        self._plan(options)

    def _seeds_there(self) -> Iterator[int]:
        """How many seeds the file and the table's directory have, of other commands."""
        for run in results.load_results(self.path):
            yield run["seed"] + 1
        for folder in self.directory.glob("*-s*-*"):
            if (named := plan.SEEDED.search(folder.name)) is not None:
                yield int(named[1]) + 1

    def _plan(self, options: argparse.Namespace) -> None:
        """The cells and runs under the budget, or under as much of it as --minutes allows; what
        it allowed when they were begun, where the same command is given again."""
        minutes = None if self._keep_budget(options) else options.minutes
        self.kept_for = options.minutes if minutes is None else None
        if minutes is not None:
            self.budget = self.table.largest
        self.cells = plan.planned_cells(self.table, self.budget, self._compose, options.only)
        self.runs = plan.planned_runs(self.cells, self.seeds)
        if minutes is not None:
            self._shorten(float(minutes), options.only)
        self.runs = plan.continuing(self.runs, self.directory)

    def _keep_budget(self, options: argparse.Namespace) -> bool:
        """Take the budget that the same --minutes chose before, if they did: with other free
        memory or costs they would choose another one, whose runs begin from zero."""
        if options.minutes is None:
            return False
        try:
            begun = Settings.load(self.directory)
            flags, _ = parser().read(shlex.split(begun.command)[2:])
            if not asks_the_same(flags, options):
                return False
            self.budget = self.table.budget(str(begun.points[0]["note"]["budget"]))
        except (UserError, LookupError, TypeError, ValueError):  # none, damaged, of another table
            return False
        return True

    def _shorten(self, minutes: float, only: Sequence[str] | None) -> None:
        workers, costs = self.costs(self.cells, len(self.runs))
        seeds = self.table.evaluation_seeds
        share = cost.share_within(minutes, workers, self.runs, costs, seeds)
        if share < 1:
            self.budget = self.table.budget(f"share-{share * self.budget.share:.10f}".rstrip("0"))
            self.cells = plan.planned_cells(self.table, self.budget, self._compose, only)
            self.runs = plan.planned_runs(self.cells, self.seeds)

    def costs(
        self, cells: Sequence[plan.PlannedCell], runs: int
    ) -> tuple[int, dict[str, cost.Cost]]:
        """(workers, what a step of each cell costs), measured if it is not known."""
        workers = worker_count(plain(self.cfg.launcher), self.cfg.workers, runs)
        threads = max(1, _cores() // workers) if self.cfg.launcher.name == "local" else 1
        found = cost.measured(cells, threads, lambda name: waiting.show(f"measuring {name}"))
        waiting.stop()
        return workers, found

    def _compose(self, words: list[str]) -> Any:
        return compose([*words, *self.of_runs], config_dir=self.config_dir)

    def known(self) -> tuple[list[results.StoredRun], dict[str, RunRecord]]:
        """(the runs of the results' file, the records on the shelf that count: by address)."""
        return results.load_results(self.path), plan.adopted(self.runs, self.runs_dir)

    def to_do(self) -> list[plan.PlannedRun]:
        """The runs that neither the file nor the shelf has."""
        kept, records = self.known()
        own = [
            run
            for run in kept
            if run["budget"] == self.budget.name and run["status"] != plan.FAILED
        ]
        cell_of = self.current(own)
        done = {(cell_of.get(run["address"]), run["seed"]) for run in own}
        return [
            run
            for run in self.runs
            if run.address not in records and (run.planned.cell.name, run.seed) not in done
        ]

    def stored(self, score: bool) -> list[results.StoredRun]:
        """The runs of the file with those of the shelf.   score: first make lacking scorings."""
        kept, records = self.known()
        new = []
        for run in self.runs:
            record = records.get(run.address) or self.failed(run)
            if record is None:
                continue
            seeds, options = self.table.evaluation_seeds, self.table.evaluation
            lacking = scoring.missing(record, seeds, options)
            if score and lacking and (record.result() or {}).get("status") in plan.ENDED_WELL:
                tell(f"gansweep: scoring {record.directory}")
                scoring.score_again(record, seeds, options)
            new.append(results.stored(run, record, self.table, self.budget))
        return results.merged(kept, new)

    def failed(self, run: plan.PlannedRun) -> RunRecord | None:
        """The record of a run that failed by a bug or a mistake; it runs again."""
        record = RunRecord(self.directory / run.key)
        return record if (record.result() or {}).get("status") == plan.FAILED else None

    def judged(self, stored: Sequence[results.StoredRun]) -> Judged:
        """All runs of the file count, also those of more seeds than were asked for."""
        return judged(self.table, self.budget, stored, self.current(stored))

    def current(self, stored: Sequence[results.StoredRun]) -> dict[str, str]:
        """Address -> cell of the stored runs that are still those of the cells."""
        seeds = max([self.seeds, *(run["seed"] + 1 for run in stored)])
        of = (self.table, self.budget.name, self._compose, stored, self.configs(), seeds)
        return current(*of)

    def configs(self) -> results.Configs:
        """Those of the file, and of the cells as they are now."""
        own = [one.settings for one in self.cells]
        now = {results.config_key(settings): settings for settings in own}
        return {**results.load_configs(self.path), **now}


def _refuse_trying(launcher: Mapping[str, Any]) -> None:
    if launcher.get("slots_per_gpu") == "auto":
        raise UserError(
            "launcher.slots_per_gpu=auto tries trials of one search, and the cells of a table are "
            "of several sizes. Give a number that suits the largest, as launcher.slots_per_gpu=2."
        )


def asks_the_same(begun: argparse.Namespace, now: argparse.Namespace) -> bool:
    """Whether two commands, by their flags, want the same runs to end in the same time.

    now: has --minutes.
    """
    if begun.minutes is None or float(begun.minutes) != float(now.minutes):
        return False
    if now.show or now.badge:  # of the whole table
        return True
    return sorted(begun.only or ()) == sorted(now.only or ()) and begun.seeds == now.seeds


def _split(words: Sequence[str]) -> tuple[str, dict[str, str]]:
    """(the table's name, key -> value). Raises: UserError for none or several, or another key."""
    names = [word for word in words if "=" not in word]
    if len(names) != 1:
        raise UserError(
            f"Name one table{', not ' + ' and '.join(names) if names else ''}, as in 'gansweep "
            f"reproduce dirac_gan'. There are: {', '.join(table_names())}."
        )
    given = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            continue
        if key.startswith(("+trainer.", "~trainer")):
            raise UserError(
                f"'{word}' changes what is trained, which is the table's. Of the trainer the runs "
                "take accelerator, devices, precision, compile and threads."
            )
        if _group(key) not in (*OWN_KEYS, *OF_RUNS) or (
            key in ("runs_dir", "results_dir") and not value
        ):
            if (flag := f"--{key}") in (*VALUED, "--only"):
                raise UserError(f"'{word}' has no dashes: write {flag} {shlex.quote(value)}.")
            raise UserError(
                f"'{word}' is no option of 'gansweep reproduce': what is trained is the table's. "
                f"{nearest(key, (*OWN_KEYS, *OF_RUNS, permissions.OPTION)).lstrip()} It takes "
                f"{', '.join(OWN_KEYS)}, launcher.KEY, trainer.KEY, tracker and "
                f"{permissions.OPTION}. Other cells are a table of your own: "
                "--config-dir DIR with DIR/reproduce/NAME.yaml."
            )
        given[key] = value
    return names[0], given


def _group(word: str) -> str:
    return word.lstrip("+~").partition("=")[0].partition(".")[0]


def plain(node: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    content: Mapping[str, Any] = OmegaConf.to_container(node)  # type: ignore[assignment]
    return dict(content)


def _cores() -> int:
    from gansweep.engine.launch.local import cores

    return cores()
