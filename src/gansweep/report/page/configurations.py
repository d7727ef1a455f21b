"""The settings and the surroundings in which the runs of a board differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gansweep.judging.labels import settings_of, varied
from gansweep.records.plain_values import mapping
from gansweep.records.read import Run

SURROUNDINGS = ("versions", "hardware", "git_commit", "accelerator", "parameters")


def configurations(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The settings of these runs, those of their sweeps and seeds included: see `_table`.

    runs: id -> run.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, run in runs.items():
        seeds: dict[str, Any] = {
            name: run.config[name] for name in ("seed", "noise_seed") if name in run.config
        }
        found[key] = {
            "model": run.model,
            "data": run.data,
            **seeds,
            **settings_of(run),
            **run.params,  # a group's choice, such as augment=ada, is no setting of the config
        }
    return _table(found)


def environments(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The versions, the hardware and the sizes of networks in which these runs differ."""
    found: dict[str, dict[str, Any]] = {}
    for key, run in runs.items():
        kept = {name: run.result[name] for name in SURROUNDINGS if name in run.result}
        found[key] = _flat("", kept)
    return _table(found)


def _table(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """common: the settings that all have alike.   keys: those that differ.

    values: for each key its distinct values.
    runs: id -> for each key the index of the run's value; -1 where the run has no such key.
    """
    keys = varied(list(settings.values()))
    places: list[dict[str, int]] = []
    values: list[list[Any]] = []
    for key in keys:
        found: dict[str, Any] = {}
        for one in settings.values():
            if key in one:
                found.setdefault(_text(one[key]), one[key])
        places.append({text: place for place, text in enumerate(found)})
        values.append(list(found.values()))
    runs = {
        run: [place[_text(one[key])] if key in one else -1 for key, place in _pairs(keys, places)]
        for run, one in settings.items()
    }
    first = next(iter(settings.values()), {})
    common = {key: value for key, value in first.items() if key not in keys}
    return {"common": common, "keys": keys, "values": values, "runs": runs}


def _pairs(keys: Sequence[str], places: Sequence[dict[str, int]]) -> list[tuple[str, Any]]:
    return list(zip(keys, places, strict=True))


def _text(value: Any) -> str:
    return json.dumps(value, default=str)


def _flat(prefix: str, node: Any) -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {prefix.rstrip("."): node}
    return {
        k: v
        for name, one in mapping(node).items()
        for k, v in _flat(f"{prefix}{name}.", one).items()
    }
