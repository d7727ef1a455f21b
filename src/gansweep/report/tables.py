"""The leaderboard as text for a terminal, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Sequence
from typing import Any

from gansweep.errors import UserError
from gansweep.report.notation import number
from gansweep.report.protocols import protocols_of
from gansweep.report.statistics import Board, Row, leader, mend, verdict

MOMENTS = {"last": "at the end of a run", "best": "at the best moment of a run"}


def leaderboard_text(board: Board, width: int = 80) -> str:
    """The leaderboard in at most `width` columns, and the verdict.

    The confirmed configurations and plain runs; then, of each model that is not among them, the
    best trial. A sweep that confirmed nothing shows the best trial of each model.
    """
    chosen = [row for row in board.rows if row.stage != "trial"]
    trials = _best_trials(board, {row.model for row in chosen})
    lines = []
    if board.metric is not None:
        better = "higher" if board.direction == "maximize" else "lower"
        lines = _wrap(f"{board.metric} {MOMENTS[board.at]}; {better} is better", width)
    heads, *cells = _grid(board, [*chosen, *trials], width)
    lines += [heads, *cells[: len(chosen)]]
    if chosen and trials:
        title = "Best trial of each other model: one seed each, not confirmed"
        lines += ["", *_wrap(title, width)]
    lines += cells[len(chosen) :]
    return "\n".join([*lines, "", *_wrap(verdict(board), width)])


def _best_trials(board: Board, without: set[str]) -> list[Row]:
    found: dict[str, Row] = {}
    for row in board.rows:
        if row.stage == "trial" and row.model not in without:
            found.setdefault(row.model, row)
    return list(found.values())


def _grid(board: Board, rows: Sequence[Row], width: int) -> list[str]:
    """Headings and a line for each row; what has no room is left out from the right."""
    heads = ["#", "configuration", "score", "seeds", "kimg", "images/s"]
    cells = [
        [
            str(row.rank or "–"),
            row.label,
            str(row.scores(board.at).get(board.metric or "", "–")),
            str(row.seeds),
            number(row.mean_of("kimg")),
            number(row.mean_of("images_per_second")),
        ]
        for row in rows
    ]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(heads))]
    while len(widths) > 4 and _spare(widths, width) < 0:
        widths.pop()
    widths[1] = max(min(widths[1], 13), widths[1] + min(_spare(widths, width), 0))
    return [_line(line[: len(widths)], widths) for line in [heads, *cells]]


def _spare(widths: Sequence[int], width: int) -> int:
    return width - (sum(widths) + 2 * (len(widths) - 1))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right; what is too long ends in "…"."""
    parts = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        cut = cell if len(cell) <= width else cell[: width - 1] + "…"
        parts.append(cut.ljust(width) if index == 1 else cut.rjust(width))
    return "  ".join(parts).rstrip()


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width)


def _columns(board: Board, metric: str | None) -> list[str]:
    """The scores of a table that leaves the page, where no notice can stand beside them.

    Raises: UserError if a score was refused and the user did not choose one that can stand.
    """
    if metric is not None:
        return [metric]
    if board.refused:
        raise UserError(f"{board.refused[0].reason} {mend(board.scores)}")
    return board.scores


def leaderboard_csv(board: Board, metric: str | None = None) -> str:
    """One line for each configuration; each score's mean, spread and protocol in own columns.

    metric: write this score alone. Raises: UserError if a score has several protocols.
    """
    scores = _columns(board, metric)
    figures = ("best_mean", "best_std", "best_stderr", "last_mean", "last_std", "last_stderr")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["rank", "configuration", "model", "data", "stage", "seeds", "statuses", "settings"]
        + ["kimg", "images_per_second", "seconds"]
        + [f"{score}_{figure}" for score in scores for figure in (*figures, "protocol")]
    )
    for row in board.rows:
        line: list[Any] = [row.rank, _cell(row.label), _cell(row.model), _cell(row.runs[0].data)]
        line += [row.stage, row.seeds, json.dumps(row.statuses), json.dumps(row.settings)]
        line += [row.mean_of(key) for key in ("kimg", "images_per_second", "seconds")]
        for score in scores:
            best, last = row.best.get(score), row.last.get(score)
            for summary in (best, last):
                line += [summary.mean, summary.std, summary.error] if summary else [None] * 3
            line.append(_protocol(board, score) if best or last else None)
        writer.writerow(line)
    return out.getvalue()


def _cell(text: str) -> str:
    """Keeps a spreadsheet from reading a name as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _protocol(board: Board, score: str) -> str:
    found = protocols_of(board.runs, score)
    return json.dumps(found[0][0], sort_keys=True, default=str) if found else ""


LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
}


def latex_escape(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)


def leaderboard_latex(board: Board, metric: str | None = None) -> str:
    """A booktabs table (`\\usepackage{booktabs}`); the best value of each score is bold.

    metric: write this score alone. Raises: UserError if a score has several protocols.
    """
    scores = _columns(board, metric)
    heads = ["Configuration", *scores, "Seeds", "kimg"]
    lines = [f"% {score}: {_one_line(_protocol(board, score))}" for score in scores]
    lines += [
        r"\begin{tabular}{l" + "r" * (len(heads) - 1) + "}",
        r"\toprule",
        " & ".join(latex_escape(head) for head in heads) + r" \\",
        r"\midrule",
    ]
    leaders = {score: leader(board, score) for score in scores}
    stage = None
    for row in board.rows:
        if stage is not None and (row.stage == "trial") != (stage == "trial"):
            lines.append(r"\midrule")
        stage = row.stage
        cells = [latex_escape(row.label)]
        for score in scores:
            text = latex_escape(str(row.scores(board.at).get(score, "–")))
            cells.append(rf"\textbf{{{text}}}" if row is leaders[score] else text)
        lines.append(
            " & ".join([*cells, str(row.seeds), latex_escape(number(row.mean_of("kimg")))]) + r" \\"
        )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _one_line(text: str) -> str:
    return " ".join(text.split())
