"""The page of a table: ours beside the paper's figures, with a link to the record of each run."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gansweep.records.record import replace_atomically
from gansweep.reproduce.judged import Judged
from gansweep.reproduce.results import StoredRun
from gansweep.reproduce.tables import FOOT, heads, rows_of
from gansweep.reproduce.words import sentences

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;"
    "color:#222;background:#fff}table{border-collapse:collapse}th,td{text-align:left;"
    "padding:.25rem .75rem;border-bottom:1px solid #ccc}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8bf}}"
)


def write_table(found: Judged, stored: Sequence[StoredRun], directory: Path) -> Path:
    """Write DIRECTORY/table.html, which needs no network and no script; its path.

    Under another budget than the table's first its name is table-BUDGET.html.
    stored: the runs of the results' file; those that are not on this shelf have no link.
    Raises: OSError if it cannot be written.
    """
    first = next(iter(found.table.budgets))
    name = found.budget.name
    path = directory / ("table.html" if name == first else f"table-{name}.html")
    directory.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, "\n".join(_lines(found, stored, directory)).encode())
    return path


def _lines(found: Judged, stored: Sequence[StoredRun], directory: Path) -> Iterator[str]:
    table, budget = found.table, found.budget
    title = _text(table.title)
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{STYLE}</style><h1>{title}</h1>"
    yield f"<p>{_text(table.citation)}. Budget {_text(budget.name)}.</p>"
    yield f"<table><tr>{_cells('th', heads(table))}</tr>"
    for row in rows_of(found):
        yield f"<tr>{_cells('td', row)}</tr>"
    yield f"</table><p>* the paper's rule. {_text(FOOT)}.</p>"
    for line in sentences(found):
        yield f"<p>{_text(line)}</p>"
    for one in table.departures:
        yield f"<p>Departure: {_text(one.what)} {_text(one.why)}</p>"
    yield '<h2>Runs</h2><p><a href="report.html">Curves and samples</a>: <code>gansweep report '
    yield f"{_text(os.path.relpath(directory))}</code></p>"
    names = ("run", "status", "seconds", "command")
    yield f"<table><tr>{_cells('th', names)}</tr>"
    for run in stored:
        if run["budget"] == budget.name:
            seconds = "" if run["seconds"] is None else f"{run['seconds']:.0f}"
            rest = _cells("td", (run["status"], seconds, run["command"]))
            yield f"<tr><td>{_link(run, directory)}</td>{rest}</tr>"
    yield "</table></html>"


def _link(run: StoredRun, directory: Path) -> str:
    name = _text(f"{run['row']}, {run['setting']}, seed {run['seed']}")
    place = directory.parent / run["directory"]
    if not (place / "result.json").is_file():
        return name
    return f'<a href="{_text(os.path.relpath(place, directory))}/">{name}</a>'


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{_text(text)}</{tag}>" for text in texts)


def _text(text: str) -> str:
    return html.escape(text, quote=True)
