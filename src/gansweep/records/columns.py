"""Columns for what was measured after training, beside those that training measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gansweep.metrics.protocol import REPEATABLE
from gansweep.records.notation import setting

if TYPE_CHECKING:
    from gansweep.records.read import Evaluation, Run


def add_columns(runs: Sequence[Run]) -> None:
    """Give the scores of each run's evaluations a column among its scores.

    A column is named by its score. Where that name was measured on the same data under several
    protocols or of several checkpoints, it says in which they differ, as in
    "fid_digitsnet_1k_train (checkpoint best.pt)": what was measured differently never shares a
    column with another run's. Of evaluations that are alike the newest counts.
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
    """With the checkpoint: a number of the best one does not compare with one of the last."""
    return {**evaluation.protocols.get(name, {}), "checkpoint": evaluation.checkpoint}


def _column(name: str, protocol: dict[str, Any], alike: list[dict[str, Any]]) -> str:
    keys = dict.fromkeys(key for each in alike for key in each if key not in REPEATABLE)
    differing = [key for key in keys if any(each.get(key) != protocol.get(key) for each in alike)]
    told = [f"{key} {setting(protocol.get(key))}" for key in differing]
    return f"{name} ({', '.join(told)})" if told else name
