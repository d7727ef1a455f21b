"""The groups of conf/, their files and their keys, read in milliseconds for shell completion.

Hydra is too slow for completion. This follows Hydra's composition as far as the keys go.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

SWEEPS = ("sweep", "launcher")  # groups that `gansweep train` does not have
TABLES = "reproduce"  # the files of `gansweep reproduce`, which no run chooses
UNSET = ("hydra", "tiny", "search", "changeable")  # keys that are not for the command line
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def conf_dir() -> Path:
    """The folder of YAML files: inside the package in a wheel, at the top of a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"


def choices(config_name: str, folders: Sequence[Path] = ()) -> dict[str, list[str]]:
    """Group -> names of its files.

    config_name: "train" or "sweep", the verb.   folders: the user's own configuration folders.
    """
    found: dict[str, set[str]] = {}
    for file in (file for folder in (*folders, conf_dir()) for file in folder.glob("*/*.yaml")):
        group = file.parent.name
        if group != TABLES and (config_name == "sweep" or group not in SWEEPS):
            found.setdefault(group, set()).add(file.stem)
    return {group: sorted(names) for group, names in sorted(found.items())}


def options(
    config_name: str, chosen: Mapping[str, str], folders: Sequence[Path] = ()
) -> dict[str, Any]:
    """The default values of all options with these choices, as nested mappings.

    chosen: group -> name of its file, or several names as in "[ada,lecam]".
    """
    names: dict[str, Any] = {}
    for name in ("train", config_name):
        for entry in _read(name, folders).get("defaults", ()):
            if isinstance(entry, dict):
                names |= {group: choice for group, choice in entry.items() if " " not in group}
    for group in ("experiment", "debug"):
        for one in _listed(chosen.get(group)):
            names |= _chosen_by(f"{group}/{one}", folders)
    tree: dict[str, Any] = {}
    for name in dict.fromkeys(("train", config_name)):
        _merge(tree, _read(name, folders))
    for group, choice in (names | dict(chosen)).items():
        for one in _listed(choice):
            for content in _parts(f"{group}/{one}", folders):
                everywhere = group in ("experiment", "term", "debug")
                _merge(tree, content if everywhere else {group: content})
    return tree


def _chosen_by(file: str, folders: Sequence[Path]) -> dict[str, Any]:
    """The choices that a file makes, including those of its base files.   file: GROUP/NAME."""
    names: dict[str, Any] = {}
    for entry in _read(file, folders).get("defaults", ()):
        if isinstance(entry, dict):
            names |= {key.removeprefix("override /"): choice for key, choice in entry.items()}
        elif entry != "_self_":
            names |= _chosen_by(f"{file.partition('/')[0]}/{entry}", folders)
    return names


def _parts(name: str, folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The contents of the files in the defaults of a group's file, then its own, to be merged.

    Merged one after another, since a null in one takes away what stands below all of them.
    """
    content = _read(name, folders)
    for entry in content.get("defaults", ()):
        if isinstance(entry, dict):
            ((key, choice),) = entry.items()
            group, at, package = str(key).lstrip("/").partition("@")
            if at:
                yield from ({package: one} for one in _parts(f"{group}/{choice}", folders))
        elif entry != "_self_":
            base = str(entry).partition("@")[0]
            yield from _parts(f"{name.partition('/')[0]}/{base}", folders)
    yield content


def _read(name: str, folders: Sequence[Path]) -> dict[str, Any]:
    """The content of a file; {} if it does not exist or cannot be read."""
    for folder in (*folders, conf_dir()):
        try:
            content = yaml.load((folder / f"{name}.yaml").read_text(encoding="utf-8"), Loader)
        except (OSError, ValueError, yaml.YAMLError):
            continue
        return content if isinstance(content, dict) else {}
    return {}


def _merge(tree: dict[str, Any], content: Mapping[Any, Any]) -> dict[str, Any]:
    for key, value in content.items():
        if key in ("defaults", *UNSET):
            continue
        if isinstance(value, dict):
            below = tree.get(key)
            value = _merge(below if isinstance(below, dict) else {}, value)
        tree[str(key)] = value
    return tree


def _listed(choice: Any) -> Iterator[str]:
    """The names in "a", "[a,b]" or ["a", "b"]; none for null."""
    names = choice if isinstance(choice, list) else re.split(r"[\[\], ]+", str(choice))
    return (name for name in map(str, names) if name not in ("", "None", "null"))
