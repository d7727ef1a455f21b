"""The rules by which a run is judged."""

from __future__ import annotations

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding, Gap


def diagnose(evidence: Evidence) -> list[Finding]:
    """What is wrong with a run, failures first; empty for a healthy one."""
    return []


def gaps(evidence: Evidence) -> list[Gap]:
    """What could not be judged, and how to measure it."""
    return []
