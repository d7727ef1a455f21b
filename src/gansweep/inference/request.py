"""What is asked of a trained run, before PyTorch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gansweep.errors import UserError


@dataclass
class Request:
    """What was asked for.

    label: of a class, its name or number.   code: a value of the code that a model learnt.
    output: the PNG; None for a name after the run's.   extra_packages: that the run may call.
    """

    run: Path
    label: str | None = None
    code: str | None = None
    n: int = 16
    seed: int = 0
    output: Path | None = None
    checkpoint: str = "best"
    accelerator: str = "auto"
    extra_packages: tuple[str, ...] = ()


def whole(key: str, text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UserError(f"{key}={text} is no whole number from {least} to {most}: use {key}=16.")
    return int(text)
