"""Environment variables in a configuration.

`${oc.env:NAME}` is resolved when the user's own command line or files contain it. A record and a
tracker get the text `${oc.env:NAME}` itself, so that no secret is stored there.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from gansweep.config.permissions import VARIABLES, allowed_variables
from gansweep.errors import UserError

NO_DEFAULT = object()
_reading: ContextVar[Literal["use", "record", "foreign"]] = ContextVar("reading", default="use")
_variable = re.compile(
    r"""\$\{\s*oc\.env:\s*(\w+)\s*(?:,(?:[^${}'"\\]|'[^'$\\]*'|"[^"$\\]*")*)?\}"""
)
_other_key = re.compile(r"\$\{[\w.\[\]/-]+\}")


def _env(key: str, default: Any = NO_DEFAULT) -> Any:
    mode = _reading.get()
    if mode == "record":
        return "${oc.env:" + key + ("" if default is NO_DEFAULT else f",{_word(default)}") + "}"
    if mode == "foreign" and key not in allowed_variables():
        raise refusal(key, "A file of this directory")
    if key in os.environ:
        return os.environ[key]
    if default is NO_DEFAULT:
        raise KeyError(f"Environment variable '{key}' not found")
    return None if default is None else str(default)


OmegaConf.register_new_resolver("oc.env", _env, replace=True, use_cache=False)


@contextlib.contextmanager
def as_foreign() -> Iterator[None]:
    """In this context a configuration can read only the variables that the user allows."""
    token = _reading.set("foreign")
    try:
        yield
    finally:
        _reading.reset(token)


def without_secrets(cfg: DictConfig) -> dict[str, Any]:
    """All values of `cfg`, resolved except for environment variables."""
    token = _reading.set("record")
    try:
        content = OmegaConf.to_container(cfg, resolve=True)
    finally:
        _reading.reset(token)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def variables_of(content: Any) -> set[str]:
    """The environment variables that the strings in plain values refer to."""
    if isinstance(content, str):
        return set(_variable.findall(content))
    if isinstance(content, dict):
        content = list(content.values())
    return set().union(*map(variables_of, content)) if isinstance(content, list) else set()


def check_foreign(content: Any, place: str) -> None:
    """Check the interpolations in plain values from somebody else's file.

    Allowed are other keys of the file, such as ${seed}, and the variables that the user allows.
    place: names the file in the message.
    Raises: UserError for any other interpolation.
    """
    if isinstance(content, dict):
        content = [*content.keys(), *content.values()]
    if isinstance(content, list):
        for value in content:
            check_foreign(value, place)
    if not isinstance(content, str):
        return
    rest, before = content, ""
    while rest != before:  # a default may hold another interpolation
        before = rest
        for name in _variable.findall(rest):
            if name not in allowed_variables():
                raise refusal(name, place)
        rest = _other_key.sub(" ", _variable.sub(" ", rest))
    if "${" in rest:
        raise UserError(
            f"{place} contains the interpolation {content!r}. A directory of a run or a sweep is "
            "data: it may only refer to other keys, as in ${seed}. Write the value itself."
        )


def refusal(name: str, place: str) -> UserError:
    """The error for a variable that a file of somebody else may not read."""
    return UserError(
        f"{place} reads the environment variable {name}. A directory of a run or a sweep is data "
        f"and may not read variables. If you trust it, allow this with {VARIABLES}={name}."
    )


def _word(value: Any) -> str:
    """A default value in OmegaConf's grammar."""
    if value is None:
        return "null"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*|\$\{.*\}", value):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)
