"""What to try next against each failure, as commands that train a new run."""

from __future__ import annotations

import itertools
import shlex

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Remedy
from gansweep.diagnosis.treatments import TREATMENTS

MOST = 4  # a longer list does not help


def remedies_for(rule: str, evidence: Evidence) -> tuple[Remedy, ...]:
    """What is worth trying, the most promising first; nothing that the run has already."""
    advice = filter(None, (treatment(evidence) for treatment in TREATMENTS.get(rule, ())))
    return tuple(
        Remedy(_whole(text, overrides), overrides, command_with(evidence, overrides))
        for text, overrides in itertools.islice(advice, MOST)
    )


def _whole(text: str, overrides: tuple[str, ...]) -> str:
    """With what the words change beside it: who compares the two runs must know."""
    loses_norm = any(word.endswith(".norm=none") for word in overrides)
    return f"{text}, in a discriminator without batch normalisation" if loses_norm else text


def command_with(evidence: Evidence, overrides: tuple[str, ...]) -> str:
    """The run's own command, where these overrides replace those with the same keys.

    With resume= the command continues the run and needs no other options. "" where the training
    loop is not gansweep's.
    """
    if not evidence.command:
        return ""
    if any(word.startswith("resume=") for word in overrides):
        return shlex.join(["gansweep", "train", *overrides])
    replaced = {_key(word) for word in overrides}
    words = shlex.split(evidence.command)
    kept = [w for w in words if "=" not in w or w.startswith("--") or _key(w) not in replaced]
    # an option that the run added with "+" (or "++") needs the same sign again
    added = {_key(w): w[: len(w) - len(w.lstrip("+"))] for w in words if w.startswith("+")}
    plus = ["" if w.startswith("+") else added.get(_key(w), "") for w in overrides]
    return shlex.join([*kept, *map("".join, zip(plus, overrides, strict=True))])


def _key(word: str) -> str:
    return word.split("=")[0].lstrip("+~")
