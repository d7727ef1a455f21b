"""The doctor's findings in the runs of a page, with the curves that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gansweep.diagnosis.evidence import evidence_of
from gansweep.diagnosis.findings import Finding, Gap
from gansweep.diagnosis.gaps import gaps
from gansweep.diagnosis.rules import diagnose
from gansweep.judging.leaderboard import Board, Row
from gansweep.records.notation import number, plural
from gansweep.records.read import Run
from gansweep.report.figures.bands import band
from gansweep.report.figures.figures import Figure, axes, line, plain, span
from gansweep.report.figures.palette import Variant

CURVES = 2  # curves per finding; the most informative come first


@dataclass(frozen=True)
class Shown:
    """A finding on the page: one run as an example for all runs of its configuration that have it.

    where: the seed of this run, and how many runs have the finding.
    """

    variant: Variant
    finding: Finding
    where: str
    figures: list[Figure]


@dataclass(frozen=True)
class Diagnosis:
    """shown: the findings of the configurations that the page draws, failures first.

    healthy: number of configurations without findings.
    others: number of configurations with findings that the page does not draw.
    unjudged: for each rule that could not be checked in some runs, the reason and how many runs.
    """

    shown: list[Shown]
    healthy: int
    others: int
    unjudged: list[tuple[Gap, int]]


def diagnosis(board: Board, drawn: Sequence[Variant]) -> Diagnosis:
    """The findings in the runs of a page: in full for drawn configurations, counted for others."""
    variants = {variant.row.key: variant for variant in drawn}
    shown: list[Shown] = []
    missing: dict[str, list[Gap]] = {}
    healthy = others = 0
    for row in [*board.rows, *board.open_rows]:
        judged = [(run, evidence_of(run)) for run in row.runs]
        found = [(run, finding) for run, evidence in judged for finding in diagnose(evidence)]
        for gap in (gap for _, evidence in judged for gap in gaps(evidence)):
            missing.setdefault(gap.rule, []).append(gap)
        if not found:
            healthy += 1
        elif row.key in variants:
            shown += _of_row(variants[row.key], found)
        else:
            others += 1
    shown.sort(key=lambda one: (one.finding.severity != "failure", one.variant.index))
    return Diagnosis(shown, healthy, others, [(g[0], len(g)) for g in missing.values()])


def _of_row(variant: Variant, found: Sequence[tuple[Run, Finding]]) -> list[Shown]:
    """One entry for each rule."""
    rules = dict.fromkeys(finding.rule for _, finding in found)
    return [_of_rule(variant, [one for one in found if one[1].rule == rule]) for rule in rules]


def _of_rule(variant: Variant, found: Sequence[tuple[Run, Finding]]) -> Shown:
    run, finding = min(found, key=lambda one: one[1].severity != "failure")
    figures = [_evidence(variant, run, name, finding) for name in finding.columns]
    shown = [figure for figure in figures if figure][:CURVES]
    return Shown(variant, finding, _where(variant.row, run, len(found)), shown)


def _where(row: Row, run: Run, count: int) -> str:
    if len(row.runs) == 1:
        return f"seed {run.seed}"
    return f"seed {run.seed}; found in {count} of {plural(len(row.runs), 'run')}"


def _evidence(variant: Variant, run: Run, column: str, finding: Finding) -> Figure | None:
    """The curve of one run with the judged part shaded; None if it has no such curve."""
    found = band([run], column)
    if found is None:
        return None
    layout = axes("")
    layout["shapes"] = [span(*finding.kimg)]
    alt = (
        f"{column} of {variant.row.name}, seed {run.seed}: from {number(found.mean[0])} to "
        f"{number(found.mean[-1])}. Shaded: {number(finding.kimg[0])} to "
        f"{number(finding.kimg[1])} kimg."
    )
    trace = line(found.kimg, found.mean, variant) | {"name": plain(column)}
    return Figure(column, alt, [trace], layout, height=200, variant=variant.index)
