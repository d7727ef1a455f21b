"""Columns of a table for scores that were measured after training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gansweep.metrics.protocol import REPEATABLE
from gansweep.records.notation import setting

if TYPE_CHECKING:
    from gansweep.records.read import Evaluation, Run


def add_columns(runs: Sequence[Run]) -> None:
    """Add the scores of each run's evaluations to the columns of the run (`run.evaluated`).

    A column has the name of its score. If a score of that name was measured on the same data with
    several protocols or checkpoints, the name also contains the differing keys, as in
    "fid_digitsnet_1k_train (checkpoint best.pt)". So two values share a column only if they were
    measured in the same way. Of several equal evaluations of a run the newest is used.
    """
    alike: dict[tuple[str, Any], list[dict[str, Any]]] = {}
    for run in runs:
        found = list(run.protocols.items())
        found += [(name, _protocol(one, name)) for one in run.evaluations for name in one.scores]
        for name, protocol in found:
            alike.setdefault((name, protocol.get("data")), []).append(protocol)
    for run in runs:
        for one in run.evaluations:
            for name, entry in one.scores.items():
                protocol = _protocol(one, name)
                column = _column(name, protocol, alike[name, protocol.get("data")])
                run.evaluated[column] = {**entry, "kimg": one.kimg}
                run.protocols[column] = protocol


def _protocol(evaluation: Evaluation, name: str) -> dict[str, Any]:
    """The protocol with the checkpoint: scores of different checkpoints are not comparable."""
    return {**evaluation.protocols.get(name, {}), "checkpoint": evaluation.checkpoint}


def _column(name: str, protocol: dict[str, Any], alike: list[dict[str, Any]]) -> str:
    keys = dict.fromkeys(key for each in alike for key in each if key not in REPEATABLE)
    differing = [key for key in keys if any(each.get(key) != protocol.get(key) for each in alike)]
    words = [f"{key} {setting(protocol.get(key))}" for key in differing]
    return f"{name} ({', '.join(words)})" if words else name
