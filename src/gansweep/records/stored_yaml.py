"""Read the YAML files of a run or a sweep as data. They may be somebody else's."""

import re
from pathlib import Path
from typing import Any

import yaml

from gansweep.records.plain_values import DamagedError, plain
from gansweep.records.record import content_of

MOST_BYTES = 4_000_000
DEEPEST = 64  # levels of mappings and lists
ALIAS = re.compile(r"\*[\w-]")  # an alias, or text that looks like one
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def yaml_text(path: Path) -> str:
    """The text of a file that is safe to parse: small, UTF-8, not deep, without aliases.

    gansweep writes no aliases, and a few nested ones can expand to more nodes than fit into memory.
    Raises: OSError; DamagedError with the reason.
    """
    text = _text(path)
    _check(text)
    return text


def yaml_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a file as plain values; interpolations are not resolved.

    Raises: OSError; DamagedError with the reason.
    """
    text = _text(path)
    if not _is_surely_safe(text):
        _check(text)
    try:
        content = yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError) as error:  # an impossible date, an unhashable key
        raise DamagedError(" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise DamagedError("it is not a mapping")
    found: dict[str, Any] = plain(content)
    return found


def _text(path: Path) -> str:
    content = content_of(path)
    if len(content) > MOST_BYTES:
        raise DamagedError(f"it has {len(content):,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise DamagedError("it is not UTF-8") from error


def _is_surely_safe(text: str) -> bool:
    """Whether the characters alone show that there is no alias and no deep nesting.

    Parsing a configuration takes longer than reading the rest of a record, so it is parsed once.
    A mapping is deeper than the one around it by a column or a bracket; a list may stand in the
    column of its mapping.
    """
    if ALIAS.search(text):
        return False
    bare = text.replace("[]", "").replace("{}", "").replace("${", "")
    brackets = bare.count("[") + bare.count("{")
    columns = max(len(line) - len(line.lstrip(" -?:")) for line in text.split("\n"))
    return brackets + 2 * (columns + 1) <= DEEPEST


def _check(text: str) -> None:
    """Raises: DamagedError for what yaml cannot parse, for an alias and for deep nesting."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=Loader):
            if isinstance(event, yaml.AliasEvent):
                raise DamagedError(f"it contains the alias *{event.anchor}")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise DamagedError(f"it is nested deeper than {DEEPEST} levels")
    except yaml.YAMLError as error:
        raise DamagedError(" ".join(str(error).split())) from error
