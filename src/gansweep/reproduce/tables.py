"""A judged table as text, CSV, LaTeX and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from decimal import Decimal

from gansweep.judging.agreement import Spread
from gansweep.records.notation import aligned, plural
from gansweep.reproduce.judged import UNSCORED, CellRuns, CellScore, Judged
from gansweep.reproduce.table import Published, Score, Table
from gansweep.reproduce.words import WHOSE

HEADS = (
    "row",
    "setting",
    "score",
    "paper",
    "last checkpoint",
    "best checkpoint",
    "runs",
    "verdict",
)
EMPTY = "–"
FOOT = "[ ] 95 % interval of the mean over training seeds (their number)"


def rows_of(found: Judged) -> Iterator[list[str]]:
    """A line for each figure: a cell's score. The column of the paper's rule is marked by *."""
    for one in found.cells:
        runs = found.runs_of(one.cell)
        all_lost = runs is not None and runs.n > runs.done == 0
        is_expected = (one.cell.row, one.cell.setting, one.score.name) in found.expected
        if one.published is None and one.last is None and not (all_lost or is_expected):
            continue
        yield [
            one.cell.row,
            found.table.settings[one.cell.setting],
            one.score.title,
            published_text(one.published, one.score, found.table),
            spread_text(one.last, one.score),
            spread_text(one.best, one.score),
            "" if runs is None else runs_text(runs),
            verdict_word(one, found),
        ]


def heads(table: Table) -> list[str]:
    """The headings; the checkpoint that the paper reports has a star."""
    return [f"{head} *" if head.startswith(table.rule) else head for head in HEADS]


def verdict_word(one: CellScore, found: Judged) -> str:
    if one.cell.row in found.table.not_run:
        return "not run"
    if one.last is None:
        runs = found.runs_of(one.cell)
        if runs is None or not runs.n:
            return "no run yet"
        return "not measured" if runs.done else "lost"
    if one.agreement is not None:
        return one.agreement.verdict
    return "order only" if found.budget.shows == "order" else EMPTY


def published_text(figure: Published | None, score: Score, table: Table) -> str:
    """ "6.3 ± 0.5": with all decimals of the paper, also where ours are shown with fewer; the error
    has those of the value at least. A figure that is calculated has as many as ours.
    """
    if figure is None:
        return EMPTY
    calculated = table.known_from == "calculated"
    decimals = max(score.decimals, 0 if calculated else _decimals(figure.value))
    value = f"{figure.value:.{decimals}f}"
    if figure.error is None:
        return value
    return f"{value} ± {figure.error:.{max(decimals, _decimals(figure.error))}f}"


def _decimals(value: float) -> int:
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    assert isinstance(exponent, int), "published figures are finite"
    return max(0, -exponent)


def spread_text(spread: Spread | None, score: Score) -> str:
    """ "6.40 [5.70, 7.10] (3)": the mean, its 95 % interval over seeds, and their number."""
    if spread is None:
        return EMPTY
    mean = f"{spread.mean:.{score.decimals}f}"
    if spread.interval is None:
        return f"{mean} ({spread.n})"
    low, high = (f"{bound:.{score.decimals}f}" for bound in spread.interval)
    return f"{mean} [{low}, {high}] ({spread.n})"


def runs_text(runs: CellRuns) -> str:
    """ "7, 1 lost"."""
    return f"{runs.n}, {runs.n - runs.done} lost" if runs.n > runs.done else str(runs.n)


def text_table(found: Judged, width: int) -> str:
    """For a terminal: one block of lines for each setting, as wide as needed."""
    lines = []
    for title in found.table.settings.values():
        rows = [row for row in rows_of(found) if row[1] == title]
        if rows:
            if len(found.table.settings) > 1:
                lines.append(f"{title}")
            cut = _without_empty([[*row[:1], *row[2:]] for row in (heads(found.table), *rows)])
            lines += [f"  {line}" for line in aligned(cut, width=max(width - 2, _needs(cut)))]
    return "\n".join(lines)


def _without_empty(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows without the columns that say nothing below their heading."""
    columns = zip(*rows, strict=True)
    kept = [column for column in columns if any(cell != EMPTY for cell in column[1:])]
    return [list(row) for row in zip(*kept, strict=True)]


def _needs(rows: Sequence[Sequence[str]]) -> int:
    return sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))


def csv_table(found: Judged) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            *("row", "setting", "score", "published", "published_error", "checkpoint", "mean"),
            *("low", "high", "training_sd", "evaluation_sd", "seeds", *UNSCORED, "verdict"),
        ]
    )
    for one in found.cells:
        runs = found.runs_of(one.cell)
        for which, spread in (("last", one.last), ("best", one.best)):
            interval = ("", "") if spread is None or spread.interval is None else spread.interval
            ours = ("", "", "", "", "", 0)
            if spread is not None:
                sd = (spread.training, spread.evaluation)
                ours = (spread.mean, *interval, *("" if s is None else s for s in sd), spread.n)
            figure = one.published
            writer.writerow(
                [
                    *(one.cell.row, one.cell.setting, one.score.name),
                    "" if figure is None else figure.value,
                    "" if figure is None or figure.error is None else figure.error,
                    *(which, *ours),
                    *(0 if runs is None else runs.ends[word] for word in UNSCORED),
                    verdict_word(one, found) if which == found.table.rule else "",
                ]
            )
    return out.getvalue()


def badge(found: Judged) -> str:
    """A line of Markdown: how much of the table there is, and how much of it agrees."""
    runs = plural(found.n, "run")
    return f"**{found.table.name}** ({found.budget.name}): {runs}, {badge_words(found)}"


def badge_words(found: Judged) -> str:
    """ "30 of 30 figures agree, 0 differ; 6 orders: 4 as in the paper, 2 not decided"."""
    tested = [one.agreement.verdict for one in found.cells if one.agreement is not None]
    parts = []
    if tested:
        agree, differ = tested.count("agrees"), tested.count("differs")
        undecided = len(tested) - agree - differ
        rest = f", {undecided} not decided" if undecided else ""
        parts.append(f"{agree} of {plural(len(tested), 'figure')} agree, {differ} differ{rest}")
    if found.orders and found.budget.shows in ("digits", "order"):
        verdicts = [one.order.verdict for one in found.orders]
        same, opposite = verdicts.count("same"), verdicts.count("opposite")
        whose = WHOSE.get(found.table.known_from, "in the paper")
        undecided = len(verdicts) - same - opposite
        counts = {f"as {whose}": same, "opposite": opposite, "not decided": undecided}
        shown = ", ".join(f"{many} {word}" for word, many in counts.items() if many)
        parts.append(f"{plural(len(verdicts), 'order')}: {shown}")
    return "; ".join(parts) or "shown beside, without a verdict"


LATEX = {
    **{c: rf"\{c}" for c in "&%_#${}"},
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"},
    **{"<": "$<$", ">": "$>$", "±": r"$\pm$", "–": "--", "*": "$^*$"},
    "[": "{[}",  # behind the end of a line it would begin an option
}


def latex_table(found: Judged) -> str:
    """A booktabs table."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(LATEX.get(c, c) for c in cell) for cell in cells) + r" \\"

    body = [line(row) for row in rows_of(found)]
    return "\n".join(
        [
            f"% {' '.join(found.table.citation.split())}; budget {found.budget.name}",
            r"\begin{tabular}{" + "l" * len(HEADS) + "}",
            r"\toprule",
            line(heads(found.table)),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def markdown_table(found: Judged) -> str:
    rows = [heads(found.table), ["---"] * len(HEADS), *rows_of(found)]
    return "\n".join("| " + " | ".join(c.replace("|", r"\|") for c in row) + " |" for row in rows)
