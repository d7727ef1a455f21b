"""The values that one key of a search space may take, read in Hydra's override grammar."""

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
    Sweep,
)
from hydra.errors import HydraException
from optuna.trial import BaseTrial

from gansweep.errors import UserError

Scalar = str | int | float | bool | None
MOST_STEPS = 100_000  # of a range
GRAMMAR = "choice(a, b), interval(0, 1), int(interval(1, 8)), range(1, 5), tag(log, interval(a, b))"

# Hydra's grammar knows no null inside choice(), but "no clipping, or 1" is a thing people search.
_NULL = "gansweep_null"
_QUOTED_OR_NULL = re.compile(r"""('[^']*'|"[^"]*")|(?<![\w.])null(?![\w.])""")
_BARE = re.compile(r"[A-Za-z_][\w./-]*\Z", re.ASCII)
_WORDS_WITH_MEANING = {"null", "true", "false", "nan", "inf", "on", "off", "yes", "no"}


def override_text(value: Any) -> str:
    """`value` as a Hydra override has it after its =, quoted if it could be misread."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        if _BARE.match(value) and value.lower() not in _WORDS_WITH_MEANING:
            return value
        return QuotedString(value, quote=Quote.single).with_quotes()
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(override_text(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{override_text(v)}" for k, v in value.items()) + "}"
    return repr(value)


class Domain(ABC):
    """A set of values. `stored` is what Optuna keeps of a value: always a scalar."""

    @abstractmethod
    def suggest(self, trial: BaseTrial, name: str) -> Scalar: ...

    @abstractmethod
    def options(self) -> list[Scalar] | None:
        """Every stored value, in order; None if there are too many to list."""

    @abstractmethod
    def canonical(self) -> str:
        """Equal for two spellings of one domain, different for different domains."""

    @abstractmethod
    def encode(self, value: Any) -> Scalar:
        """What Optuna keeps of `value`.   Raises: ValueError if it is not in the domain."""

    def decode(self, stored: Scalar) -> Any:
        return stored

    def example(self) -> Any:
        """Some value of the domain: the first."""
        return self.decode((self.options() or [None])[0])

    def extremes(self) -> list[Any]:
        """Values that are in an option's range only if the whole domain is."""
        return [self.decode(option) for option in self.options() or []]

    def branch_values(self) -> list[Any]:
        """The values that may change which configuration is composed: the names of a choice."""
        return [self.example()]

    def at(self, position: float) -> Scalar:
        """The stored value at `position` in [0, 1) of the way through the domain."""
        options = self.options() or []
        return options[int(position * len(options))]


@dataclass(frozen=True)
class Fixed(Domain):
    """One value: a trial is not asked for it, and it may be of any type that YAML has."""

    value: Any

    def suggest(self, trial: BaseTrial, name: str) -> Scalar:
        raise AssertionError("a fixed value is not suggested")

    def options(self) -> list[Scalar] | None:
        return [_stored(self.value)]

    def decode(self, stored: Scalar) -> Any:
        return self.value

    def encode(self, value: Any) -> Scalar:
        return Choice((self.value,)).encode(value)

    def canonical(self) -> str:
        return override_text(self.value)


@dataclass(frozen=True)
class Choice(Domain):
    """Values without an order, of any type that YAML has; no two are equal, as 1 and `true` are."""

    values: tuple[Any, ...]

    def suggest(self, trial: BaseTrial, name: str) -> Scalar:
        return trial.suggest_categorical(name, [_stored(v) for v in self.values])

    def options(self) -> list[Scalar] | None:
        return [_stored(v) for v in self.values]

    def decode(self, stored: Scalar) -> Any:
        for value in self.values:
            if _stored(value) == stored and isinstance(stored, bool) == isinstance(value, bool):
                return value
        raise AssertionError(f"{stored!r} is not in {self.canonical()}")

    def encode(self, value: Any) -> Scalar:
        for known in self.values:
            if known == value and isinstance(known, bool) == isinstance(value, bool):
                return _stored(known)
        raise ValueError(f"{value!r} is none of them")

    def canonical(self) -> str:
        return "choice(" + ",".join(override_text(v) for v in self.values) + ")"

    def branch_values(self) -> list[Any]:
        names = [v for v in self.values if isinstance(v, str)]
        return names or [self.values[0]]


@dataclass(frozen=True)
class Interval(Domain):
    """[low, high], both ends included."""

    low: float
    high: float
    log: bool
    integer: bool

    def suggest(self, trial: BaseTrial, name: str) -> Scalar:
        if self.integer:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def options(self) -> list[Scalar] | None:
        few = self.spans_less_than(MOST_STEPS)
        return list(range(int(self.low), int(self.high) + 1)) if few else None

    def spans_less_than(self, count: int) -> bool:
        """Whether there are fewer values than `count`."""
        return self.integer and self.high - self.low + 1 < count

    def encode(self, value: Any) -> Scalar:
        number = _number(value)
        if not self.low <= number <= self.high or (self.integer and number != int(number)):
            raise ValueError(f"{value!r} is outside")
        return int(number) if self.integer else number

    def at(self, position: float) -> Scalar:
        margin = 0.5 if self.integer else 0.0  # every integer has an equal share
        low, high = self.low - margin, self.high + margin
        if self.log:
            value = math.exp(math.log(low) + position * (math.log(high) - math.log(low)))
        else:
            value = low + position * (high - low)
        return self.inside(math.floor(value + 0.5) if self.integer else value)

    def inside(self, value: float) -> Scalar:
        """The value of the interval that is nearest to `value`."""
        nearest_value = min(max(value, self.low), self.high)
        return int(nearest_value) if self.integer else nearest_value

    def extremes(self) -> list[Any]:
        return [self.low, self.high]

    def example(self) -> Any:
        return self.low

    def canonical(self) -> str:
        text = f"interval({self.low!r},{self.high!r})"
        text = f"int({text})" if self.integer else text
        return f"tag(log,{text})" if self.log else text


@dataclass(frozen=True)
class Steps(Domain):
    """Evenly spaced numbers; as in Hydra, `range(1, 5)` ends at 4."""

    values: tuple[float, ...]

    def suggest(self, trial: BaseTrial, name: str) -> Scalar:
        # by position: low + k * step in floating point would miss the values by a rounding
        return trial.suggest_int(name, 0, len(self.values) - 1)

    def options(self) -> list[Scalar] | None:
        return list(range(len(self.values)))

    def decode(self, stored: Scalar) -> Any:
        assert isinstance(stored, int)
        return self.values[stored]

    def encode(self, value: Any) -> Scalar:
        number = _number(value)
        for position, known in enumerate(self.values):
            if math.isclose(known, number, rel_tol=1e-9, abs_tol=1e-12):
                return position
        raise ValueError(f"{value!r} is no step")

    def canonical(self) -> str:
        return "range:" + ",".join(repr(v) for v in self.values)


def parse_entry(key: str, text: Any) -> tuple[str, str, Domain]:
    """(prefix "", "+" or "++"; key; domain) of one entry of a search space.

    Raises: UserError naming the entry, where the text is not in the grammar.
    """
    if not isinstance(text, str):
        prefix, bare = _split_key(key)
        return prefix, bare, Fixed(text)
    readable = _QUOTED_OR_NULL.sub(lambda found: found[1] or _NULL, text)
    override = _parse(f"{key}={readable}", f"{key}: {text}")
    prefix, bare = _split_key(override.get_key_element())
    return prefix, bare, _domain(f"{key}: {text}", override._value)


def parse_condition(text: str) -> tuple[str, tuple[Any, ...]]:
    """("model", ("gan", "dcgan")) of the block heading "model=gan,dcgan"."""
    override = _parse(text, text)
    domain = _domain(text, override._value)
    if not isinstance(domain, (Fixed, Choice)):
        raise UserError(
            f"The search space's block '{text}' must name one or more values of "
            f"'{override.key_or_group}', as in 'model=wgan_gp' or 'model=gan,dcgan'."
        )
    values = (domain.value,) if isinstance(domain, Fixed) else domain.values
    return override.get_key_element().lstrip("+"), values


def _parse(line: str, shown: str) -> Override:
    try:
        return OverridesParser.create().parse_override(line)
    except HydraException as error:
        reason = str(error).splitlines()[0].replace(_NULL, "null")
        takes = f"An entry is a plain value or one of {GRAMMAR}."
        raise _refused(shown, f"cannot be read: {reason}. {takes}") from error


def _domain(shown: str, parsed: Any) -> Domain:
    if isinstance(parsed, Sweep):
        _refuse_other_tags(shown, parsed)
    if isinstance(parsed, ChoiceSweep):
        values = tuple(_plain(v) for v in parsed.list)
        if any(isinstance(v, float) and not math.isfinite(v) for v in values):
            raise _refused(shown, "has a choice that is no finite number. Leave it out.")
        # 1, 1.0 and true are one value to Optuna, and to Python
        if len({_stored(v) for v in values}) < len(values):
            raise _refused(shown, "names a value twice.")
        return Choice(values)
    if isinstance(parsed, IntervalSweep):
        return _interval(shown, parsed)
    if isinstance(parsed, RangeSweep):
        return _steps(shown, parsed)
    if isinstance(parsed, Glob):
        why = "uses glob(), which would change meaning when a file is added."
        raise _refused(shown, f"{why} Name the values: choice(a, b).")
    return Fixed(_plain(parsed))


def _refuse_other_tags(shown: str, parsed: Sweep) -> None:
    for tag in sorted(parsed.tags - {"log"}):
        fix = "Write tag(log, interval(a, b)) for a logarithmic scale, else leave the tag out."
        raise _refused(shown, f"has the unknown tag '{tag}'. {fix}")
    if parsed.tags and isinstance(parsed, ChoiceSweep):
        why = "is a choice, whose values have no scale."
        raise _refused(shown, f"{why} Use tag(log, interval(a, b)), or drop tag(log, ...).")


def _refused(shown: str, why: str) -> UserError:
    return UserError(f"The search space's entry '{shown}' {why}")


def _interval(shown: str, parsed: IntervalSweep) -> Interval:
    low, high, log = parsed.start, parsed.end, "log" in parsed.tags
    assert low is not None and high is not None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise _refused(shown, "has no end. Use finite numbers.")
    if not low < high:
        raise _refused(shown, f"is empty: {low} is not below {high}. Write the smaller end first.")
    if log and low <= 0:
        why = f"has a logarithmic scale, which cannot reach {low}."
        raise _refused(shown, f"{why} Start above 0, or drop tag(log, ...).")
    return Interval(low, high, log, integer=isinstance(low, int) and isinstance(high, int))


def _steps(shown: str, parsed: RangeSweep) -> Steps:
    if "log" in parsed.tags:
        uses = "tag(log, interval(a, b)) or choice(1e-4, 1e-3, 1e-2)"
        raise _refused(shown, f"is a range: evenly spaced, without a tag(log, ...). Use {uses}.")
    start, stop, step = parsed.start, parsed.stop, parsed.step
    assert start is not None and stop is not None
    if step == 0:
        raise _refused(shown, "has steps of 0. Use another step.")
    if not all(math.isfinite(number) for number in (start, stop, step)):
        raise _refused(shown, "has no end. Use finite numbers.")
    # counted and rounded: adding 0.1 up in binary would pass the stop, or give 0.30000000000000004
    count = math.ceil((stop - start) / step - 1e-9)
    if count > MOST_STEPS:
        many = f"has {count:,} values, more than {MOST_STEPS:,}."
        raise _refused(shown, f"{many} Use a longer step, or interval(a, b).")
    if count < 1:
        raise _refused(shown, "is empty: as in Hydra, range(start, stop) leaves its stop out.")
    values = [start + k * step for k in range(count)]
    whole = all(isinstance(v, int) for v in (start, stop, step))
    return Steps(tuple(values if whole else (round(v, 12) for v in values)))


def _plain(value: Any) -> Any:
    """A parsed element as a Python value, with the nulls put back."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    return None if value == _NULL else value


def _stored(value: Any) -> Scalar:
    return value if value is None or isinstance(value, (str, int, float)) else override_text(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _split_key(key: str) -> tuple[str, str]:
    bare = key.lstrip("+")
    if bare.startswith("~"):
        fix = "Delete it for every trial on the command line instead, or search over its values."
        raise _refused(key, f"deletes a key. {fix}")
    return key[: len(key) - len(bare)], bare
