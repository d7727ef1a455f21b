"""The ranges that a constructor's annotations give its options.

`width: Width` or `mixing: Annotated[float, Range(0, 1)]` is a plain int or float to Python and to
mypy; gansweep.config.options reads the range from the source and refuses a value outside it before
PyTorch is imported. A new option takes one of the names below, or a range of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`, both included; None: no end.

    above: without `low` itself.   below: without `high` itself.
    such_as: what a message offers instead of a value that is too small or no number; None: `low`.
    """

    low: float | None = None
    high: float | None = None
    above: bool = False
    below: bool = False
    such_as: float | None = None

    def holds(self, number: float) -> bool:
        if self.low is not None and (number < self.low or (self.above and number == self.low)):
            return False
        return self.high is None or number < self.high or (number == self.high and not self.below)


# Upper ends keep a slip of the finger from filling the memory; no published setting comes near.
Count = Annotated[int, Range(1, 10_000_000)]
CountOrNone = Annotated[int, Range(0, 10_000_000)]  # 0: none of it
Width = Annotated[int, Range(1, 16_384, such_as=64)]  # features of a layer, or numbers of a code
Depth = Annotated[int, Range(1, 1_000)]  # layers or blocks
Hidden = Annotated[int, Range(0, 1_000)]  # layers; 0: a linear map
Side = Annotated[int, Range(1, 4_096, such_as=32)]  # of an image, in pixels
Modes = Annotated[int, Range(1, 10_000, such_as=8)]
Seed = Annotated[int, Range(0, 4_294_967_295)]

Finite = Annotated[float, Range()]
Weight = Annotated[float, Range(0, 1e9)]  # of a term of a loss; 0: without it
Positive = Annotated[float, Range(0, 1e9, above=True)]
Kimg = Annotated[float, Range(0, 1e9, above=True, such_as=10)]
KimgOrNone = Annotated[float, Range(0, 1e9)]  # 0: at once, or no wait
Seconds = Annotated[float, Range(0, 1e9)]
Rate = Annotated[float, Range(0, such_as=2e-4)]  # of learning; 0: the player stands still
Share = Annotated[float, Range(0, 1)]
Decay = Annotated[float, Range(0, 1, below=True)]  # of a running mean, for each step

Name = str | Annotated[int, Range()]  # of a file or folder; a bare number is read as one
Workers = Annotated[int, Range(1, 4_096)] | Literal["auto"]
