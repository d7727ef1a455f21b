"""The leaderboard as text for a terminal, as CSV and as LaTeX."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.judging.leaderboard import Board, Row, leader
from gansweep.judging.pareto import Front, fronts
from gansweep.judging.protocols import protocols_of
from gansweep.judging.statistics import Summary, seeds_text
from gansweep.judging.trials import Sweep
from gansweep.judging.verdict import verdict
from gansweep.records.notation import aligned, number, plural

LEGEND = "± standard deviation over seeds; [ ] 95 % interval of the mean (Student's t)"
MOMENTS = {"last": "at the end of a run", "best": "at the best moment of a run"}


@dataclass
class Table:
    """Text in cells. The first `words` columns are words, the others are numbers.

    caption: what the table shows. The page prints it where `titled`, and always for screen readers.
    """

    caption: str
    heads: list[str]
    rows: list[list[str]]
    words: int = 1
    titled: bool = False


def leaderboard_text(board: Board, width: int = 80) -> str:
    """The leaderboard in at most `width` columns, and the verdict.

    Confirmed configurations and plain runs come first, then the best trial of each model without
    one. A sweep that confirmed nothing shows the best trial of each model.
    """
    chosen = [row for row in board.rows if row.stage != "trial"]
    trials = _best_trials(board, {row.model for row in chosen})
    metric = board.metric if chosen else board.trial_metric
    if not chosen and not trials:
        return "\n".join(textwrap.wrap(verdict(board), width))
    lines = []
    if metric is not None:
        better = "higher" if board.direction_of(metric) == "maximize" else "lower"
        lines = textwrap.wrap(f"{metric} {MOMENTS[board.at]}; {better} is better", width)
    heads, *cells = _grid(board, [*chosen, *trials], width)
    lines += [heads, *cells[: len(chosen)]]
    if chosen and trials:
        other = "" if board.trial_metric == metric else f", by {board.trial_metric}"
        title = f"Best trial of each other model, not confirmed{other}"
        lines += ["", *textwrap.wrap(title, width)]
    details = _details([*chosen, *trials], "\n".join(cells), width)
    lines += [*cells[len(chosen) :], *_legend(board, width), *details]
    for sweep, tried, confirmed in fronts(board):
        front = confirmed or tried
        if front:
            lines += ["", *_front_lines(front_table(sweep, front, front is confirmed), width)]
    return "\n".join([*lines, "", *textwrap.wrap(verdict(board), width)])


def _legend(board: Board, width: int) -> list[str]:
    """The meaning of ± and brackets, where there are any."""
    spread = any((summary := board.judged(row)) and summary.interval for row in board.rows)
    return textwrap.wrap(LEGEND, width) if spread else []


def _details(rows: Sequence[Row], table: str, width: int) -> list[str]:
    """The settings of rows with a shortened name, and names that the table shows cut."""
    lines = []
    for row in rows:
        if row.name != row.label:
            lines += textwrap.wrap(f"{row.name}: {row.detail}", width, subsequent_indent="  ")
        elif row.name not in table:
            lines += textwrap.wrap(f"#{row.rank or '–'}: {row.name}", width, subsequent_indent="  ")
    return ["", *lines] if lines else []


def front_table(sweep: Sweep, front: Front, confirmed: bool) -> Table:
    """The members of a front with their mean of every objective."""
    what = "confirmed with fresh seeds" if confirmed else "of the trials"
    rows = [[one.row.name, one.seeds, *map(_mean, one.values)] for one in front.members]
    heads = [
        f"{column}, {'higher' if objective.direction == 'maximize' else 'lower'} is better"
        for column, objective in zip(front.columns, front.objectives, strict=True)
    ]
    of = plural(len(front.candidates), "configuration")
    caption = f"{sweep.name}: Pareto front {what}, {len(rows)} of {of}"
    return Table(caption, ["configuration", "seeds", *heads], rows, titled=True)


def _mean(summary: Summary) -> str:
    return f"{summary} {summary.interval_text}".rstrip()


def _front_lines(table: Table, width: int) -> list[str]:
    """A sentence for each member of a Pareto front, with its values."""
    lines = textwrap.wrap(f"{table.caption}: {'; '.join(table.heads[2:])}", width)
    for name, seeds, *values in table.rows:
        text = f"{name}, {plural(int(seeds), 'seed') if seeds.isdigit() else seeds + ' seeds'}"
        lines += textwrap.wrap(f"{text}: {'; '.join(values)}", width, subsequent_indent="  ")
    return lines


def _best_trials(board: Board, without: set[str]) -> list[Row]:
    found: dict[str, Row] = {}
    for row in board.rows:
        if row.stage == "trial" and row.model not in without:
            found.setdefault(row.model, row)
    return list(found.values())


def _grid(board: Board, rows: Sequence[Row], width: int) -> list[str]:
    """Headings and a line for each row; columns that do not fit are dropped from the right."""
    heads = ["#", "configuration", "score", "95 %", "seeds", "kimg", "images/s"]
    cells = []
    for row in rows:
        summary = board.judged(row)
        score = [str(summary), summary.interval_text] if summary else ["–", ""]
        numbers = [number(row.mean_of(key)) for key in ("kimg", "images_per_second")]
        cells.append(
            [str(row.rank or "–"), row.name, *score, seeds_text(row.seeds, row.lost), *numbers]
        )
    if not any(line[3] for line in cells):
        heads, cells = heads[:3] + heads[4:], [line[:3] + line[4:] for line in cells]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    while len(widths) > heads.index("seeds") + 1 and _spare(widths, width) < 0:
        widths.pop()
    widths[1] = max(min(widths[1], 13), widths[1] + min(_spare(widths, width), 0))
    most = widths[1]
    for line in cells:
        line[1] = line[1] if len(line[1]) <= most else line[1][: most - 1] + "…"
    right = {place for place in range(len(widths)) if place != 1}
    shown = [line[: len(widths)] for line in [heads, *cells]]
    return aligned(shown, right, max(width, width - _spare(widths, width)))


def _spare(widths: Sequence[int], width: int) -> int:
    return width - (sum(widths) + 2 * (len(widths) - 1))


def _columns(board: Board, metric: str | None) -> list[str]:
    """The scores of a table in a file, which has no room for a notice on a refused one.

    metric: by which the user had the board ranked; None: not chosen.
    Raises: UserError if a score was refused and the user did not choose another one.
    """
    if metric is not None and board.metric is not None:
        return [board.metric]  # `metric` may be its word alone
    if board.refused:
        raise board.refused[0].error(board.scores)
    return board.scores


def leaderboard_csv(board: Board, metric: str | None = None) -> str:
    """One line for each configuration, with columns for each score's mean, spread and protocol.

    std: standard deviation over seeds; stderr: standard error of the mean; ci95_low, ci95_high: its
    95 % confidence interval (Student's t). All empty for a single seed.
    metric: write only the score that ranks, for which the user asked by this name or word.
    Raises: UserError if a score has several protocols.
    """
    scores = _columns(board, metric)
    moments = ("mean", "std", "stderr", "ci95_low", "ci95_high")
    figures = [f"{when}_{moment}" for when in ("best", "last") for moment in moments]
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
                spread = [summary.mean, summary.std, summary.error] if summary else [None] * 3
                line += [*spread, *((summary.interval if summary else None) or [None] * 2)]
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

    The ranking score has a second column, with the 95 % intervals of its means. The settings of
    rows with a shortened name are in comments.
    metric: write only the score that ranks, for which the user asked by this name or word.
    Raises: UserError if a score has several protocols.
    """
    scores = _columns(board, metric)
    within = {s for s in scores if s in (board.metric, board.trial_metric)}
    heads = [head for s in scores for head in ([s, "95 % interval"] if s in within else [s])]
    heads = ["Configuration", *heads, "Seeds", "kimg"]
    lines = [f"% {score}: {_one_line(_protocol(board, score))}" for score in scores]
    lines += [
        f"% {LEGEND}",
        *(f"% {_one_line(f'{r.name}: {r.detail}')}" for r in board.rows if r.name != r.label),
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
        cells = [latex_escape(row.name)]
        for score in scores:
            summary = row.scores(board.at).get(score)
            text = latex_escape(str(summary or "–"))
            cells.append(rf"\textbf{{{text}}}" if row is leaders[score] else text)
            if score in within:
                interval = summary.interval_text if summary else ""
                cells.append(interval.replace("-", "$-$") or "--")
        lines.append(
            " & ".join([*cells, str(row.seeds), latex_escape(number(row.mean_of("kimg")))]) + r" \\"
        )
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _one_line(text: str) -> str:
    return " ".join(text.split())
