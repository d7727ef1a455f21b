"""One table: plan its runs, say what they cost, run what is missing, show it beside the paper's."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gansweep.cli.report import write_text
from gansweep.cli.reproduce import VALUED
from gansweep.cli.sweep_options import check_sweep
from gansweep.cli.sweep_run import launch
from gansweep.cli.waiting import waiting
from gansweep.config import permissions
from gansweep.config.compose import compose
from gansweep.config.directory_names import checked_name
from gansweep.engine.launch import worker_count
from gansweep.engine.lease import workers as worker_files
from gansweep.engine.storage.storage import canonical
from gansweep.errors import UserError, folded, nearest, tell, terminal_width, visible
from gansweep.records.notation import aligned, duration, listing, plural
from gansweep.records.record import RunRecord
from gansweep.reproduce import cost, page, plan, results, scoring, tables
from gansweep.reproduce.guide import current
from gansweep.reproduce.judged import Judged, judged
from gansweep.reproduce.table_file import load_table, table_names
from gansweep.reproduce.words import sentences
from gansweep.search.space import Space

OWN_KEYS = ("runs_dir", "results_dir", "workers", "storage", "launcher")
OF_RUNS = ("trainer", "tracker")  # groups whose options change no result


def list_tables(config_dir: str | None) -> str:
    """The name and the title of each table: names are whole, titles go on below themselves."""
    titles = {name: load_table(name, config_dir).title for name in table_names(config_dir)}
    left = max(map(len, titles)) + 2
    width = max(terminal_width(), left + 20)
    lines = [
        textwrap.fill(
            title,
            width,
            initial_indent=name.ljust(left),
            subsequent_indent=" " * left,
            break_on_hyphens=False,
        )
        for name, title in {"table": "what", **titles}.items()
    ]
    return "\n".join(lines) + "\nnext: gansweep reproduce TABLE --dry-run\n"


class Reproduction:
    """A table under a budget on this machine."""

    def __init__(self, words: Sequence[str], options: argparse.Namespace) -> None:
        granted = [word for word in words if permissions.is_package_option(word)]
        for word in granted:
            permissions.allow_packages(permissions.packages_in(word.partition("=")[2]))
        name, given = _split([word for word in words if word not in granted])
        self.table = load_table(name, options.config_dir)
        self.budget = self.table.budget(options.budget)
        self.seeds = self.budget.seeds if options.seeds is None else int(options.seeds)
        self.results_dir = given.pop("results_dir", "results")
        self.of_runs = [f"{k}={v}" for k, v in given.items() if _group(k) in OF_RUNS]
        if not any(_group(word) == "tracker" for word in self.of_runs):
            self.of_runs.append("tracker=none")
        own = [f"{k}={v}" for k, v in given.items() if _group(k) not in OF_RUNS]
        folder = options.config_dir
        self.config_dir = None if folder is None else str(Path(folder).resolve())
        self.cfg = compose(own, config_name="sweep", config_dir=self.config_dir)
        check_sweep(self.cfg)
        self.runs_dir = Path(self.cfg.runs_dir)
        self.name = checked_name("name", f"reproduce-{self.table.name}")
        self.directory = self.runs_dir / self.name
        self.path = results.path_of(self.table, self.results_dir)
        self._plan(options)

    def _plan(self, options: argparse.Namespace) -> None:
        """The cells and runs under the budget, or under as much of it as --minutes allows."""
        if options.minutes is not None:
            self.budget = max(self.table.budgets.values(), key=lambda one: one.share)
        self.cells = plan.planned_cells(self.table, self.budget, self._compose, options.only)
        self.runs = plan.planned_runs(self.cells, self.seeds)
        if options.minutes is not None:
            self._shorten(float(options.minutes), options.only)
        self.runs = plan.continuing(self.runs, self.directory)

    def _shorten(self, minutes: float, only: str | None) -> None:
        workers, costs = self.costs(self.cells, len(self.runs))
        seeds = self.table.evaluation_seeds
        share = cost.share_within(minutes, workers, self.runs, costs, seeds)
        if share < 1:
            self.budget = self.table.budget(f"share-{share:.10f}".rstrip("0"))
            self.cells = plan.planned_cells(self.table, self.budget, self._compose, only)
            self.runs = plan.planned_runs(self.cells, self.seeds)

    def costs(
        self, cells: Sequence[plan.PlannedCell], runs: int
    ) -> tuple[int, dict[str, cost.Cost]]:
        """(workers, what a step of each cell costs), measured if it is not known."""
        workers = worker_count(_plain(self.cfg.launcher), self.cfg.workers, runs)
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
        own = [run for run in kept if run["budget"] == self.budget.name]
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
            record = records.get(run.address)
            if record is None:
                continue
            seeds, options = self.table.evaluation_seeds, self.table.evaluation
            lacking = scoring.missing(record, seeds, options)
            if score and lacking and (record.result() or {}).get("status") in plan.ENDED_WELL:
                tell(f"gansweep: scoring {record.directory}")
                scoring.score_again(record, seeds, options)
            new.append(results.stored(run, record, self.table, self.budget))
        return results.merged(kept, new)

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


def reproduce(words: Sequence[str], options: argparse.Namespace, typed: Sequence[str]) -> int:
    """Run the verb; its exit code.

    Raises: UserError; KeyboardInterrupt once all workers have stopped after a signal; SystemExit
        where workers were submitted or cancelled. What there is was shown and stored before.
    """
    one = Reproduction(words, options)
    waiting.stop()
    if options.show or options.badge:
        return _show(one, options, save=False)
    if options.verify:
        return _verify(one)
    to_do = one.to_do()
    if to_do and not options.dry_run:
        worker_files.refuse_second(one.directory, "runs_dir=")
    _announce(one, to_do)
    if options.dry_run:
        return 0
    try:
        if to_do:
            _run(one, to_do, typed)
    except (KeyboardInterrupt, SystemExit):
        _show(one, options, save=True)
        raise
    _show(one, options, save=True)
    return 1 if _failed(one) or _lost(one) else 0


def _failed(one: Reproduction) -> list[str]:
    """Say which runs failed by a bug or a mistake: they have no result, and run again next time."""
    lines = []
    for run in one.runs:
        result = RunRecord(one.directory / run.key).result() or {}
        if result.get("status") == "failed":
            lines.append(f"{run.key} failed: {result.get('reason')}")
    for line in lines:
        tell(f"gansweep: {line}")
    return lines


def _lost(one: Reproduction) -> list[str]:
    """Say which runs are not there though their trials have ended."""
    names = [run.key for run in one.to_do() if not (one.directory / run.key).is_dir()]
    if names:
        tell(
            f"gansweep: the sweep in {one.directory} has trained {listing(names, 'and')}, and the "
            "records are gone. Restore them, or train them again with another runs_dir=."
        )
    return names


def _run(one: Reproduction, to_do: Sequence[plan.PlannedRun], typed: Sequence[str]) -> None:
    settings = plan.settings_of(
        one.table,
        one.budget,
        to_do,
        name=one.name,
        runs_dir=str(one.cfg.runs_dir),
    )
    for point in settings.points:
        point["overrides"] += one.of_runs
    settings.storage = canonical(str(one.cfg.storage))
    settings.launcher = _plain(one.cfg.launcher)
    settings.config_dir = one.config_dir
    settings.command = shlex.join(["gansweep", "reproduce", *typed])
    settings.uses_gpus = all(r.planned.cfg.trainer.accelerator != "cpu" for r in to_do)
    workers = worker_count(
        settings.launcher, one.cfg.workers, len(to_do), uses_gpus=settings.uses_gpus
    )
    launch(settings, Space([]), workers)


def _announce(one: Reproduction, to_do: Sequence[plan.PlannedRun]) -> None:
    """Print what there is to run and what it costs on this machine."""
    table, budget = one.table, one.budget
    print(visible(folded(f"{table.title}\n{table.citation}", terminal_width())))
    share = "all" if budget.share == 1 else f"{budget.share:.4g}"
    said = f"budget {budget.name}: {share} of the table's images, {plural(one.seeds, 'seed')}. "
    print(visible(folded(f"{said}{budget.says}".rstrip(), terminal_width())))
    if not table.run_by_us:
        print("This table is complete, and none of its cells was run by us.")
    for name, why in table.not_run.items():
        print(visible(folded(f"{name} is not run: {why}", terminal_width())))
    done = len(one.runs) - len(to_do)
    ended = f", {done} of them {'has' if done == 1 else 'have'} ended" if done else ""
    print(f"{plural(len(one.cells), 'cell')}, {plural(len(one.runs), 'run')}{ended}")
    if not to_do:
        return
    _announce_costs(one, to_do)


def _announce_costs(one: Reproduction, to_do: Sequence[plan.PlannedRun]) -> None:
    cells = [c for c in one.cells if any(run.planned is c for run in to_do)]
    try:
        workers, costs = one.costs(cells, len(to_do))
    except UserError as error:
        if one.cfg.launcher.name == "local":
            raise
        waiting.stop()
        print(
            visible(
                folded(
                    f"to run: {plural(len(to_do), 'run')}. What they cost could not be "
                    f"measured here: {error}",
                    terminal_width(),
                )
            )
        )
        return
    seeds = one.table.evaluation_seeds
    rows = [("cell", "steps", "ms a step", "training", "scoring")]
    for planned in cells:
        own = costs[planned.cell.name]
        training = duration(own.training(planned))
        scoring = "?" if own.score_seconds is None else duration(own.scoring(planned, seeds))
        steps = f"{planned.steps:,}", f"{1000 * own.step_seconds:.3g}"
        rows.append((planned.cell.name, *steps, training, scoring))
    print("\n".join(f"  {line}" for line in aligned(rows, range(1, 5), width=terminal_width())))
    total = cost.estimate(to_do, costs, seeds)
    each = total.training + total.scoring
    lacking = "" if total.complete else ", without scoring, whose weights are not here"
    print(
        f"to run: {plural(total.runs, 'run')}, {duration(each)} of one worker{lacking},\n"
        f"about {duration(each / workers)} with {plural(workers, 'worker')}; "
        f"{total.disk_bytes / 2**20:.0f} MiB of disk"
    )


def _show(one: Reproduction, options: argparse.Namespace, *, save: bool) -> int:
    """Print the table as far as it is there, and store it."""
    stored = one.stored(score=save)
    found = one.judged(stored)
    if options.badge:
        print(tables.badge(found))
        return 0
    for target, text in ((options.csv, tables.csv_table), (options.latex, tables.latex_table)):
        if target:
            write_text(target, text(found), "")
    if options.show and "-" in (options.csv, options.latex):
        return 0  # for another program to read
    print()
    print(visible(tables.text_table(found, terminal_width())))
    print(f"* the paper's rule. {tables.FOOT}.\n")
    for line in sentences(found):
        print(visible(folded(line, terminal_width())))
    if save and found.n:
        if results.save_results(one.path, one.table, stored, one.configs()):
            print(f"wrote {one.path}")
        print(f"wrote {page.write_table(found, stored, one.directory)}")
        if any(one.directory.glob("*/result.json")):
            print(f"next: gansweep report {shlex.quote(str(one.directory))}")
    return 0


def _verify(one: Reproduction) -> int:
    """Score the stored checkpoints again without training; 1 where a score differs, or where one
    or all could not be scored."""
    if not one.table.evaluation_seeds:
        raise UserError(
            f"The scores of {one.table.name} are those of the game itself, taken while it trains: "
            "there are no samples to score again."
        )
    kept, records = one.known()
    own = [run for run in kept if run["budget"] == one.budget.name]
    cell_of = one.current(own)
    exact = {run["address"]: run for run in own}
    older = {(cell_of.get(run["address"]), run["seed"]): run for run in own}
    checked = differing = failed = 0
    for run in one.runs:
        before = exact.get(run.address) or older.get((run.planned.cell.name, run.seed))
        record = records.get(run.address)
        if before is None or record is None or not any((before["last"], before["best"])):
            continue
        try:
            for line in scoring.differences(record, before, one.table.evaluation):
                differing += 1
                print(f"{run.key}: {line}")
        except UserError as error:
            failed += 1
            tell(f"gansweep: {run.key} was not scored: {error}")
        else:
            checked += 1
    absent = len(one.runs) - checked - failed
    rest = f"; {plural(absent, 'run')} not on this shelf, or without a score" if absent else ""
    print(f"{plural(checked, 'run')} scored again: {plural(differing, 'score')} differ{rest}")
    return 1 if differing or failed or not checked else 0


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
        if _group(key) not in (*OWN_KEYS, *OF_RUNS) or (
            key in ("runs_dir", "results_dir") and not value
        ):
            if (flag := f"--{key}") in VALUED:
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


def _plain(node: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    content: Mapping[str, Any] = OmegaConf.to_container(node)  # type: ignore[assignment]
    return dict(content)


def _cores() -> int:
    from gansweep.engine.launch.local import cores

    return cores()
