"""What to try next against each failure, as commands that train a run anew."""

from __future__ import annotations

import shlex

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Remedy
from gansweep.diagnosis.treatments import TREATMENTS

MOST = 4  # a longer list is no advice


def remedies_for(rule: str, evidence: Evidence) -> tuple[Remedy, ...]:
    """What is worth trying, the most promising first; never what the run has already."""
    made = []
    for treatment in TREATMENTS.get(rule, ()):
        advice = treatment(evidence)
        if advice is not None:
            text, overrides = advice
            made.append(Remedy(text, overrides, command_with(evidence, overrides)))
    return tuple(made[:MOST])


def command_with(evidence: Evidence, overrides: tuple[str, ...]) -> str:
    """The run's own command with these overrides in the place of its own of the same keys.

    With resume= the command continues the run and needs none of its options.
    """
    if any(word.startswith("resume=") for word in overrides):
        return shlex.join(["gansweep", "train", *overrides])
    replaced = {_key(word) for word in overrides}
    words = shlex.split(evidence.command)
    kept = [w for w in words if "=" not in w or w.startswith("--") or _key(w) not in replaced]
    # an option that the run itself added is known to no file: it needs its plus again, and one that
    # it added or replaced ("++") may be known to one
    added = {_key(w): w[: len(w) - len(w.lstrip("+"))] for w in words if w.startswith("+")}
    plus = ["" if w.startswith("+") else added.get(_key(w), "") for w in overrides]
    return shlex.join([*kept, *map("".join, zip(plus, overrides, strict=True))])


def _key(word: str) -> str:
    return word.split("=")[0].lstrip("+~")
