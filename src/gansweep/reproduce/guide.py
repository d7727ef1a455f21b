"""What the guide and the README say of the tables that were re-made, from results/TABLE.json."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gansweep.config.compose import compose
from gansweep.records.address import still_holds
from gansweep.records.notation import duration, plural
from gansweep.reproduce.judged import Judged, judged
from gansweep.reproduce.plan import planned_cells
from gansweep.reproduce.results import StoredRun, load_configs, load_results
from gansweep.reproduce.table import Table
from gansweep.reproduce.table_file import load_table, table_names
from gansweep.reproduce.tables import FOOT, badge_words, markdown_table
from gansweep.reproduce.words import sentences

Compose = Callable[[list[str]], Any]


def judged_budgets(table: Table, path: Path, compose: Compose, seeds: int = 0) -> Iterator[Judged]:
    """A table under each budget of which the file at `path` has runs.

    seeds: at least so many seeds of each cell are known by their addresses.
    """
    stored = load_results(path)
    for name in dict.fromkeys((*table.budgets, *(run["budget"] for run in stored))):
        own = [run for run in stored if run["budget"] == name]
        if own:
            most = max([seeds, *(run["seed"] + 1 for run in own)])
            known = current(table, name, compose, stored, load_configs(path), most)
            yield judged(table, table.budget(name), stored, known)


def current(
    table: Table,
    budget: str,
    compose: Compose,
    stored: Sequence[StoredRun],
    configs: Mapping[str, Any],
    seeds: int,
) -> dict[str, str]:
    """Address -> the name of the cell whose run it is: of the cells as they are now, and of stored
    runs of an older version whose cell says the same still (`records.address.still_holds`).
    """
    cells = planned_cells(table, table.budget(budget), compose)
    found = {one.address(seed): one.cell.name for one in cells for seed in range(seeds)}
    by_name = {one.cell.name: one for one in cells}
    for run in stored:
        one, config = by_name.get(f"{run['row']} / {run['setting']}"), configs.get(run["config"])
        if one is None or config is None or run["address"] in found:
            continue
        if list(one.words) == run["words"] and still_holds(config, one.settings):
            found[run["address"]] = one.cell.name
    return found


def every_table(results_dir: Path) -> Iterator[Judged]:
    """The tables with runs in the folder, each under each of its budgets.

    Each composes the configurations of its cells, which takes a second or two for each table.
    """
    for name in table_names():
        if (results_dir / f"{name}.json").is_file():
            yield from judged_budgets(
                load_table(name), results_dir / f"{name}.json", lambda words: compose(words)
            )


def page_part(tables: Sequence[Judged]) -> str:
    """The part of docs/reproduce.md that the results decide, in Markdown."""
    parts = [_of_table(found) for found in tables]
    done = {found.table.name for found in tables}
    rest = [load_table(name) for name in table_names() if name not in done]
    listed = "\n".join(f"- `{table.name}`: {table.title}" for table in rest)
    return "\n\n".join([*parts, f"## Not run yet\n\n{listed}"])


def _of_table(found: Judged) -> str:
    table, budget = found.table, found.budget
    lines = [
        f"## {table.title}",
        f"`gansweep reproduce {table.name} --budget {budget.name}`. {table.citation}.",
        *([f"Budget: {budget.says}"] if budget.says else []),
        markdown_table(found),
        f"* the paper's rule. {FOOT}.",
        *(f"{row} is not run: {why}" for row, why in table.not_run.items()),
        *sentences(found),
        *(f"- Departure: {one.what} {one.why}" for one in table.departures),
        *table.notes,
    ]
    versions = sorted({version for one in found.runs for version in one.versions})
    if found.n:
        lines.append(f"Trained on {', '.join(found.hardware)} by gansweep {', '.join(versions)}.")
    return (
        "\n\n".join(lines)
        .replace("\n\n- Departure", "\n- Departure")
        .replace("\n- Departure", "\n\n- Departure", 1)
    )


def readme_part(tables: Sequence[Judged]) -> str:
    """The table of the README."""
    rows = ["| table | budget | runs | time | ours beside the paper's |", "|---|---|---|---|---|"]
    for found in tables:
        if not found.n:
            continue
        seconds = duration(sum(one.seconds for one in found.runs))
        name, runs = f"`{found.table.name}`", plural(found.n, "run")
        rows.append(f"| {name} | {found.budget.name} | {runs} | {seconds} | {badge_words(found)} |")
    return "\n".join(rows)
