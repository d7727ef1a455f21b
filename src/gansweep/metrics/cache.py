"""The cache between runs: trained classifiers and statistics of real images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gansweep.config.cache_place import cache_dir as cache_dir
from gansweep.data.download import locked
from gansweep.errors import tell
from gansweep.records.drafts import drafted, remove_drafts

Content = dict[str, Any]  # tensors, numbers and strings, which torch.load(weights_only=True) reads


def say(message: str) -> None:
    """Print a message to stderr; stdout is for the results of a command."""
    tell(f"gansweep: {message}")


def cached(
    name: str, make: Callable[[], Content], sound: Callable[[Content], bool] = lambda content: True
) -> Content:
    """The content cached under `name`. The first process makes it, all others read it.

    name: a relative path in `cache_dir()`.
    sound: whether the content of a readable file is correct.
    A damaged file is made again. If the cache cannot be written, the content is made every time.
    """
    file = cache_dir() / name
    content = _read(file, sound)
    if content is not None:
        return content
    with locked(file.with_name(f".{file.name}.lock")):
        content = _read(file, sound)  # another process may have made it while we waited
        if content is None:
            content = make()
            _write(file, content)
    return content


def _read(file: Path, sound: Callable[[Content], bool]) -> Content | None:
    if not file.exists():
        return None
    try:
        content: Content = torch.load(file, map_location="cpu", weights_only=True)
        if sound(content):
            return content
        reason = "its content does not match its hash"
    except Exception as error:  # a truncated or foreign file raises many kinds of errors
        reason = " ".join(str(error).split())[:120] or type(error).__name__
    say(f"{file} is damaged ({reason}). It is made again.")
    return None


def _write(file: Path, content: Content) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_drafts(file.parent)
        with drafted(file) as draft:
            torch.save(content, draft)
    # torch.save reports a full disk as RuntimeError
    except (OSError, RuntimeError) as error:
        say(
            f"{file} could not be written ({error}), so the next run computes it again. "
            "Set GANSWEEP_CACHE to a folder that you can write to."
        )
