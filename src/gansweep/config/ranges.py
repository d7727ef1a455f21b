"""Ranges of options, for annotations of constructors.

gansweep.config.options reads them from the source code and refuses other values before PyTorch is
imported. A new option uses one of the names below, or its own, as in Annotated[float, Range(0, 1)].
"""

from dataclasses import dataclass
from typing import Annotated, Generic, Literal, TypeVar

Value = TypeVar("Value", bound=float)


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`, both included. None: no limit.

    above: excludes `low`.   below: excludes `high`.
    such_as: the value that a message suggests for one that is too small or not a number; None:
        `low`.
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


class Scheduled(Generic[Value]):
    """A number that changes over the images seen, in the range of the option that it stands for.

    An annotation such as Weight | Scheduled[Weight] allows it, see gansweep.terms.schedules.Ramp.
    """

    def __call__(self, kimg: float, budget_kimg: float) -> float:
        """The value after `kimg` of `budget_kimg` thousands of images."""
        raise NotImplementedError


# The upper limits only stop typing errors that would fill the memory. Published settings are far
# smaller.
Count = Annotated[int, Range(1, 10_000_000)]
CountOrNone = Annotated[int, Range(0, 10_000_000)]  # 0: none
Width = Annotated[int, Range(1, 16_384, such_as=64)]  # features of a layer, or numbers of a code
Depth = Annotated[int, Range(1, 1_000)]  # layers or blocks
Hidden = Annotated[int, Range(0, 1_000)]  # layers; 0: a linear map
Side = Annotated[int, Range(1, 4_096, such_as=32)]  # of an image, in pixels
Modes = Annotated[int, Range(1, 10_000, such_as=8)]
Seed = Annotated[int, Range(0, 4_294_967_295)]

Finite = Annotated[float, Range()]
Weight = Annotated[float, Range(0, 1e9)]  # of a term of a loss; 0: without the term
Positive = Annotated[float, Range(0, 1e9, above=True)]
Kimg = Annotated[float, Range(0, 1e9, above=True, such_as=10)]
KimgOrNone = Annotated[float, Range(0, 1e9)]  # 0: at once, or no wait
Seconds = Annotated[float, Range(0, 1e9)]
Rate = Annotated[float, Range(0, such_as=2e-4)]  # learning rate; 0: the player does not change
Share = Annotated[float, Range(0, 1)]
Decay = Annotated[float, Range(0, 1, below=True)]  # of a running mean, per step
WeightInTime = Weight | Scheduled[Weight]
ShareInTime = Share | Scheduled[Share]
DecayInTime = Decay | Scheduled[Decay]

Name = str | Annotated[int, Range()]  # of a file or folder; YAML reads digits as an int
Workers = Annotated[int, Range(1, 4_096)] | Literal["auto"]
