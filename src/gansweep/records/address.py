"""The content address of a run: equal for two runs that differ in nothing that decides a result.

It covers what is trained and how it is measured: data, model, budget, seed, scores, and the
callbacks that measure, choose a checkpoint or end a run. It leaves out where files lie, what is
written beside the run, and the machine: device, threads and compilation change the last digits
only. Where the files are the data, as of a folder of images, or weights of one's own, it covers
their place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

DIGITS = 16  # hexadecimal, of SHA-256
PARTS = ("seed", "budget_kimg", "batch_size", "one_batch", "init")
# keys that say where something lies, or what a sweep may do with the model
PLACES = ("root", "resident_gib", "weights_path")
FOLDERS = ("gansweep.data.folders.", "gansweep.data.pair_folders.")  # whose root is the data
BESIDE_A_MODEL = ("tiny", "search", "changeable", "batch_size")
OF_TRAINER = ("precision",)
REVISION = "_revision_"
# what trains another network under the same options since: where it is -> how often it changed
REVISIONS = {
    "gansweep.layers.r3.": 1,  # the filter of its resampling
    "gansweep.layers.noisy.": 1,  # the first weights
}
WATCHING = "gansweep.callbacks."  # where callbacks stand that only watch, but for these:
DECIDING = (f"{WATCHING}quality.", f"{WATCHING}game_at_rest.", f"{WATCHING}stop_")


def address_of(cfg: DictConfig, revisions: Mapping[str, int] = REVISIONS) -> str:
    """The address of a configuration of `gansweep train`, composed or read from a record.

    revisions: of the version that trains it; a record states its own.
    Raises: OmegaConfBaseException for an interpolation that cannot be resolved.
    """
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    text = json.dumps(_deciding(content, revisions), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def deciding(cfg: DictConfig, revisions: Mapping[str, int] = REVISIONS) -> dict[str, Any]:
    """What the address covers, but for the seed: dotted key -> value, as JSON has it."""
    content: Any = OmegaConf.to_container(cfg, resolve=True)
    flat = dict(_flat("", _deciding(content, revisions)))
    return {key: value for key, value in flat.items() if key != "seed"}


def still_holds(stored: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a run of an older version trained what `now` says, given that its options were the
    same: every option that it knew has its value still. Those that are new have their defaults,
    which leave what was before as it was; a new object, as one more penalty, does not, and neither
    does a revision of what is named.

    stored, now: of `deciding`.
    """
    added = now.keys() - stored.keys()
    if any(key.rpartition(".")[2] in ("_target_", REVISION) for key in added):
        return False
    return all(key in now and now[key] == value for key, value in stored.items())


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), one)
    else:
        yield prefix, value


def _deciding(content: Mapping[str, Any], revisions: Mapping[str, int]) -> dict[str, Any]:
    callbacks = {name: node for name, node in (content.get("callbacks") or {}).items() if node}
    model = {k: v for k, v in (content.get("model") or {}).items() if k not in BESIDE_A_MODEL}
    trainer = content.get("trainer") or {}
    chosen = {
        **{key: content.get(key) for key in PARTS},
        "data": content.get("data"),
        "model": model,
        "metrics": content.get("metrics"),
        "trainer": {key: trainer.get(key) for key in OF_TRAINER},
        "callbacks": {k: node for k, node in callbacks.items() if _decides(node)},
    }
    return {key: _plain(value, revisions) for key, value in chosen.items()}


def _decides(node: Mapping[str, Any]) -> bool:
    target = str(node.get("_target_"))
    return not target.startswith(WATCHING) or target.startswith(DECIDING)


def _plain(value: Any, revisions: Mapping[str, int]) -> Any:
    """The value without places, and with one spelling of each number: 20 is 20.0."""
    if isinstance(value, Mapping):
        left_out = _left_out(value)
        kept = {str(key): one for key, one in value.items() if key not in left_out}
        plain = {key: _plain(one, revisions) for key, one in kept.items()}
        return plain | _revision(str(value.get("_target_")), revisions)
    if isinstance(value, (list, tuple)):
        return [_plain(one, revisions) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _revision(target: str, revisions: Mapping[str, int]) -> dict[str, float]:
    """The entry for what a node names, where that has changed."""
    found = [n for home, n in revisions.items() if target.startswith(home)]
    return {REVISION: float(found[0])} if found else {}


def _left_out(node: Mapping[str, Any]) -> set[str]:
    """The keys of a node that are places and decide nothing."""
    decide = {"root"} if str(node.get("_target_")).startswith(FOLDERS) else set()
    if node.get("weights_path") is not None:
        decide.add("weights_path")
    return {*PLACES} - decide
