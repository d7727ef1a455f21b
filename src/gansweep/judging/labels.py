"""The settings in which configurations differ, and the labels made of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gansweep.records.notation import settings_text, short_names
from gansweep.records.plain_values import mapping
from gansweep.records.read import Run

if TYPE_CHECKING:
    from gansweep.judging.leaderboard import Row

# Keys of the configuration that do not change what a run learns.
BOOKKEEPING = {
    *("name", "group", "runs_dir", "resume", "tracker", "choices", "extra_packages"),
    "callbacks",
}
SEEDS = {"seed", "noise_seed"}
# Blocks of a model's file that tests and searches read, and a training does not.
UNREAD = {"model.tiny", "model.search", "model.changeable"}
LONG = 40  # characters; a longer name does not fit a sentence, a legend or a column


def settings_of(run: Run) -> dict[str, Any]:
    """The configuration as dotted keys, with the callbacks that can stop a run. Without names,
    places, seeds, other callbacks, what only tests and searches read, and, of a run on images, the
    networks for points."""
    flat: dict[str, Any] = {}
    watchers = run.config.get("callbacks")
    for name, options in watchers.items() if isinstance(watchers, dict) else ():
        if str(name).startswith("stop_") and options:
            flat[f"callbacks.{name}"] = "on"

    unread = UNREAD | ({"model.points"} if _on_images(run) else set())

    def visit(prefix: str, node: dict[str, Any]) -> None:
        for key, value in node.items():
            if key in SEEDS or (not prefix and key in BOOKKEEPING) or f"{prefix}{key}" in unread:
                continue
            if isinstance(value, dict):
                visit(f"{prefix}{key}.", value)
            elif not (isinstance(value, str) and f"/{run.directory.name}" in value):
                flat[f"{prefix}{key}"] = value

    visit("", run.config)
    return flat


def _on_images(run: Run) -> bool:
    """Whether its record says so: older ones do not tell."""
    shape = mapping(run.result.get("game")).get("sample_shape")
    return isinstance(shape, list) and len(shape) > 1


def varied(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that take different values among these; an absent key is a value too."""
    keys = dict.fromkeys(key for one in settings for key in one)
    return [k for k in keys if len({json.dumps(one.get(k), default=str) for one in settings}) > 1]


def parameters(trials: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Parameter of a sweep -> the settings that go with it, itself first.

    A setting that differs only between models, such as the width of each, goes with the model.
    trials: the parameters of each.
    """
    differing = varied(trials)
    if "model" not in differing:
        return {key: [key] for key in differing}
    of_model: dict[str, list[Mapping[str, Any]]] = {}
    for params in trials:
        of_model.setdefault(str(params.get("model")), []).append(params)
    within = {key for alike in of_model.values() for key in varied(alike)}
    tied = [key for key in differing if key not in within and key != "model"]
    found = {key: [key] for key in differing if key not in tied}
    return {**found, "model": ["model", *tied]}


def label(rows: Sequence[Row]) -> dict[str, str]:
    """Name each row by its model and by the settings in which the rows of that model differ.

    Returns the short name of every key.
    """
    names = short_names(key for row in rows for key in row.settings)
    several_data = len({row.runs[0].data for row in rows}) > 1
    alike: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        alike.setdefault((row.model, row.runs[0].data), []).append(row)
    for (_, data), same in alike.items():
        keys = [key for key in varied([row.settings for row in same]) if key != "model"]
        for row in same:
            row.settings = {key: row.settings[key] for key in keys if key in row.settings}
            parts = [f"on {data}" if several_data else "", settings_text(row.settings, names)]
            row.detail = ", ".join(filter(None, parts))
    counts = Counter((row.model, row.detail) for row in rows)
    for row in rows:
        if counts[row.model, row.detail] > 1:
            row.detail = ", ".join(filter(None, [row.detail, row.runs[0].name]))
        row.label = f"{row.model} ({row.detail})" if row.detail else row.model
    _shorten(rows)
    return names


def _shorten(rows: Sequence[Row]) -> None:
    """Replace a long label by the name of the trial, as in `gansweep sweep`, or of the run."""
    for row in rows:
        row.name = row.label
    long = [row for row in rows if len(row.label) > LONG]
    for wide in (True, False):
        names = {row.key: _own_name(row, wide) for row in long}
        counts = Counter(names.values())
        for row in long:
            if counts[names[row.key]] == 1 and len(names[row.key]) < len(row.label):
                row.name = names[row.key]


def _own_name(row: Row, wide: bool) -> str:
    """ "gan t0004" or "gan demo/t0004"; outside a sweep "gan gan-001" or "gan runs/gan-001"."""
    run = row.runs[0]
    if run.sweep and row.trial:
        return f"{row.model} {run.sweep.name}/{row.trial}" if wide else f"{row.model} {row.trial}"
    return f"{row.model} {run.name if wide else run.name.rpartition('/')[2]}"


def assignments(words: Sequence[str]) -> dict[str, str]:
    """The settings that a command line makes, such as {"model.n_critic": "5"}."""
    pairs = (word.lstrip("+").partition("=") for word in words if not word.startswith("~"))
    return {key: value for key, _, value in pairs}


def settings_digest(config: Mapping[str, Any]) -> str:
    """Six characters that the runs of one configuration share, whatever their seed and place.

    config: as plain values, where ${seed} is not resolved.
    """
    kept = {key: config[key] for key in config.keys() - SEEDS - BOOKKEEPING - {"trainer"}}
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def seedless_label(model: str, data: str, params: Mapping[str, Any]) -> str:
    """A label that the runs of one configuration share, whatever their seed and place, such as
    "dcgan on digits, lr=0.0002".

    params: what was set for the run; the model and the data may be among it.
    """
    skipped = SEEDS | BOOKKEEPING | {"trainer"}
    kept = {
        key: value
        for key, value in sorted(params.items())
        if key not in ("model", "data") and key.split(".")[0] not in skipped
    }
    text = settings_text(kept, short_names(kept))
    return f"{model} on {data}" + (f", {text}" if text else "")
