"""The request to a trained run, readable without PyTorch."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from gansweep.errors import UserError
from gansweep.provenance.marking import Marking


@dataclass(frozen=True)
class Use:
    """What every verb that uses a trained run is told.

    output: where to write; None: named after the run.   force: whether files may be overwritten.
    extra_packages: allowed to the run.
    """

    run: Path
    checkpoint: str = "best"
    accelerator: str = "auto"
    extra_packages: tuple[str, ...] = ()
    output: Path | None = None
    force: bool = False
    marking: Marking = field(default_factory=Marking)
    verb: str = "generate"


@dataclass(frozen=True)
class Request:
    """A request for generated samples.

    label: name or number of a class.   code: a value of the code that a model learnt.
    truncation: see Contract.truncate; None: as trained.
    form: "grid", "png", "webp", "npz" or "zip".   batch_size: images that are made at once.
    """

    use: Use
    label: str | None = None
    code: str | None = None
    n: int = 16
    seed: int = 0
    truncation: float | None = None
    form: str = "grid"
    batch_size: int = 64


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
