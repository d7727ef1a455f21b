"""What `gansweep doctor` prints of runs: findings, curves and remedies."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansweep.cli.arguments import in_lines
from gansweep.diagnosis.evidence import Evidence, evidence_of
from gansweep.diagnosis.findings import Finding, Gap
from gansweep.diagnosis.gaps import gaps
from gansweep.diagnosis.rules import RULES, diagnose
from gansweep.errors import visible
from gansweep.records.notation import aligned, plural
from gansweep.records.read import DAMAGED, Run
from gansweep.report.page.symptoms import symptoms
from gansweep.report.sparkline import ASCII, BLOCKS, sparkline

WIDTH = 80
CURVES = 3  # of a finding
SPARK = 30
STYLES = {"failure": "bold red", "warning": "bold yellow", "healthy": "bold green"}
STYLES[DAMAGED] = STYLES["failure"]


@dataclass(frozen=True)
class Patient:
    """A run, what was found in it, and what could not be judged."""

    run: Run
    evidence: Evidence
    findings: list[Finding]
    gaps: list[Gap]

    @property
    def verdict(self) -> str:
        """The worst of its findings: "failure", "warning" or "healthy"; or "damaged"."""
        if self.run.status == DAMAGED:
            return DAMAGED
        return self.findings[0].severity if self.findings else "healthy"

    @property
    def badness(self) -> tuple[int, int]:
        return sum(one.severity == "failure" for one in self.findings), len(self.findings)


def examined(run: Run) -> Patient:
    evidence = evidence_of(run)
    return Patient(run, evidence, diagnose(evidence), gaps(evidence))


def print_diagnoses(patients: Sequence[Patient], most: int) -> None:
    """Print a summary where there are several, then the worst of them, at most `most`, in full."""
    page = Page()
    if len(patients) > 1:
        _print_summary(patients, page)
        patients = sorted(patients, key=lambda one: one.badness, reverse=True)
        patients = [one for one in patients if one.findings][:most]
    for patient in patients:
        _print_patient(patient, page)


class Page:
    """How the output takes text: 60 to 100 columns of a terminal with colours, else `WIDTH` plain.

    levels: the characters of a sparkline, from low to high; ASCII where blocks cannot be encoded.
    """

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(highlight=False, soft_wrap=True)
        columns = max(60, min(100, self.console.width))
        self.width = columns if self.console.is_terminal else WIDTH
        self.levels = BLOCKS if self.console.encoding.startswith("utf") else ASCII

    def head(self, word: str, style: str, text: str) -> None:
        """Print a heading that starts with a word in the style."""
        from rich.text import Text

        self.console.print(Text.assemble("  ", (word, style), f": {text}"))

    def fill(self, text: str, indent: int, hanging: int = 0) -> str:
        """The text folded, each line indented, all but the first by `hanging` more."""
        return textwrap.fill(
            text,
            self.width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hanging),
            break_long_words=False,
            break_on_hyphens=False,
        )


def _print_summary(patients: Sequence[Patient], page: Page) -> None:
    counts = {word: sum(p.verdict == word for p in patients) for word in STYLES}
    damaged = f", {counts[DAMAGED]} damaged" if counts[DAMAGED] else ""
    print(
        f"{plural(len(patients), 'run')}: {counts['failure']} with failures, {counts['warning']} "
        f"with warnings only, {counts['healthy']} without a finding{damaged}."
    )
    for one in patients:
        if one.verdict == DAMAGED:
            print(page.fill(f"{one.run.name}: {one.run.reason}", 2, 4))
    for rule in RULES:
        found = {p.run.directory: f for p in patients for f in p.findings if f.rule == rule}
        if found:
            _print_symptom(found, patients, page)
    print()


def _print_symptom(found: Mapping[Path, Finding], patients: Sequence[Patient], page: Page) -> None:
    """found: one rule's finding of each run by the run's directory."""
    failures = sum(finding.severity == "failure" for finding in found.values())
    kinds = plural(failures, "failure") if failures else "warnings"
    title = next(iter(found.values())).title
    words = [
        f"{one.ill_inside} of {one.inside} with {one.setting}, "
        f"{one.ill_outside} of {one.outside} without"
        for one in symptoms([(p.run, p.run.directory in found) for p in patients])
    ]
    line = ", ".join(filter(None, [f"({kinds})", "; ".join(words)]))
    print(page.fill(f"{title}: {len(found)} of {len(patients)} {line}", 2, 4))


def _print_patient(patient: Patient, page: Page) -> None:
    run = patient.run
    print(visible(str(run.directory)))
    state = f"{run.model} on {run.data}, {run.status} at {run.kimg:.4g} kimg"
    unfinished = f": {run.reason}" if run.reason and not run.complete else ""
    print(page.fill(f"{state}{unfinished}", 2))
    for note in run.notes:
        print(page.fill(f"note: {note}", 2, 2))
    if not patient.findings and patient.verdict == "healthy":
        page.head("healthy", STYLES["healthy"], "none of the known failures shows")
    printed: set[str] = set()
    for finding in patient.findings:
        _print_finding(finding, patient.evidence, page, printed)
    if patient.gaps:
        print("\n  not judged")
    for gap in patient.gaps:
        title = gap.rule.replace("_", " ")
        print(page.fill(f"{title}: {gap.text}. {gap.fix}", 4, 2))
    print()


def _print_finding(finding: Finding, evidence: Evidence, page: Page, printed: set[str]) -> None:
    """printed: the commands that were printed before; those of this finding are added."""
    print()
    page.head(finding.severity, STYLES[finding.severity], finding.title)
    print(page.fill(finding.text, 4))
    curves = []
    for name in finding.columns[:CURVES]:
        line = sparkline(evidence.curves[name], SPARK, page.levels)
        curves.append((name, line.drawn, f"{line.low:.3g} to {line.high:.3g}"))
    print(*(f"    {line}\n" for line in aligned(curves, width=page.width)), sep="", end="")
    if finding.remedies:
        print("    worth trying:")
    for remedy in finding.remedies:
        again = " (the command above)" if remedy.command in printed - {""} else ""
        print(page.fill(f"- {remedy.text}{again}", 4, 2))
        if remedy.command and not again:
            print(in_lines(remedy.command, page.width, indent=6))
        printed.add(remedy.command)
