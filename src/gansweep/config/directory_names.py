"""What a run, a group of runs or a sweep may be called: a directory below runs_dir."""

from __future__ import annotations

import os
from typing import Any

from gansweep.errors import UserError, visible

LONGEST = 200  # bytes of a part; file systems take 255, and files beside it add an ending


def checked_name(option: str, name: Any) -> str:
    """The name as text, fit to be a directory of its own below another one.

    Parts between slashes are directories in each other.
    Raises: UserError for an empty name, a list, an absolute path, "." or ".." as a part, characters
        that steer a terminal, and for a part of more than `LONGEST` bytes.
    """
    why = _why_not(name)
    if why:
        shown = visible(str(name)).replace("\n", "\\n")
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise UserError(
            f"{option}={shown} is no name of a directory: {why}. Use letters, digits, - and _, as "
            f"in {option}=first; where it is made says runs_dir=."
        )
    return str(name)


def _why_not(name: Any) -> str:
    if not isinstance(name, (str, int)) or isinstance(name, bool):
        return "it is no text"
    text = str(name)
    parts = text.split("/")
    if not text.strip():
        return "it is empty"
    if text.startswith("/"):
        return "it is an absolute path"
    if {"", ".", ".."} & {part.strip() for part in parts}:
        return "a part of it is empty, '.' or '..'"
    if visible(text) != text or "\n" in text or "\t" in text:
        return "it holds control characters, or bytes that are not UTF-8"
    if max(len(os.fsencode(part)) for part in parts) > LONGEST:
        return f"it has a part of more than {LONGEST} bytes, so choose a shorter one"
    return ""
