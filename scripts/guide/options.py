"""The option reference of the guide, from conf/ and from the annotations that declare the options.

Imports no PyTorch: gansweep composes a configuration and reads what each option takes from the
source. A comment behind a key of conf/ is what the option means.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from gansweep import compose
from gansweep.cli.sweep_options import LAUNCHERS
from gansweep.config.kinds import Kind, Record
from gansweep.config.options import Option, fields, options_of

CONF = Path(__file__).resolve().parents[2] / "conf"
NEEDED = {  # what a choice cannot be composed without
    "image_folder": ["data.root=FOLDER"],
    "paired_folders": ["data.root_a=A", "data.root_b=B"],
    "unpaired_folders": ["data.root_a=A", "data.root_b=B"],
}
QUIET = ("callbacks=none", "metrics=none", "tracker=none")  # where only data or a model is shown
PLUMBING = ("_partial_", "_convert_", "_recursive_")
BLOCKS = ("changeable", "search", "tiny")  # of a model's file, explained in extend/model.md


@dataclass(frozen=True)
class Row:
    """One option: its full name, its value, what it takes, what the comment says."""

    name: str
    value: str
    takes: str
    meaning: str

    def __str__(self) -> str:
        return f"| `{self.name}` | {self.value} | {self.takes} | {self.meaning} |"


def run_page() -> str:
    """The root of `gansweep train`, and the groups that are alike for every model."""
    found = _composed()
    comments = _comments(CONF / "train.yaml")
    parts = [
        "# Options of a run",
        "What `gansweep train KEY=VALUE` takes beside [data](data.md) and [models](model.md). The "
        "same words hold for every trial of `gansweep sweep`. `gansweep train --cfg job` prints "
        "the composed options and trains nothing.",
        "A value that an option does not take is refused before anything heavy is imported.",
        "## The run",
        *_table(_rows((o for o in found if "." not in o.name), comments)),
    ]
    for group, title in (
        ("trainer", "Trainer"),
        ("callbacks", "Callbacks"),
        ("metrics", "Metrics"),
        ("tracker", "Trackers"),
    ):
        parts += [f"## {title}", *_choices(group)]
    return _joined(parts)


def data_page() -> str:
    parts = [
        "# Options of data",
        "`data=NAME` chooses a file of `conf/data/`; `data.KEY=VALUE` sets an option in it. What "
        "each set is for stands in [Data](../data.md).",
    ]
    for path in _files("data"):
        parts += [f"## {path.stem} {{ #{path.stem} }}", _head(path)]
        found = _composed(f"data={path.stem}", *NEEDED.get(path.stem, []), *QUIET)
        comments = _comments_with_defaults(path, "data")
        parts += _table(_rows((o for o in found if o.name.startswith("data.")), comments))
    return _joined(parts)


def model_page() -> str:
    """The bases once, then what each file states itself, then the terms."""
    parts = [
        "# Options of models",
        "`model=NAME` chooses a file of `conf/model/`; `model.KEY=VALUE` sets an option in it. A "
        "file states what differs from the base that it names, so each table below has its own "
        "options, and those of its base stand once at the top. `model.points.` has the networks "
        "for data that are points.",
    ]
    for base in ("two_player", "translation", "autoencoder"):
        parts += [f"## Base: {base} {{ #base-{base} }}", _head(CONF / f"model/base/{base}.yaml")]
        parts += _table(_base_rows(base))
    for path in _files("model"):
        own = yaml.safe_load(path.read_text(encoding="utf-8"))
        parts += [f"## {path.stem} {{ #{path.stem} }}", _head(path), _built_upon(own)]
        parts += _table(_model_rows(path.stem, own, _comments_with_defaults(path, "model")))
        if "search" in own:
            entries = ", ".join(f"`{key}: {value}`" for key, value in own["search"].items())
            parts.append(f"`sweep=own` searches {entries}.")
    parts += ["# Terms", "`term=NAME` or `term=[ONE,ANOTHER]` adds a file of `conf/term/`."]
    for path in _files("term"):
        parts += [f"## term={path.stem}", _fenced(path)]
    parts += ["# Debugging", "`debug=NAME` adds a file of `conf/debug/`."]
    for path in _files("debug"):
        parts += [f"## debug={path.stem}", _fenced(path)]
    return _joined(parts)


def sweep_page() -> str:
    parts = [
        "# Options of a sweep",
        "What `gansweep sweep KEY=VALUE` takes beside the options of `gansweep train`, which hold "
        "for every trial. `gansweep sweep --cfg job` prints the composed sweep and starts nothing.",
        "## The sweep",
    ]
    path = CONF / "sweep.yaml"
    stated, comments = yaml.safe_load(path.read_text(encoding="utf-8")), _comments(path)
    root = fields("gansweep.cli.sweep_options.CommandOptions")
    parts += _table(_stated("", {k: stated[k] for k in root}, root, comments))
    parts += ["## What a file of conf/sweep/ holds"]
    searched = fields("gansweep.search.settings.SweepOptions")
    parts += _table(_stated("sweep.", stated["sweep"], searched, comments))
    for name, home in sorted(LAUNCHERS.items()):
        path = CONF / "launcher" / f"{name}.yaml"
        parts += [f"## launcher={name}", _head(path)]
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        kinds = fields(home)
        comments = {f"launcher.{key}": text for key, text in _comments(path).items()}
        parts += _table(_stated("launcher.", values, kinds, comments))
    parts += ["# Sweeps that are there", "`sweep=NAME` chooses a file of `conf/sweep/`."]
    for path in _files("sweep"):
        parts += [f"## sweep={path.stem}", _fenced(path)]
    return _joined(parts)


def _choices(group: str) -> list[str]:
    """Each file of a group: its first line, and a table of what it adds to the one before."""
    parts: list[str] = []
    shown: dict[str, Row] = {}
    for path in sorted(_files(group), key=lambda p: p.stem not in ("auto", "default")):
        found = _composed(f"{group}={path.stem}")
        comments = _comments_with_defaults(path, group)
        rows = {row.name: row for row in _rows(
            (o for o in found if o.name.startswith(f"{group}.")), comments
        )}  # fmt: skip
        new = [row for row in rows.values() if shown.get(row.name) != row]
        shown |= rows if not shown else {}
        parts += [f"### {group}={path.stem}", _head(path), *(_table(new) if new else [])]
    return parts


def _base_rows(base: str) -> Iterator[Row]:
    """The options that a base of conf/model/base/ states, with what they take."""
    path = CONF / "model" / "base" / f"{base}.yaml"
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    comments = {f"model.{key}": text for key, text in _comments(path).items()}
    users = (p.stem for p in _files("model") if _bases(p)[:1] == [base])
    kinds = {o.name: o.kind for user in users for o in _composed(f"model={user}", *QUIET)}
    for name, value in _flat({k: v for k, v in stated.items() if k != "defaults"}, "model"):
        if _is_shown(name):
            yield _row(name, value, kinds.get(name), comments)


def _model_rows(model: str, own: Mapping[str, Any], comments: Mapping[str, str]) -> Iterator[Row]:
    stated = {name for name, _ in _flat(own, "model")}
    kinds = {option.name: option.kind for option in _composed(f"model={model}", *QUIET)}
    for name, value in _flat(own, "model"):
        if name in stated and _is_shown(name) and not name.startswith("model.defaults"):
            yield _row(name, value, kinds.get(name), comments)


def _is_shown(name: str) -> bool:
    parts = name.split(".")
    return parts[-1] not in PLUMBING and not (len(parts) > 1 and parts[1] in BLOCKS)


def _built_upon(own: Mapping[str, Any]) -> str:
    first = next(str(one) for one in own["defaults"] if one != "_self_").partition("@")[0]
    if first == "base/changeable":
        return ""
    if first.startswith("base/"):
        name = first.removeprefix("base/")
        return f"Built upon [base: {name}](#base-{name})."
    return f"Built upon [{first}](#{first})."


def _bases(path: Path) -> list[str]:
    stated = yaml.safe_load(path.read_text(encoding="utf-8"))
    words = [str(one).partition("@")[0] for one in stated.get("defaults", []) if one != "_self_"]
    return [word.removeprefix("base/") for word in words]


def _stated(
    prefix: str, values: Mapping[str, Any], kinds: Mapping[str, Kind], comments: Mapping[str, str]
) -> Iterator[Row]:
    """The keys of a TypedDict with the values that conf/ gives them, those within keys too."""
    for key, value in values.items():
        kind = kinds.get(key)
        if isinstance(kind, Record) and isinstance(value, Mapping):
            yield from _stated(f"{prefix}{key}.", value, kind.keys, comments)
        else:
            yield _row(f"{prefix}{key}", value, kind, comments)


def _rows(found: Any, comments: Mapping[str, str]) -> Iterator[Row]:
    for option in found:
        if option.name.split(".")[-1] not in PLUMBING:
            yield _row(option.name, option.value, option.kind, comments)


def _row(name: str, value: Any, kind: Kind | None, comments: Mapping[str, str]) -> Row:
    takes = "" if kind is None else str(kind)
    if name.endswith("_target_"):
        takes = "a class" if kind is None else takes
    return Row(
        name,
        f"`{_shown(value)}`",
        takes.replace("a mapping with a _target_", "an object (`_target_`)"),
        comments.get(name, "").replace("|", "\\|"),
    )


def _shown(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return text.removesuffix("...").strip().replace("|", "\\|")


def _table(rows: Any) -> list[str]:
    lines = [str(row) for row in rows]
    if not lines:
        return ["It has no options."]
    return ["\n".join(["| option | value | takes | meaning |", "|---|---|---|---|", *lines])]


@functools.cache
def _composed(*words: str) -> tuple[Option, ...]:
    plain = OmegaConf.to_container(compose(list(words)), resolve=True)
    assert isinstance(plain, dict)
    return tuple(options_of({str(key): value for key, value in plain.items()}))


def _flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}.{key}")
        else:
            yield f"{prefix}.{key}", value


def _files(group: str) -> list[Path]:
    return sorted((CONF / group).glob("*.yaml"))


def _head(path: Path) -> str:
    """The comment that a file begins with, as lines of a quotation."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#") or line.startswith("# @package"):
            break
        lines.append(f"> {line.removeprefix('#').strip()}  ")
    return "\n".join(_escaped(line) for line in lines)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _fenced(path: Path) -> str:
    return f"```yaml\n{path.read_text(encoding='utf-8').rstrip()}\n```"


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _comments_with_defaults(path: Path, prefix: str) -> dict[str, str]:
    """KEY -> comment of a file and of those that it builds upon, its own words first."""
    stated = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    found: dict[str, str] = {}
    for entry in stated.get("defaults", []) if isinstance(stated, dict) else []:
        if isinstance(entry, str) and entry != "_self_":
            base = (path.parent / entry.partition("@")[0]).with_suffix(".yaml")
            found |= _comments_with_defaults(base, prefix)
        elif isinstance(entry, dict):  # as /data@base: digits
            (where, choice), *_ = entry.items()
            group, _, inner = where.strip("/").partition("@")
            other = CONF / group / f"{choice}.yaml"
            found |= _comments_with_defaults(other, f"{prefix}.{inner}" if inner else prefix)
    return found | {f"{prefix}.{key}": text for key, text in _comments(path).items()}


def _comments(path: Path) -> dict[str, str]:
    """KEY -> the comment behind it, with the lines that continue it below its first character."""
    text = path.read_text(encoding="utf-8")
    lines, node = text.splitlines(), yaml.compose(text)
    found: dict[str, str] = {}
    if isinstance(node, yaml.MappingNode):
        _collect(node, "", lines, found.setdefault)
    return {key: _escaped_cell(comment) for key, comment in found.items() if comment}


def _collect(
    node: yaml.MappingNode, prefix: str, lines: list[str], keep: Callable[[str, str], object]
) -> None:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        inside = isinstance(value, yaml.MappingNode)
        block = value.start_mark.line != key.start_mark.line
        from_column = key.end_mark.column if block else value.end_mark.column
        if block or value.end_mark.line == key.start_mark.line:
            keep(name, _comment_at(lines, key.start_mark.line, from_column))
        if inside and (block or value.end_mark.line != key.start_mark.line):
            _collect(value, f"{name}.", lines, keep)


def _comment_at(lines: list[str], number: int, column: int) -> str:
    found = re.search(r"(?:^|\s)#(.*)$", lines[number][column:])
    if found is None:
        return ""
    at = lines[number].index("#", column)
    parts = [found[1].strip()]
    for line in lines[number + 1 :]:
        if line[:at].strip() or line[at : at + 1] != "#":
            break
        parts.append(line[at + 1 :].strip())
    return " ".join(parts)


def _escaped_cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
