"""The doctor's findings in the runs of a board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gansweep.diagnosis.evidence import evidence_of
from gansweep.diagnosis.findings import Finding, Gap
from gansweep.diagnosis.gaps import gaps
from gansweep.diagnosis.rules import diagnose
from gansweep.judging.leaderboard import Row
from gansweep.records.read import Run


def diagnosis_part(rows: Mapping[str, Row], runs: Mapping[str, Run]) -> dict[str, Any]:
    """findings: for each configuration and rule one, failures first, with every run that has it.

    healthy: how many configurations have none.   gaps: rules that some runs could not be judged by.
    """
    ids = {run.directory: key for key, run in runs.items()}
    findings: list[dict[str, Any]] = []
    missing: dict[str, list[Gap]] = {}
    healthy = 0
    for key, row in rows.items():
        judged = [(ids[run.directory], evidence_of(run)) for run in row.runs]
        found = [(run, finding) for run, evidence in judged for finding in diagnose(evidence)]
        for gap in (gap for _, evidence in judged for gap in gaps(evidence)):
            missing.setdefault(gap.rule, []).append(gap)
        healthy += not found
        for rule in dict.fromkeys(finding.rule for _, finding in found):
            alike = [one for one in found if one[1].rule == rule]
            findings.append(_entry(key, alike))
    findings.sort(key=lambda one: one["severity"] != "failure")
    return {
        "findings": findings,
        "healthy": healthy,
        "gaps": [{**asdict(found[0]), "runs": len(found)} for found in missing.values()],
    }


def _entry(row: str, found: Sequence[tuple[str, Finding]]) -> dict[str, Any]:
    """One rule in one configuration. The worst run stands for all; `runs` has each one's span."""
    example, finding = min(found, key=lambda one: one[1].severity != "failure")
    return {
        "row": row,
        "rule": finding.rule,
        "title": finding.title,
        "severity": finding.severity,
        "text": finding.text,
        "columns": list(finding.columns),
        "example": example,
        "runs": {run: list(one.kimg) for run, one in found},
        "remedies": [{"text": one.text, "command": one.command} for one in finding.remedies],
    }
