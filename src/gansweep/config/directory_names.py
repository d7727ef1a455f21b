"""Names of runs, groups and sweeps. Each name is a directory below runs_dir."""

import os
from typing import Any

from gansweep.errors import UserError, visible

LONGEST = 200  # bytes of a part; file systems allow 255, and some files add an ending to the name


def checked_name(option: str, name: Any) -> str:
    """The name as text, after checking that it is a safe relative directory.

    The name may contain slashes: its parts are then nested directories.
    Raises: UserError for an empty name, a list, an absolute path, "." or ".." as a part, control
        characters, and for a part of more than `LONGEST` bytes.
    """
    if why := _why_not(name):
        shown = visible(str(name)).replace("\n", "\\n")
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise UserError(
            f"{option}={shown} cannot be the name of a directory: {why}. Use letters, digits, - "
            f"and _, as in {option}=first. The option runs_dir= says where the directory is made."
        )
    return str(name)


def _why_not(name: Any) -> str:
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        return "it is not text"
    text = str(name)
    parts = text.split("/")
    if not text.strip():
        return "it is empty"
    if text.startswith("/"):
        return "it is an absolute path"
    if {"", ".", ".."} & {part.strip() for part in parts}:
        return "a part of it is empty, '.' or '..'"
    if visible(text) != text or "\n" in text or "\t" in text:
        return "it contains control characters or bytes that are not UTF-8"
    if max(len(os.fsencode(part)) for part in parts) > LONGEST:
        return f"it has a part of more than {LONGEST} bytes, so choose a shorter one"
    return ""
