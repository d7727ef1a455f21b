"""The rules that diagnose a run, in order."""

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

# causes before their consequences
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
# A game that has failed also makes bad samples. Such consequences are not reported together with
# these causes, since they would mislead the reader.
EXPLAINED = {
    "over_generalisation": {
        *("divergence", "discriminator_overpowers", "discriminator_fooled"),
        *("oscillation", "never_learned"),
    },
    "discriminator_fooled": {"oscillation"},
    "never_learned": {"divergence", "mode_collapse"},
    "slow_convergence": RULES.keys(),
}


def diagnose(evidence: Evidence) -> list[Finding]:
    """What is wrong with a run, failures first; empty for a healthy one."""
    found = {name: finding for name, rule in RULES.items() if (finding := rule(evidence))}
    failed = {name for name, finding in found.items() if finding.severity == "failure"}
    reported = [
        replace(finding, remedies=remedies_for(name, evidence))
        for name, finding in found.items()
        if not failed & set(EXPLAINED.get(name, ()))
    ]
    return sorted(reported, key=lambda finding: finding.severity != "failure")
