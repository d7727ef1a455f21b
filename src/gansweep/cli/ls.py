"""`gansweep ls`: list runs and sweeps."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansweep.cli.arguments import Parser, parser_of_paths
from gansweep.errors import UserError, terminal_width, visible
from gansweep.judging.labels import varied
from gansweep.records.notation import aligned, number, plural, setting, settings_text, short_names
from gansweep.records.record import ENDED_WELL

if TYPE_CHECKING:
    from gansweep.cli.shelf import Line, Shelf

DESCRIPTION = """\
List runs and sweeps: status, age, kimg, objective, seeds, the model and in what
the trials of a model differ; below a line its tags and its note. A sweep is one
line; name its directory, or give --all, for its trials.

The age counts from the end of a run, or from the last row of one that has not
ended. "killed" is a run whose process ended without a result: the same command
or 'gansweep train resume=RUN' continues it."""

EXAMPLES = """\
examples:
  gansweep ls                                     what is in runs
  gansweep ls runs/demo-digits --sort objective   the trials of a sweep
  gansweep ls --where "lr > 1e-4 and model = dcgan and status != failed"
  gansweep ls --where "tag = baseline or note ~ collapse"
  gansweep ls --sort generator.lr --where "sweep = demo-digits"
  gansweep ls --json                              for scripts
"""
WATCH_SECONDS = 2.0
HEADS = ("status", "age", "kimg", "objective", "seed")
MARKS = "abcdefghijklmnopqrstuvwxyz"


def parser() -> Parser:
    made = parser_of_paths("ls", DESCRIPTION, EXAMPLES)
    made.add_argument("--all", "-a", action="store_true", help="also the runs of sweeps")
    made.add_argument(
        "--sort",
        metavar="KEY",
        default="age",
        help="age (default), name, status, kimg, objective, seed, or a setting or a score",
    )
    made.add_argument("--reverse", "-r", action="store_true", help="in the opposite order")
    made.add_argument(
        "--where",
        metavar="FILTER",
        default="",
        help="only runs for which it holds: settings, scores, status, tag, note, ... joined by "
        "and, or, not; operators = != < <= > >= ~ (contains)",
    )
    made.add_argument("--json", action="store_true", help="as JSON, every field of each line")
    made.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"show again and again, by default every {WATCH_SECONDS:g} seconds",
    )
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    _check(options)
    from gansweep.cli.shelf import Shelf, as_json

    paths = [Path(word) for word in words] or [Path("runs")]
    shelf = Shelf(paths, every=options.all, where=options.where)
    if options.watch is not None:
        return _watch(shelf, options)
    lines = shelf.lines(options.sort, backwards=options.reverse)
    if options.json:
        print(json.dumps([as_json(line) for line in lines], indent=2))
        return 0
    print(visible(listing(lines, terminal_width())))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises: UserError for options that do not go together, before anything is read."""
    if options.watch is None:
        return
    if options.json or not sys.stdout.isatty():
        raise UserError(
            "--watch draws on a terminal. For scripts call 'gansweep ls --json' again and again."
        )
    if not 0.1 <= options.watch <= 3600:
        raise UserError(f"--watch {options.watch:g}: give 0.1 to 3600 seconds.")


def _watch(shelf: Shelf, options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            started = time.monotonic()
            lines = shelf.lines(options.sort, backwards=options.reverse)
            text = visible(listing(lines, console.width)).splitlines()
            more = len(text) - console.height + 1
            shown = [*text[: console.height - 1], f"and {more} more lines"] if more > 0 else text
            live.update(Text("\n".join(shown)), refresh=True)
            try:
                # reading 1,000 runs must not take all the time of a core
                time.sleep(max(options.watch, 2 * (time.monotonic() - started)))
            except KeyboardInterrupt:
                return 0


def listing(lines: Sequence[Line], width: int) -> str:
    """The lines in at most `width` columns: a name that is too long stands above its values."""
    if not lines:
        return "No run fits the filter."
    scores = list(dict.fromkeys(one.objective["score"] for one in lines if one.objective))
    rows = [HEADS, *(_cells(line, scores) for line in lines)]
    heads, *values = aligned(rows, right=(1, 2, 3), width=10_000)
    room = width - 2 - max(map(len, [heads, *values]))
    names = [line.directory for line in lines]
    fits = max((len(name) for name in names if len(name) <= room), default=8)
    broad = max(map(len, [heads, *values]))
    tried = _tried(lines)
    beside = fits + broad + 4 + max(map(len, tried), default=0) <= width
    out = [f"{'':<{fits}}  {heads:<{broad}}{'  model' if beside else ''}".rstrip()]
    for line, name, row, words in zip(lines, names, values, tried, strict=True):
        if len(name) > fits:
            out.append(name)
            name = ""
        first = f"{name:<{fits}}  {row:<{broad}}{f'  {words}' if beside else ''}"
        out += [first.rstrip(), *_wrapped("" if beside else words, width), *_below(line, width)]
    return "\n".join([*out, *_legend(lines, scores, width)])


def _tried(lines: Sequence[Line]) -> list[str]:
    """ "dcgan, lr 0.0002" for each run: its model, and in what it differs from the others of that
    model that a sweep set; "" for a sweep."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        alike.setdefault(line.model, []).extend([line.params] if line.params else [])
    differing = {model: varied(params) for model, params in alike.items()}
    short = short_names(key for keys in differing.values() for key in keys)
    found = []
    for line in lines:
        params = {key: line.params[key] for key in differing[line.model] if key in line.params}
        words = filter(None, [line.model, settings_text(params, short)])
        found.append("" if line.kind == "sweep" else ", ".join(words))
    return found


def _cells(line: Line, scores: Sequence[str]) -> list[str]:
    kimg = number(line.kimg)
    if line.budget_kimg is not None and line.kimg < line.budget_kimg:
        kimg = f"{kimg}/{number(line.budget_kimg)}"
    value = number(line.objective["value"]) if line.objective else ""
    if value and len(scores) > 1:
        value += f" {_mark(scores.index(line.objective['score']))}"
    return [line.status, _age(line.age_seconds), kimg, value, _seeds(line.seeds)]


def _mark(place: int) -> str:
    """a, b, ..., z, a2, b2, ..."""
    rounds, letter = divmod(place, len(MARKS))
    return MARKS[letter] + (str(rounds + 1) if rounds else "")


def _age(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def _seeds(seeds: Sequence[object]) -> str:
    words = [setting(seed) for seed in seeds]
    return ", ".join(words if len(words) <= 4 else [*words[:3], f"{len(words) - 3} more"])


def _below(line: Line, width: int) -> list[str]:
    """The ends of a sweep's runs, tags, note and the reason of a failure, each on lines below."""
    parts = [", ".join(f"{many} {status}" for status, many in line.runs.items())]
    parts += [" ".join(f"#{tag}" for tag in line.tags), line.note]
    parts += [line.reason if line.status not in (*ENDED_WELL, "pruned") else ""]
    return [row for part in parts for row in _wrapped(part, width)]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")


def _legend(lines: Sequence[Line], scores: Sequence[str], width: int) -> list[str]:
    """Which score the objective is, and how many lines there are."""
    directions = {
        one.objective["score"]: one.objective["direction"] for one in lines if one.objective
    }
    out = []
    for place, score in enumerate(scores):
        better = "higher" if directions[score] == "maximize" else "lower"
        name = f"{_mark(place)}: " if len(scores) > 1 else "objective: "
        out += textwrap.wrap(f"{name}{score}, {better} is better", width, subsequent_indent="   ")
    sweeps = sum(line.kind == "sweep" for line in lines)
    counts = [plural(sweeps, "sweep")] if sweeps else []
    counts += [plural(len(lines) - sweeps, "run")] if len(lines) > sweeps else []
    return ["", *out, ", ".join(counts)]
