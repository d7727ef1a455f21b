"""Which scores compare: those that were measured under the same protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.errors import UserError
from gansweep.metrics.protocol import REPEATABLE, protocol_key
from gansweep.records.notation import plural, setting
from gansweep.records.read import Run


@dataclass(frozen=True)
class Refusal:
    """A score that was measured under several protocols, with the runs of each."""

    score: str
    groups: list[tuple[dict[str, Any], list[Run]]]

    @property
    def differing(self) -> list[str]:
        """The protocol's keys on which the runs disagree."""
        keys = dict.fromkeys(key for protocol, _ in self.groups for key in protocol)
        first = self.groups[0][0]
        return [
            key
            for key in keys
            if key not in REPEATABLE and any(p.get(key) != first.get(key) for p, _ in self.groups)
        ]

    @property
    def reason(self) -> str:
        sides = [f"{self.describe(p)} ({_who(runs)})" for p, runs in self.groups]
        return (
            f"{self.score} was measured under {len(self.groups)} protocols, so its values do not "
            f"belong in one column: {'; '.join(sides)}."
        )

    def error(self, scores: Sequence[str]) -> UserError:
        """For a table that needs this score.   scores: those that can be shown."""
        other = f", or rank by another score: --metric {scores[0]}" if scores else ""
        return UserError(f"{self.reason} Report the runs of one protocol at a time{other}.")

    def describe(self, protocol: dict[str, Any]) -> str:
        if not protocol:
            return "no protocol recorded"
        return ", ".join(f"{key}={setting(protocol.get(key))}" for key in self.differing)


def _who(runs: list[Run]) -> str:
    shown = ", ".join(run.name for run in runs[:2])
    more = ", ..." if len(runs) > 2 else ""
    return f"{plural(len(runs), 'run')}: {shown}{more}"


def protocols_of(runs: Sequence[Run], score: str) -> list[tuple[dict[str, Any], list[Run]]]:
    """The different protocols of a score, each with the runs measured under it."""
    groups: dict[str, tuple[dict[str, Any], list[Run]]] = {}
    for run in runs:
        if run.last(score) is not None:
            protocol = run.protocols.get(score, {})
            groups.setdefault(protocol_key(protocol), (protocol, []))[1].append(run)
    return list(groups.values())


def refusals(runs: Sequence[Run]) -> list[Refusal]:
    """Every score of these runs that has more than one protocol."""
    scores = sorted({score for run in runs for score in run.scores()})
    groups = [(score, protocols_of(runs, score)) for score in scores]
    return [Refusal(score, found) for score, found in groups if len(found) > 1]


def measured_with(run: Run, score: str, word: str) -> str | None:
    """The column of `word` that was measured together with a score: both protocols agree in every
    key that both state, and in the checkpoint. None where there is none.
    """
    own = run.protocols.get(score, {})
    for name in run.called(word):
        other = run.protocols[name]
        shared = (own.keys() & other.keys()) - {"score", "direction"} | {"checkpoint"}
        if all(own.get(key) == other.get(key) for key in shared):
            return name
    return None
