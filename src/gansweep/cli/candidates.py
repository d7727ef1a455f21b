"""What can be typed next: paths of runs and sweeps, options and their choices."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Directories:
    """Directories that lead to runs, or to sweeps only.

    holding: the file of what is looked for: a run's config.yaml or a sweep's sweep.yaml.
    """

    holding: str = "config.yaml"

    def __call__(self, prefix: str, **given: Any) -> Iterator[str]:
        place, slash, _ = prefix.rpartition("/")
        try:
            entries = list(os.scandir(place + slash or "."))
        except OSError:
            return
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_dir():
                continue
            path = f"{place}{slash}{entry.name}"
            files = {name for name in ("config.yaml", "sweep.yaml") if Path(path, name).exists()}
            if self.holding in files:
                yield path
            if not files & {"config.yaml", self.holding}:
                yield f"{path}/"


@dataclass(frozen=True)
class Options:
    """KEY=VALUE words, one level of the keys at a time, and paths where the verb takes some.

    known: keys with their choices; none where a key takes any value.
    config_name: "train" or "sweep": the groups of conf/ and the options under those chosen.
    groups: the only groups to complete, each with its default choice; None: all.
    paths: completes the other words.
    """

    known: Mapping[str, Sequence[str]]
    config_name: str = "train"
    groups: Mapping[str, str] | None = None
    paths: Directories | None = None

    def __call__(self, prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
        key, equals, value = prefix.partition("=")
        given = [*getattr(parsed_args, "words", ())]
        folders = [Path(parsed_args.config_dir)] if getattr(parsed_args, "config_dir", "") else []
        if equals:
            yield from (f"{key}={one}" for one in self._values(key, value, given, folders))
            return
        yield from (f"{one}=" for one in self.known)
        if self.groups != {}:
            yield from self._keys(prefix, given, folders)
        if self.paths is not None:
            yield from self.paths(prefix)

    def _values(
        self, key: str, value: str, given: Sequence[str], folders: Sequence[Path]
    ) -> Iterator[str]:
        if key in ("resume", "init", "runs_dir"):
            yield from Directories()(value)
            return
        from gansweep.config.choices import choices

        before = value[: max(value.rfind(","), value.rfind("[")) + 1]  # of a list
        listed = self.known.get(key) or choices(self.config_name, folders).get(key)
        if listed is None:
            from gansweep.config.options import options_of

            every = options_of(self._tree(given, folders))
            kind = next((one.kind for one in every if one.name == key.lstrip("+")), None)
            listed = kind.words() if kind is not None else ()
        yield from (f"{before}{one}" for one in listed)

    def _tree(self, given: Sequence[str], folders: Sequence[Path]) -> dict[str, Any]:
        from gansweep.config.choices import choices, options

        groups = self.groups
        if groups is None:
            groups = dict.fromkeys(choices(self.config_name, folders), "")
        words = (word.partition("=") for word in given)
        chosen = {key: value for key, _, value in words if key in groups}
        tree = options(self.config_name, {**(self.groups or {}), **chosen}, folders)
        below = {group: tree.get(group, "") for group in groups}
        return tree | below if self.groups is None else below

    def _keys(self, prefix: str, given: Sequence[str], folders: Sequence[Path]) -> Iterator[str]:
        sign = prefix[: len(prefix) - len(prefix.lstrip("+~"))]
        place, dot, _ = prefix.removeprefix(sign).rpartition(".")
        tree = self._tree(given, folders)
        level = _at(tree, place.split(".")) if dot else tree
        while isinstance(level, dict):
            path = f"{sign}{place}." if place else sign
            fitting = [key for key in _public(level) if f"{path}{key}".startswith(prefix)]
            if place and len(fitting) == 1 and isinstance(level[fitting[0]], dict):
                place, level = f"{place}.{fitting[0]}", level[fitting[0]]  # the only key
                continue
            for key in fitting:
                if not isinstance(level[key], dict) or not place:
                    yield f"{path}{key}="
                if _public(level[key]):
                    yield f"{path}{key}."
            return


def _public(level: Any) -> list[str]:
    """The keys of a mapping, without _target_ and the like; [] for another value."""
    return [key for key in level if key[0] != "_"] if isinstance(level, dict) else []


def _at(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
