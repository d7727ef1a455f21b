"""`gansweep compare`: what differs between runs, in settings and in scores."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gansweep.cli.arguments import Parser, parser_of_paths, paths_of
from gansweep.errors import UserError, terminal_width, visible
from gansweep.records.notation import (
    aligned,
    bracketed,
    duration,
    number,
    plural,
    probability,
    rounded,
    setting,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gansweep.judging.against import Standing
    from gansweep.judging.leaderboard import Board, Row

DESCRIPTION = """\
Compare runs in the terminal: the settings that differ, and each score with its
95 % interval over seeds, the difference from the first and its p.

Runs that differ in nothing but their seed are one configuration: name all its
runs, or the directory above them. Scores that were measured under different
protocols are not compared. 'gansweep report' shows curves and samples."""

EXAMPLES = """\
examples:
  gansweep compare runs/digits/dcgan-001 runs/digits/lsgan-001
  gansweep compare runs/seeds-of-dcgan runs/seeds-of-lsgan
  gansweep compare runs/demo-digits/t0004 runs/demo-digits/t0007 --metric fid
"""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
INDENT = 3


def parser() -> Parser:
    made = parser_of_paths("compare", DESCRIPTION, EXAMPLES)
    made.add_argument("--metric", metavar="NAME", help="this score alone")
    made.add_argument("--json", action="store_true", help="as JSON")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    paths = paths_of("compare", words)
    from gansweep.judging.leaderboard import leaderboard
    from gansweep.judging.statuses import judged_runs

    board = leaderboard(judged_runs(paths), options.metric)
    rows = _in_order([*board.rows, *board.open_rows], paths)
    _refuse(board, rows)
    if options.json:
        print(json.dumps(_as_json(board, rows, options), indent=2, default=str))
        return 0
    print(visible("\n".join(comparison(board, rows, _scores(board, options), terminal_width()))))
    return 0


def _in_order(rows: Sequence[Row], paths: Sequence[Path]) -> list[Row]:
    """The rows in the order of the paths that named their runs."""
    tops = [path.resolve() for path in paths]

    def place(row: Row) -> int:
        own = [(run.directory.resolve(), *run.directory.resolve().parents) for run in row.runs]
        return next((i for i, top in enumerate(tops) if any(top in one for one in own)), len(tops))

    return sorted(rows, key=place)


def _refuse(board: Board, rows: Sequence[Row]) -> None:
    if len(rows) < 2 and len(board.runs) < 2:
        raise UserError(
            f"{board.runs[0].directory} is one run, and a comparison needs two, as in "
            "'gansweep compare runs/digits/dcgan-001 runs/digits/lsgan-001'."
        )
    if len(rows) > len(LETTERS):
        raise UserError(
            f"There are {len(rows)} configurations, and 'gansweep compare' shows "
            f"{len(LETTERS)} at most. Name fewer, or use 'gansweep report'."
        )


def _scores(board: Board, options: argparse.Namespace) -> list[str]:
    if options.metric:
        return [board.metric] if board.metric else []
    return [s for s in board.scores if any(run.direction(s) for run in board.runs)]


def comparison(board: Board, rows: Sequence[Row], scores: Sequence[str], width: int) -> list[str]:
    """The whole comparison in lines of at most `width` columns, but for names that are longer."""
    from gansweep.judging.against import differing_origins, differing_settings, standings

    lines = []
    for letter, row in zip(LETTERS, rows, strict=False):
        lines += _head(letter, row, width)
    if len(rows) == 1:
        lines += ["", *textwrap.wrap(_only_seeds(rows[0]), width)]
    for title, found in (
        ("Settings that differ", differing_settings(rows)),
        ("Environment that differs", differing_origins(rows)),
    ):
        if found:
            lines += ["", title, *_differences(found, width)]
    alone: dict[str, list[str]] = {}
    for score in scores:
        having = {
            letter: one.summary
            for letter, one in zip(LETTERS, standings(board, rows, score), strict=False)
            if one.summary
        }
        if len(having) == 1 < len(rows):  # nothing to compare
            letter, summary = next(iter(having.items()))
            alone.setdefault(letter, []).append(f"{score} {summary}")
        elif having:
            lines += _score_lines(board, rows, score, width)
    for letter, values in alone.items():
        lines += ["", *textwrap.wrap(f"Only {letter} has: {', '.join(values)}", width)]
    for refusal in board.refused:
        lines += ["", *textwrap.wrap(f"Not compared: {refusal.reason}", width)]
    return [*lines, *_method(board, rows, scores, width)]


def _head(letter: str, row: Row, width: int) -> list[str]:
    """The letter and the name of a row, how its runs ended, and what people say of them."""
    ends = ", ".join(f"{many} {status}" for status, many in row.statuses.items())
    costs = [f"{number(row.mean_of('kimg'))} kimg", duration(row.mean_of("seconds"))]
    parts = [f"{row.name}: {ends}", *(costs if row.complete else [])]
    if row.stage == "trial":
        parts.append("a trial, which its sweep chose by these values")
    if row.flaw:
        parts.append(row.flaw)
    lines = textwrap.wrap(f"{letter}  {', '.join(parts)}", width, subsequent_indent=" " * INDENT)
    for run in row.runs:
        said = " ".join([str(run.directory), *(f"#{tag}" for tag in run.tags)])
        lines.append(f"{'':<{INDENT}}{said}")
        lines += textwrap.wrap(run.note, width, initial_indent=" " * 5, subsequent_indent=" " * 5)
    return lines


def _only_seeds(row: Row) -> str:
    seeds = ", ".join(setting(run.seed) for run in row.runs)
    return f"These runs are one configuration, under the seeds {seeds}: there is nothing to test."


def _differences(found: Mapping[str, Sequence[Any]], width: int) -> list[str]:
    """A line for each key with a column for each row; below each other where they do not fit."""
    texts = {key: [_text(value) for value in values] for key, values in found.items()}
    count = len(next(iter(texts.values())))
    heads = ["", *LETTERS[:count]]
    table = aligned([heads, *([key, *values] for key, values in texts.items())], width=10_000)
    if max(map(len, table)) + INDENT <= width:
        return [f"{'':<{INDENT}}{line}" for line in table]
    lines = []
    for key, values in texts.items():
        lines.append(f"{'':<{INDENT}}{key}")
        for letter, value in zip(LETTERS, values, strict=False):
            lines += textwrap.wrap(
                f"{letter}  {value}", width, initial_indent=" " * 5, subsequent_indent=" " * 8
            )
    return lines


def _text(value: Any) -> str:
    return "–" if value is None else repr(value) if isinstance(value, float) else setting(value)


def _score_lines(board: Board, rows: Sequence[Row], score: str, width: int) -> list[str]:
    from gansweep.judging.against import standings

    direction = board.direction_of(score)
    better = "higher" if direction == "maximize" else "lower"
    found = standings(board, rows, score)
    cells = [_cells(letter, one, direction) for letter, one in zip(LETTERS, found, strict=False)]
    lines = aligned(cells, right=(1,), width=10_000)
    if any(len(line) + INDENT > width for line in lines):  # the difference on a line of its own
        lines = []
        for cell in cells:
            lines.append("  ".join(cell[:4]).rstrip())
            lines += [f"{'':<{INDENT}}{cell[4]}"] if cell[4] else []
    title = textwrap.wrap(f"{score}, {better} is better", width)
    return ["", *title, *(f"{'':<{INDENT}}{line}" for line in lines)]


def _cells(letter: str, one: Standing, direction: str | None) -> list[str]:
    """Letter, mean and spread, interval, seeds, difference from the first."""
    if one.summary is None:
        return [letter, "–", "", "", ""]
    against = _difference(one, direction) if one.against else ""
    return [
        letter,
        str(one.summary),
        one.summary.interval_text,
        plural(one.summary.n, "seed"),
        against,
    ]


def _difference(standing: Standing, direction: str | None) -> str:
    """ "+7.6 [-10.1, 25.3], p = 0.21: may be chance"."""
    one = standing.against
    assert one is not None, "it has a first to differ from"
    if standing.untested:
        return f"{_signed(number(one.difference))}, not tested: {standing.untested}"
    if not one.error or one.interval is None:
        why = "one seed: may be chance" if one.error is None else "neither varies over its seeds"
        return f"{_signed(number(one.difference))}, {why}"
    amount = _signed(rounded(one.difference, one.error))
    assert one.p is not None, "there is an interval"
    is_worse = (one.difference > 0) is (direction != "maximize")
    verdict = ("worse" if is_worse else "better") if one.apart else "may be chance"
    return f"{amount} {bracketed(*one.interval, one.error)}, {probability(one.p)}: {verdict}"


def _signed(text: str) -> str:
    return text if text.startswith("-") else f"+{text}"


def _method(board: Board, rows: Sequence[Row], scores: Sequence[str], width: int) -> list[str]:
    from gansweep.judging.against import obstacle

    if not scores:
        return ["", "No score of these runs can be compared."]
    moment = "at the best moment of a run" if board.at == "best" else "at the end of a run"
    text = f"Scores {moment}: mean ± standard deviation over seeds [95 % interval of the mean]."
    many = sum(not obstacle(rows[0], row) for row in rows[1:])
    if many:
        text += (
            " Then the difference from A [interval] with its p: the paired t-test where the seeds "
            "are the same, else Welch's"
        )
        text += f", with Holm's correction for {many} comparisons." if many > 1 else "."
    return ["", *textwrap.wrap(text, width)]


def _as_json(board: Board, rows: Sequence[Row], options: argparse.Namespace) -> dict[str, Any]:
    from gansweep.judging.against import differing_origins, differing_settings, standings
    from gansweep.records.plain_values import plain

    described = [
        {
            "name": row.name,
            "stage": row.stage,
            "flaw": row.flaw,
            "runs": [
                {
                    "directory": str(run.directory),
                    "status": run.status,
                    "seed": run.seed,
                    "tags": run.tags,
                    "note": run.note,
                }
                for run in row.runs
            ],
        }
        for row in rows
    ]
    scores = {}
    for score in _scores(board, options):
        scores[score] = [
            {
                "summary": {**asdict(one.summary), "interval": one.summary.interval}
                if one.summary
                else None,
                "against_first": plain(asdict(one.against)) if one.against else None,
                "untested": one.untested,
            }
            for one in standings(board, rows, score)
        ]
    return {
        "rows": described,
        "at": board.at,
        "settings": differing_settings(rows),
        "environment": differing_origins(rows),
        "scores": scores,
        "not_compared": [refusal.reason for refusal in board.refused],
    }
