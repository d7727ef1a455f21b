"""One table: plan its runs, say what they cost, run what is missing, show it beside the paper's."""

from __future__ import annotations

import argparse
import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from gansweep.cli.report import write_text
from gansweep.cli.reproduction import Reproduction, plain
from gansweep.cli.sweep_run import ELSEWHERE, launch
from gansweep.cli.waiting import waiting
from gansweep.config.environment import variables_of, without_secrets
from gansweep.config.permissions import allow_variables
from gansweep.engine.launch import slurm_queue, worker_count
from gansweep.engine.launch.kubernetes import manifest
from gansweep.engine.lease import workers as worker_files
from gansweep.engine.storage.disk import writing
from gansweep.engine.storage.storage import canonical
from gansweep.errors import UserError, folded, tell, terminal_width, visible
from gansweep.records.notation import aligned, duration, listing, plural
from gansweep.records.record import RunRecord
from gansweep.reproduce import cost, page, plan, results, scoring, tables
from gansweep.reproduce.judged import Judged
from gansweep.reproduce.table_file import load_table, table_names
from gansweep.reproduce.words import sentences
from gansweep.search.settings import Settings
from gansweep.search.space import Space


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
    _refuse_missing_folders(options)
    to_do = one.to_do()
    if to_do and not options.dry_run:
        worker_files.refuse_second(one.directory, "runs_dir=")
    if options.dry_run and to_do and one.cfg.launcher.name == "kubernetes":
        settings, workers = _settings(one, to_do, typed)
        print(manifest(settings, ["reproduce", *_in_pods(one, options, typed)], workers), end="")
        return 0
    _announce(one, to_do)
    if options.dry_run:
        return 0
    try:
        if to_do:
            settings, workers = _settings(one, to_do, typed)
            _refuse_part_of_jobs(one, settings)
            launch(settings, Space([]), workers)
        else:
            with writing(one.directory, ELSEWHERE):
                worker_files.tell_job(one.directory)
    except (KeyboardInterrupt, SystemExit):
        _show(one, options, save=True)
        raise
    _show(one, options, save=True)
    return 1 if _failed(one) or _lost(one) else 0


def _in_pods(one: Reproduction, options: argparse.Namespace, typed: Sequence[str]) -> list[str]:
    """The words of the command with the budget that --minutes chose for all workers here: a pod
    would choose another one, by its own costs and its one worker."""
    words = list(typed)
    if options.minutes is None:
        return words
    at = next(k for k, word in enumerate(words) if word.partition("=")[0] == "--minutes")
    del words[at : at + (1 if "=" in words[at] else 2)]
    seeds = [] if options.seeds is not None else ["--seeds", str(one.seeds)]
    return [*words, "--budget", one.budget.name, *seeds]


def _refuse_missing_folders(options: argparse.Namespace) -> None:
    """Raises: UserError for a file in a folder that there is not, and for one that is a folder:
    after hours of training it would be late to say so."""
    for flag, target in (("--csv", options.csv), ("--latex", options.latex)):
        if target is None:
            continue
        if not Path(target).parent.is_dir():
            raise UserError(
                f"{flag} {target}: the folder {Path(target).parent} does not exist. Make it, or "
                "choose another file."
            )
        if Path(target).is_dir():
            raise UserError(f"{flag} {target}: it is a folder. Choose a file in it.")


def _refuse_part_of_jobs(one: Reproduction, settings: Settings) -> None:
    """Jobs that wait take the list of runs that they find when they start.

    Raises: UserError where SLURM has jobs for runs that this command leaves out.
    """
    if settings.launcher["name"] != "slurm" or not (one.directory / "sweep.yaml").is_file():
        return
    left = {point["key"] for point in Settings.load(one.directory).points}
    left -= {point["key"] for point in settings.points}
    left = {key for key in left if not plan.has_ended(RunRecord(one.directory / key))}
    if left and slurm_queue.queue(one.directory):
        raise UserError(
            f"SLURM has jobs for other runs of this table, such as {min(left)}, which would be "
            f"left out. Wait for them, name them too, or end them first: gansweep cancel "
            f"{shlex.quote(str(one.directory))}"
        )


def _failed(one: Reproduction) -> list[str]:
    """Say which runs failed by a bug or a mistake: they have no score, and run again next time."""
    lines = [
        f"{run.key} failed: {(record.result() or {}).get('reason')}"
        for run in one.runs
        if (record := one.failed(run)) is not None
    ]
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


def _settings(
    one: Reproduction, to_do: Sequence[plan.PlannedRun], typed: Sequence[str]
) -> tuple[Settings, int]:
    """(the settings of the sweep of these runs, its workers)."""
    settings = plan.settings_of(
        one.table,
        one.budget,
        to_do,
        name=one.name,
        runs_dir=str(one.cfg.runs_dir),
    )
    for point in settings.points:
        point["overrides"] += one.of_runs
    for run in to_do:  # to the workers the sweep's directory is data
        allow_variables(variables_of(without_secrets(run.planned.cfg)))
    settings.storage = canonical(str(one.cfg.storage))
    settings.launcher = plain(one.cfg.launcher)
    settings.config_dir = one.config_dir
    settings.command, settings.folder = shlex.join(["gansweep", "reproduce", *typed]), os.getcwd()
    settings.uses_gpus = all(r.planned.cfg.trainer.accelerator != "cpu" for r in to_do)
    workers = worker_count(
        settings.launcher, one.cfg.workers, len(to_do), uses_gpus=settings.uses_gpus
    )
    return settings, workers


def _announce(one: Reproduction, to_do: Sequence[plan.PlannedRun]) -> None:
    """Print what there is to run and what it costs on this machine."""
    table, budget = one.table, one.budget
    print(visible(folded(f"{table.title}\n{table.citation}", terminal_width())))
    share = "" if budget.share == 1 else f"{budget.share:.4g} of the table's images, "
    said = f"budget {budget.name}: {share}{plural(one.seeds, 'seed')}. "
    print(visible(folded(f"{said}{budget.says}".rstrip(), terminal_width())))
    if one.kept_for is not None:
        chose = f"--minutes {one.kept_for} chose {budget.name} when this was begun"
        print(visible(folded(f"{chose}. Another number chooses anew.", terminal_width())))
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
    lines = aligned(rows, range(1, 5), width=terminal_width())
    indent = " " * max(0, min(2, terminal_width() - max(map(len, lines))))
    print("\n".join(f"{indent}{line}" for line in lines))
    total = cost.estimate(to_do, costs, seeds)
    each = total.training + total.scoring
    runs = [cost.estimate([run], costs, seeds) for run in to_do]
    lasting = [run.training + run.scoring for run in runs]
    lacking = "" if total.complete else ", without scoring, whose weights are not here"
    print(
        f"to run: {plural(total.runs, 'run')}, {duration(each)} of one worker{lacking},\n"
        f"about {duration(cost.busy(workers, lasting))} with {plural(workers, 'worker')}; "
        f"{total.disk_bytes / 2**20:.0f} MiB of disk"
    )
    if any(costs[planned.cell.name].crowded for planned in cells):
        busy = "measured while other processes kept the cores busy: alone it takes less time"
        print(folded(busy, terminal_width()))


def _show(one: Reproduction, options: argparse.Namespace, *, save: bool) -> int:
    """Print the table as far as it is there, and store it: first what is the project's own, then
    the files that were asked for."""
    stored = one.stored(score=save)
    found = one.judged(stored)
    if options.badge:
        print(tables.badge(found))
        return 0
    if "-" not in (options.csv, options.latex):  # else another program reads what is printed
        print()
        print(visible(tables.text_table(found, terminal_width())))
        print(f"* the paper's rule. {tables.FOOT}.\n")
        for line in sentences(found):
            print(visible(folded(line, terminal_width())))
    if save and found.n:
        _save(one, found, stored)
    for target, text in ((options.csv, tables.csv_table), (options.latex, tables.latex_table)):
        if target:
            write_text(target, text(found), "")
    return 0


def _save(one: Reproduction, found: Judged, stored: Sequence[results.StoredRun]) -> None:
    """Add the runs to the results' file, and write the table's page."""
    if results.save_results(one.path, one.table, stored, one.configs()):
        print(f"wrote {one.path}")
    try:
        print(f"wrote {page.write_table(found, stored, one.directory)}")
    except OSError as error:
        raise UserError(
            f"The page of the table cannot be written into {one.directory} ({error.strerror}). "
            "Choose another place with runs_dir=."
        ) from error
    if any(one.directory.glob("*/result.json")):
        print(f"next: gansweep report {shlex.quote(str(one.directory))}")


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
        except (UserError, ValueError) as error:
            failed += 1
            tell(f"gansweep: {run.key} was not scored: {error}")
        else:
            checked += 1
    absent = len(one.runs) - checked - failed
    rest = f"; {plural(absent, 'run')} not on this shelf, or without a score" if absent else ""
    print(f"{plural(checked, 'run')} scored again: {plural(differing, 'score')} differ{rest}")
    return 1 if differing or failed or not checked else 0
