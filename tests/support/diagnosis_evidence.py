"""Scripted curves as evidence of a run, for the tests of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gansweep.diagnosis.evidence import Evidence, Points
from gansweep.diagnosis.findings import Finding
from gansweep.diagnosis.rules import RULES

MAXIMIZED = (
    "modes",
    "confident_modes",
    "high_quality",
    "precision",
    "recall",
    "density",
    "coverage",
)
BALANCED = {
    "balance/real_mean": [0.6] * 20,
    "balance/fake_mean": [0.4] * 20,
    "balance/real_accuracy": [0.7] * 20,
    "balance/fake_accuracy": [0.7] * 20,
    "balance/distance": [0.1] * 20,
    "grad_norm/generator": [1.0] * 20,
    "grad_norm/discriminator": [1.0] * 20,
}
EVEN = [125.0] * 8  # 1,000 samples in eight modes


def game(**changed: Sequence[float]) -> dict[str, Sequence[float]]:
    """A balanced game but for these columns, "/" written as "__"."""
    named = {name.replace("__", "/"): values for name, values in changed.items()}
    return {**BALANCED, **named}


WINNING = game(
    balance__real_accuracy=[1.0] * 20,
    balance__fake_accuracy=[1.0] * 20,
    balance__fake_mean=[0.01] * 20,
)


def points(values: Sequence[float], until: float = 100.0) -> Points:
    """The values at equal distances, the last one at `until` kimg."""
    return [(until * (k + 1) / len(values), float(value)) for k, value in enumerate(values)]


def scored(word: str, **changed: Any) -> dict[str, Any]:
    direction = "maximize" if word in MAXIMIZED else "minimize"
    return {"score": word, "direction": direction, "n_fake": 1000, "n_real": 1000, **changed}


def evidence(
    columns: dict[str, Sequence[float]] | None = None,
    *,
    scores: dict[str, Sequence[float]] | None = None,
    counts: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    mode_shares: Sequence[float] | None = None,
    until: float = 100.0,
    config: dict[str, Any] | None = None,
    status: str = "finished",
    **given: Any,
) -> Evidence:
    """A run with a budget of 100 kimg that stands at `until`.

    columns: of the history.   scores: word -> values, as columns named after the word.
    counts: samples in each mode at the end.   mode_shares: of the data, where they are not equal.
    """
    found = {**(columns or {}), **(scores or {})}
    protocols = {word: scored(word) for word in scores or {}}
    if counts is not None:
        protocols["mode_counts"] = scored("mode_counts", mode_names=names, mode_shares=mode_shares)
    return Evidence(
        curves={name: points(values, until) for name, values in found.items()},
        protocols=protocols,
        objective=next((w for w in ("fid", "reverse_kl") if w in protocols), None),
        counts=[] if counts is None else [(until, counts)],
        config={"budget_kimg": 100.0, **(config or {})},
        status=status,
        **given,
    )


def found(rule: str, given: Evidence) -> Finding | None:
    """What one rule finds, without the other rules."""
    finding = RULES[rule](given)
    assert finding is None or finding.rule == rule
    return finding
