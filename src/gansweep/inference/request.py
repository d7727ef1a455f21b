"""The request to a trained run, readable without PyTorch."""

import math
from dataclasses import dataclass
from pathlib import Path

from gansweep.errors import UserError


@dataclass
class Request:
    """A request for generated samples.

    label: name or number of a class.   code: a value of the code that a model learnt.
    truncation: see Contract.truncate; None: as trained.
    output: the PNG to write; None: named after the run.   extra_packages: allowed to the run.
    """

    run: Path
    label: str | None = None
    code: str | None = None
    n: int = 16
    seed: int = 0
    truncation: float | None = None
    output: Path | None = None
    checkpoint: str = "best"
    accelerator: str = "auto"
    extra_packages: tuple[str, ...] = ()


def whole(key: str, text: str, least: int, most: int) -> int:
    """The number in `text`.   Raises: UserError if it is not from `least` to `most`."""
    if not text.isdecimal() or not least <= int(text) <= most:
        raise UserError(
            f"{key}={text} is not a whole number from {least} to {most}: use one of these."
        )
    return int(text)


def positive(key: str, text: str) -> float:
    """The number in `text`.   Raises: UserError if it is none from 0 on."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise UserError(f"{key}={text} is not a number from 0 on: use one, as in {key}=0.7.")
    return number
