"""`gansweep prune`: free the disk of checkpoints that nobody needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gansweep.cli.arguments import Parser, parser_of_paths, paths_of
from gansweep.errors import UserError, tell, visible
from gansweep.records.notation import aligned, plural

if TYPE_CHECKING:
    from gansweep.cli.prunable import Prunable

DESCRIPTION = """\
Remove checkpoints that nobody needs, after a question: first of trials that
were pruned, then of runs that diverged or collapsed, of trials that never
learned (and of those that failed, once their sweep is finished), then of the
losing trials of finished sweeps. Records, samples and scores stay.

It never removes those of a sweep's leader, of its Pareto front, of its
confirmation runs, of the cells of a table (gansweep reproduce) that were
trained to their end, of a run that is training or may be continued, of what an
unfinished sweep still needs, of a run with whose weights another run or sweep
below PATH begins (init=), and of runs with the tag "keep". A run without
checkpoints cannot be continued, evaluated again or drawn from."""

EXAMPLES = """\
Examples:
  gansweep prune runs --dry-run        what would go, and how much it is
  gansweep prune runs/demo-digits
  gansweep prune runs --free 20GB      no more than this needs
  gansweep tag runs/demo-digits/t0004 keep
"""
UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
SIZE = re.compile(r"(\d+\.?\d*)\s*([kmgt]?)b?", re.IGNORECASE)


def parser() -> Parser:
    made = parser_of_paths("prune", DESCRIPTION, EXAMPLES)
    made.add_argument("--dry-run", action="store_true", help="list the runs, remove nothing")
    made.add_argument("--yes", "-y", action="store_true", help="do not ask")
    made.add_argument(
        "--free", metavar="SIZE", help="stop when so much is free, as in 500MB or 20GB"
    )
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0, 1 if some checkpoints could not be removed. A UserError is the caller's."""
    options, words = parser().read(words)
    paths = paths_of("prune", words)
    enough = _bytes(options.free) if options.free else None
    from gansweep.cli.prunable import prunable

    found, notes = prunable(paths)
    if enough is not None:
        found = _first(found, enough)
    if found:
        print("\n".join(_table(found)))
    for note in notes:
        tell(note, sys.stdout)
    if not found:
        print("There is nothing to remove.")
        return 0
    if options.dry_run:
        rows = [[visible(str(one.run.directory)), one.group, _size(one.size)] for one in found]
        print("\n".join(["", *aligned(rows, right=(2,), width=10_000)]))
        return 0
    if not options.yes and not _agreed(sum(one.size for one in found)):
        print("Nothing was removed.")
        return 0
    return _remove(found)


def _bytes(text: str) -> float:
    """Raises: UserError for what is no size."""
    found = SIZE.fullmatch(text)
    if found is None:
        raise UserError(f"--free {text} is no size: give one such as 500MB or 20GB.")
    return float(found[1]) * UNITS[found[2].lower()]


def _first(found: Sequence[Prunable], enough: float) -> list[Prunable]:
    """As many as are needed to free so many bytes."""
    kept: list[Prunable] = []
    for one in found:
        if sum(k.size for k in kept) >= enough:
            break
        kept.append(one)
    return kept


def _table(found: Sequence[Prunable]) -> list[str]:
    rows = [["", "runs", "checkpoints"]]
    for group in dict.fromkeys(one.group for one in found):
        sizes = [one.size for one in found if one.group == group]
        rows.append([group, str(len(sizes)), _size(sum(sizes))])
    if len(rows) > 2:
        rows.append(["in all", str(len(found)), _size(sum(one.size for one in found))])
    return aligned(rows, right=(1, 2))


def _size(size: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


def _agreed(size: int) -> bool:
    if not sys.stdin.isatty():
        raise UserError(
            "Nobody is there to agree: add --yes to remove these checkpoints, or --dry-run to "
            "see the runs."
        )
    try:
        answer = input(f"Remove {_size(size)} of checkpoints? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _remove(found: Sequence[Prunable]) -> int:
    from gansweep.cli.prunable import remove

    freed, failed = 0, 0
    for one in found:
        try:
            remove(one)
            freed += one.size
        except UserError as error:
            failed += 1
            tell(str(error))
        except OSError as error:
            failed += 1
            tell(f"The checkpoints of {one.run.directory} stay: {error.strerror}.")
    print(f"Freed {_size(freed)} of {plural(len(found) - failed, 'run')}.")
    return 1 if failed else 0
