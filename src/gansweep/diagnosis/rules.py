"""The rules by which a run is judged, and what they lack to judge it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gansweep.diagnosis.course import divergence, slow_convergence
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.diagnosis.game import (
    discriminator_fooled,
    discriminator_overpowers,
    oscillation,
    vanishing_gradient,
)
from gansweep.diagnosis.learning import never_learned
from gansweep.diagnosis.modes import mode_collapse
from gansweep.diagnosis.quality import memorisation, over_generalisation
from gansweep.diagnosis.remedies import remedies_for

Rule = Callable[[Evidence], Finding | None]

# Causes before their consequences.
RULES: dict[str, Rule] = {
    "divergence": divergence,
    "vanishing_gradient": vanishing_gradient,
    "discriminator_overpowers": discriminator_overpowers,
    "discriminator_fooled": discriminator_fooled,
    "never_learned": never_learned,
    "mode_collapse": mode_collapse,
    "oscillation": oscillation,
    "over_generalisation": over_generalisation,
    "memorisation": memorisation,
    "slow_convergence": slow_convergence,
}
# A game that has failed makes bad samples and improves late, if at all: to say so as well would
# send the reader after the consequence. Each of these is left out beside such failures.
EXPLAINED = {
    "over_generalisation": {
        "divergence",
        "discriminator_overpowers",
        "discriminator_fooled",
        "oscillation",
        "never_learned",
    },
    "discriminator_fooled": {"oscillation"},
    "never_learned": {"divergence", "mode_collapse"},
    "slow_convergence": RULES.keys(),
}


def diagnose(evidence: Evidence) -> list[Finding]:
    """What is wrong with a run, failures first; empty for a healthy one."""
    found = {name: finding for name, rule in RULES.items() if (finding := rule(evidence))}
    failed = {name for name, finding in found.items() if finding.severity == "failure"}
    told = [
        replace(finding, remedies=remedies_for(name, evidence))
        for name, finding in found.items()
        if not failed & set(EXPLAINED.get(name, ()))
    ]
    return sorted(told, key=lambda finding: finding.severity != "failure")
