"""Read and check the JSON of a record, which may be truncated, damaged or somebody else's."""

import functools
import json
import math
import shlex
from collections.abc import Collection, Sequence
from typing import Any

from gansweep.errors import visible

LARGEST = 2**63  # larger whole numbers become null
NUMBER = (int, float)
OWN_KEYS = ("protocol", "protocols", "scores")  # of a row, whose values are mappings
Kinds = type | tuple[type, ...]
# Keys of result.json and their types. A key may be missing; all but the status may be null.
KINDS: dict[str, Kinds] = {
    **dict.fromkeys(("status", "reason", "group", "name", "model", "data", "objective"), str),
    **dict.fromkeys(("stopped_by", "command", "no_command", "config_dir", "started", "ended"), str),
    **dict.fromkeys(("failure", "failed_at", "git_commit"), str),
    **dict.fromkeys(("kimg", "seconds", "images_per_second", "peak_memory_mib"), NUMBER),
    **dict.fromkeys(("budget_kimg", "seed"), NUMBER),
    **dict.fromkeys(("best", "last", "protocols", "sweep", "parameters", "hardware"), dict),
    **dict.fromkeys(("overrides", "log_tail"), list),
    **dict.fromkeys(("versions", "revisions", "numerics", "compile"), dict),
}


class DamagedError(ValueError):
    """A file does not have the expected content. The message is only the reason."""


def parsed(content: bytes) -> Any:
    """The JSON value in `content`, made `plain`.   Raises: DamagedError with the reason."""
    try:
        return plain(_loaded(content))
    except RecursionError as error:
        raise DamagedError("it is nested too deeply") from error


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except UnicodeDecodeError as error:
        raise DamagedError("it is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise DamagedError(f"{error.msg} in line {error.lineno}") from error
    except ValueError as error:  # a number with thousands of digits
        raise DamagedError("a number in it is too long") from error
    except RecursionError as error:
        raise DamagedError("it is nested too deeply") from error


def parsed_mapping(content: bytes) -> dict[str, Any]:
    """As `parsed`, but a value that is not a mapping is also refused."""
    found = parsed(content)
    if not isinstance(found, dict):
        raise DamagedError("it is not a mapping")
    return found


def plain(value: Any) -> Any:
    """The value with printable text and finite numbers; other numbers become None."""
    if isinstance(value, float):  # first, as a history is mostly numbers
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_key(str(key)): plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    if isinstance(value, int):
        return value if abs(value) <= LARGEST else None
    return value if value is None else visible(str(value))


_key = functools.lru_cache(maxsize=4096)(visible)  # every row of a history has the same keys


def mapping(content: Any) -> dict[str, Any]:
    """The content if it is a mapping, else an empty one."""
    return content if isinstance(content, dict) else {}


def result_of(content: bytes) -> dict[str, Any]:
    """The content of a result.json.   Raises: DamagedError with the reason."""
    result = parsed_mapping(content)
    for key, value in result.items():
        _need(key, value, KINDS.get(key, object), may_lack=key != "status")
    for key in ("overrides", "log_tail"):
        if not all(isinstance(word, str) for word in result.get(key) or ()):
            raise DamagedError(f"{key} contains a value that is not text")
    for moment in ("best", "last"):
        for name, entry in (result.get(moment) or {}).items():
            _check_score(f"{moment}.{name}", entry)
    _check_protocols(result.get("protocols") or {})
    _check_sweep(result.get("sweep") or {})
    if result.get("command"):
        result["command"] = _command(result["command"])
    return result


def row_of(line: bytes) -> dict[str, Any]:
    """One line of history.jsonl or evaluations.jsonl.   Raises: DamagedError with the reason."""
    return _row(_loaded(line))


def rows_of(lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """The rows in these lines, parsed together, which takes two thirds of the time; None where
    each has to be read on its own, as one of them may be damaged."""
    if not all(line.startswith(b"{") and line.endswith(b"}") for line in lines):
        return None
    try:
        found = _loaded(b"[%s]" % b",".join(lines))
        return [*map(_row, found)] if len(found) == len(lines) else None
    except DamagedError:
        return None


def _row(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise DamagedError("it is not a mapping")
    if content and _are_columns(tuple(content)) and _are_numbers(content.values()):
        return content  # as nearly every row: a report reads a hundred thousand
    row: dict[str, Any] = {}
    for name, value in content.items():
        try:
            row[_key(name)] = found = plain(value)
        except RecursionError as error:
            raise DamagedError("it is nested too deeply") from error
        if isinstance(found, list) and not all(v is None or _is_of(v, NUMBER) for v in found):
            raise DamagedError(f"{_key(name)} contains a value that is not a number")
    _need("kimg", row.get("kimg", 0), NUMBER, may_lack=False)
    for key in ("protocol", "protocols"):
        if row.get(key):
            _check_protocols(row[key])
    if "scores" in row:
        _need("scores", row["scores"], dict)
        for name, entry in (row["scores"] or {}).items():
            _check_score(f"scores.{name}", entry)
    return row


@functools.lru_cache(maxsize=4096)
def _are_columns(names: tuple[str, ...]) -> bool:
    """Whether these keys of a row are printable, and none has a meaning of its own."""
    return not {*OWN_KEYS} & {*names} and all(visible(name) == name for name in names)


def _are_numbers(values: Collection[Any]) -> bool:
    """Whether all are finite numbers that `plain` leaves as they are."""
    return (
        set(map(type, values)) <= {float, int}
        and min(values) >= -LARGEST
        and max(values) <= LARGEST
        and math.isfinite(sum(values))  # a nan among them escapes min and max
    )


def _check_score(name: str, entry: Any) -> None:
    """Check the entry of a score: its value, and its error if it has one."""
    _need(name, entry, dict, may_lack=False)
    value = entry.get("value")
    for number in (
        value if isinstance(value, list) else [value, entry.get("kimg"), entry.get("std")]
    ):
        if number is not None and not _is_of(number, NUMBER):
            raise DamagedError(f"{name} contains {_shown(number)}")
    bounds = entry.get("interval")
    _need(f"the interval of {name}", bounds, list)
    if bounds is not None and (len(bounds) != 2 or not all(_is_of(b, NUMBER) for b in bounds)):
        raise DamagedError(f"the interval of {name} is {_shown(bounds)}")


def _check_protocols(protocols: Any) -> None:
    """Check the protocol of each score: its name, its data and its direction."""
    _need("protocols", protocols, dict)
    for name, protocol in protocols.items():
        _need(f"the protocol of {name}", protocol, dict, may_lack=False)
        if protocol.get("direction") not in (None, "minimize", "maximize"):
            raise DamagedError(f"the direction of {name} is {_shown(protocol['direction'])}")
        for key in ("score", "data"):
            _need(f"{key} in the protocol of {name}", protocol.get(key), str)


def _check_sweep(entry: dict[str, Any]) -> None:
    for key in ("name", "key", "role"):
        _need(f"sweep.{key}", entry.get(key, ""), str, may_lack=False)
    for key in ("params", "objective"):
        _need(f"sweep.{key}", entry.get(key), dict)


def _command(text: str) -> str:
    """The command, quoted so that it is safe to copy into a shell.

    Raises: DamagedError if it is not a command of `gansweep train`.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise DamagedError(f"command cannot be read ({error})") from error
    if words[:2] != ["gansweep", "train"]:
        raise DamagedError("command does not start with gansweep train")
    return shlex.join(words)


def _need(name: str, value: Any, kind: Kinds, may_lack: bool = True) -> None:
    """Raises: DamagedError if the value is not of that kind.   may_lack: None is allowed."""
    if not (_is_of(value, kind) or (may_lack and value is None)):
        raise DamagedError(f"{name} is {_shown(value)}")


def _is_of(value: Any, kind: Kinds) -> bool:
    return isinstance(value, kind) and not (kind is NUMBER and isinstance(value, bool))


def _shown(value: Any) -> str:
    """A value as JSON, shortened."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
