"""`gansweep report`: compare runs on one page or in a table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gansweep.cli.arguments import Parser, add_metric, in_lines, parser_of_paths, paths_of
from gansweep.errors import UserError, folded, tell, terminal_width, visible
from gansweep.records.notation import plural

if TYPE_CHECKING:
    from gansweep.judging.leaderboard import Board

DESCRIPTION = """\
Compare runs: one HTML page that needs no network, or a table.

The page has the leaderboard (mean, standard deviation and 95 % interval over
seeds), learning curves, samples side by side, discriminator balance, mode
coverage, and the command that repeats each run; of a sweep the best score
expected of a budget, the Pareto front of several objectives, a population's
schedules, its hyperparameters and what its budget went to. Runs that differ in
nothing but their seed are one configuration. Scores that were measured under
different protocols are never put in one column."""

EXAMPLES = """\
Examples:
  gansweep report runs/demo-digits                a sweep, to its report.html
  gansweep report runs/digits runs/ring -o ab.html  two groups on one page
  gansweep report runs --metric fid_digitsnet1_1k_train  ranked by this score
  gansweep report runs --latex table.tex --csv -  tables; "-" is the terminal
"""


def parser() -> Parser:
    made = parser_of_paths("report", DESCRIPTION, EXAMPLES)
    made.add_argument(
        "-o",
        "--out",
        type=Path,
        metavar="FILE",
        help="the page (default: report.html inside PATH; in the working directory for several)",
    )
    made.add_argument("--csv", metavar="FILE", help="write the leaderboard as CSV, not the page")
    made.add_argument(
        "--latex", metavar="FILE", help="write the leaderboard as a booktabs table, not the page"
    )
    add_metric(made, "; tables then have this score alone")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    paths = paths_of("report", words)
    from gansweep.judging.leaderboard import leaderboard
    from gansweep.judging.statuses import judged_runs

    runs = judged_runs(paths)
    if options.csv or options.latex:
        from gansweep.report.tables import leaderboard_csv, leaderboard_latex

        board = leaderboard(runs, options.metric)
        if options.csv:
            write_text(options.csv, leaderboard_csv(board, options.metric), "")
        if options.latex:
            hint = r" Put \usepackage{booktabs} into the preamble and \input this file."
            write_text(options.latex, leaderboard_latex(board, options.metric), hint)
    if options.out or not (options.csv or options.latex):
        from gansweep.report.page.page import write_page
        from gansweep.report.page.pictures import folder_of

        page = write_page(runs, options.out or _default_page(paths), options.metric)
        size = page.stat().st_size / 1e6
        print(f"Wrote {page} ({size:.1f} MB). Open it in a browser; it needs no network.")
        if folder_of(page).is_dir():
            print(f"Its sheets of samples lie in {folder_of(page)}: move both together.")
    damaged = [
        f"{run.directory} ({run.reason.removeprefix('damaged: ').rstrip('.')})"
        for run in runs
        if run.status == "damaged"
    ]
    if damaged:
        tell(f"{plural(len(damaged), 'damaged run')}: {', '.join(damaged)}")
    return 0


def conclude(sweep: Path) -> None:
    """End a sweep: write its page, print its leaderboard and what to do next."""
    from gansweep.report.page.page import write_report

    board = print_leaderboard(sweep)
    page = write_report([sweep], _default_page([sweep]))
    print(f"\nwrote {page}\nnext: open it in a browser; it needs no network")
    for row in board.ranked[:1]:
        command = str(row.shown[0].result.get("command") or "").strip()
        # settings of a population change in training
        if command and not any(one.sweep and one.sweep.schedule for one in row.runs):
            print(f"\ntrain {row.name} again:\n{in_lines(command, terminal_width())}")


def print_leaderboard(sweep: Path) -> Board:
    """Print the leaderboard and what is not ranked.   Raises: UserError without runs."""
    from gansweep.judging.leaderboard import leaderboard
    from gansweep.judging.statuses import judged_runs
    from gansweep.report.tables import leaderboard_text

    board = leaderboard(judged_runs([sweep]))
    table = leaderboard_text(board, terminal_width())
    print(visible(table))
    for note in _left_out(sweep, table):
        print(visible(folded(note, terminal_width())))
    return board


def _left_out(sweep: Path, table: str) -> list[str]:
    """A sentence for each variant that was tried and that the table does not show."""
    from gansweep.records.plain_values import DamagedError, parsed
    from gansweep.records.record import content_of

    try:
        reasons = parsed(content_of(sweep / "leaderboard.json"))["left_out"].items()
    except (OSError, DamagedError, KeyError, TypeError, AttributeError):
        return []
    return [f"{name} is not ranked: {why}." for name, why in reasons if not _shows(table, name)]


def _shows(table: str, name: str) -> bool:
    """Whether a name stands in the table as a word: gan does not in dcgan."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", table) is not None


def _default_page(paths: Sequence[Path]) -> Path:
    return paths[0] / "report.html" if len(paths) == 1 else Path("report.html")


def write_text(target: str, text: str, hint: str) -> None:
    """Write the text to a file and say so, or print it for "-"."""
    if target == "-":
        print(text, end="")
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"The table cannot be written to {target}: {error.strerror}. Choose another file, or "
            '"-" for the terminal.'
        ) from error
    print(f"Wrote {target}.{hint}")
