"""What is worked out once and kept between runs: trained classifiers and real statistics."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gansweep.data.download import locked
from gansweep.records.drafts import drafted, remove_drafts

Content = dict[str, Any]  # tensors, numbers, strings: what weights_only=True reads back


def cache_dir() -> Path:
    """$GANSWEEP_CACHE, else $XDG_CACHE_HOME/gansweep, else ~/.cache/gansweep."""
    if own := os.environ.get("GANSWEEP_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared).expanduser() if shared else Path.home() / ".cache") / "gansweep"


def say(message: str) -> None:
    """One line to the person at the terminal; stdout belongs to the command's results."""
    print(f"gansweep: {message}", file=sys.stderr, flush=True)


def kept(
    name: str, make: Callable[[], Content], sound: Callable[[Content], bool] = lambda content: True
) -> Content:
    """The content kept under `name`, made by the first process that asks and read by the others.

    sound: says whether a file that could be read holds what it should.
    A damaged file is made again. Where nothing can be written, the content is made every time.
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
    except Exception as error:  # a cut or foreign file fails in many ways, all mended alike
        reason = " ".join(str(error).split())[:120] or type(error).__name__
    say(f"{file} is damaged ({reason}) and is made again.")
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
            f"{file} could not be written ({error}): the next run works it out again. "
            "Set GANSWEEP_CACHE to a folder of yours."
        )
