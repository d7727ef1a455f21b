"""Kinds of options: which values they take, their name in messages, and a nearby valid value."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, ClassVar

from gansweep.config.ranges import Range
from gansweep.errors import nearest

MOST_SHOWN = 60  # characters of a value in a message
_MEANS_MORE = re.compile(r"[+-]?[\d._]+(e[+-]?\d+)?|null|true|false|nan|inf|", re.IGNORECASE)


class Kind:
    """The values that an option takes; by default those of one Python type."""

    name: ClassVar[str]  # the end of the sentence "x=3 is not ..."
    type: ClassVar[type]

    def takes(self, value: Any) -> bool:
        return isinstance(value, self.type)

    def __str__(self) -> str:
        return self.name

    def instead(self, value: Any) -> Any:
        """An allowed value near `value`, to suggest in a message; None if there is none."""
        return None

    def hint(self, value: Any) -> str:
        """ " Did you mean ...?" if `value` looks like a typing error, else ""."""
        return ""

    def words(self) -> list[str]:
        """The values as a user writes them, for shell completion; [] if there are too many."""
        return []


@dataclass(frozen=True)
class Number(Kind):
    """declared: the range in its annotation; None: any finite number is allowed."""

    whole: bool
    declared: Range | None = None

    @property
    def range(self) -> Range:
        return self.declared or Range()

    def takes(self, value: Any) -> bool:
        number = _number(value)
        if number is None or (self.whole and not isinstance(value, int)):
            return False
        return self.range.holds(number)

    def __str__(self) -> str:
        name = "a whole number" if self.whole else "a number"
        low, high = self.range.low, self.range.high
        if low is None and high is None:
            return name if self.whole else "a finite number"
        if low is None:
            assert high is not None
            return f"{name} {'below' if self.range.below else 'up to'} {_digits(high)}"
        lower = f"above {_digits(low)}" if self.range.above else f"from {_digits(low)}"
        if high is None:
            return f"{name} {lower}" + ("" if self.range.above else " up")
        join = " and below" if self.range.below else " up to" if self.range.above else " to"
        return f"{name} {lower}{join} {_digits(high)}"

    def instead(self, value: Any) -> Any:
        """The nearest number in the range, or `such_as` for a value that is too small."""
        low, high = self.range.low, self.range.high
        number = _number(value)
        if number is not None and high is not None and number >= high:
            return self._inside(high, self.range.below)
        if number is None or (low is not None and number <= low):
            offered = self.range.such_as
            return self._inside(low or 0, self.range.above) if offered is None else offered
        return max(math.floor(number), low or 0) if self.whole else number

    def _inside(self, end: float, excluded: bool) -> float:
        """`end`, or a round number near it if the range excludes its end."""
        candidates = (1, 0.5, 0.1, 0.9) if excluded else (end,)
        found = next((number for number in candidates if self.takes(_plain(number))), end)
        return _plain(found)


class Inherited(Number):
    """The kind of the option that holds the object: of a schedule's own numbers."""


@dataclass(frozen=True)
class Flag(Kind):
    name = "true or false"
    type = bool

    def instead(self, value: Any) -> Any:
        return bool(value) if isinstance(value, int) else True

    def words(self) -> list[str]:
        return ["true", "false"]


@dataclass(frozen=True)
class Text(Kind):
    name = "text"
    type = str

    def instead(self, value: Any) -> Any:
        return str(value) if isinstance(value, (int, float)) else None


@dataclass(frozen=True)
class Nothing(Kind):
    name = "null"
    type = NoneType


@dataclass(frozen=True)
class OneOf(Kind):
    values: tuple[Any, ...]

    def takes(self, value: Any) -> bool:
        return any(value == known and type(value) is type(known) for known in self.values)

    def __str__(self) -> str:
        words = ", ".join(map(shown, self.values))
        return words if len(self.values) == 1 else f"one of {words}"

    def instead(self, value: Any) -> Any:
        return self.values[0]

    def hint(self, value: Any) -> str:
        return nearest(str(value), [str(known) for known in self.values])

    def words(self) -> list[str]:
        return [shown(known) for known in self.values]


@dataclass(frozen=True)
class ListOf(Kind):
    item: Kind
    length: int | None = None

    def takes(self, value: Any) -> bool:
        fits = isinstance(value, (list, tuple)) and self.length in (None, len(value))
        return fits and all(self.item.takes(one) for one in value)

    def __str__(self) -> str:
        many = "" if self.length is None else f" of {self.length}"
        return f"a list{many} (each {self.item})"

    def instead(self, value: Any) -> Any:
        given = list(value) if isinstance(value, (list, tuple)) else [value]
        if self.length is not None:
            given = (given * self.length)[: self.length]
        return [one if self.item.takes(one) else self.item.instead(one) for one in given]


@dataclass(frozen=True)
class MappingOf(Kind):
    value: Kind

    def takes(self, value: Any) -> bool:
        return isinstance(value, Mapping) and all(map(self.value.takes, value.values()))

    def __str__(self) -> str:
        return f"a mapping (each value {self.value})"


@dataclass(frozen=True)
class Object(Kind):
    """An object: a mapping with the class or function that makes it under `_target_`."""

    name = "a mapping with a _target_"

    def takes(self, value: Any) -> bool:
        return isinstance(value, Mapping) and isinstance(value.get("_target_"), str)


@dataclass(frozen=True)
class Schedule(Object):
    """An object that makes numbers of the kind `of`, over the images seen."""

    name = "a schedule"
    of: Kind


@dataclass(frozen=True)
class Record(Kind):
    """A mapping with these keys. The value of each key is checked separately."""

    type = Mapping
    keys: Mapping[str, Kind] = field(hash=False)

    def __str__(self) -> str:
        return f"a mapping of {', '.join(self.keys)}"


@dataclass(frozen=True)
class Anything(Kind):
    name = "anything"
    type = object


@dataclass(frozen=True)
class Either(Kind):
    kinds: tuple[Kind, ...]

    def takes(self, value: Any) -> bool:
        return any(kind.takes(value) for kind in self.kinds)

    def __str__(self) -> str:
        *most, last = map(str, self.kinds)
        return f"{', '.join(most)} or {last}"

    def instead(self, value: Any) -> Any:
        # numbers first if `value` is a number, else last; none instead of a list or a mapping; a
        # version as 1.10 that YAML reads as a number is meant as text
        kinds: Sequence[Kind] = [kind for kind in self.kinds if not isinstance(kind, Number)]
        if value is not None and not isinstance(value, (list, tuple, Mapping)):
            takes_text = any(isinstance(kind, Text) for kind in self.kinds)
            is_number = _number(value) is not None and not (isinstance(value, float) and takes_text)
            kinds = sorted(self.kinds, key=lambda kind: isinstance(kind, Number) != is_number)
        found = [kind.instead(value) for kind in kinds]
        return next((one for one in found if one is not None), None)

    def hint(self, value: Any) -> str:
        return next((hint for kind in self.kinds if (hint := kind.hint(value))), "")

    def words(self) -> list[str]:
        return [word for kind in self.kinds for word in kind.words()]


def either(kinds: Iterable[Kind]) -> Kind:
    """One kind that allows the values of all; null comes last in its name."""
    flat = [one for kind in kinds for one in (kind.kinds if isinstance(kind, Either) else [kind])]
    flat = sorted(dict.fromkeys(flat), key=lambda kind: isinstance(kind, Nothing))
    if any(isinstance(kind, Anything) for kind in flat):
        return Anything()
    return flat[0] if len(flat) == 1 else Either(tuple(flat))


def shown(value: Any) -> str:
    """`value` as a user writes it after an option's "=", shortened if it is long."""
    text = _written(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, str):
        return repr(value) if _MEANS_MORE.fullmatch(value) else value
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_written(one) for one in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_written(one)}" for key, one in value.items()) + "}"
    return str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return None if abs(value) == math.inf else value


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number


def _digits(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"
