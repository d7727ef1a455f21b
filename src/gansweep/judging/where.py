"""The filter of runs: `lr > 1e-4 and model = dcgan`, for `gansweep ls --where` and the board.

    filter      one comparison or several, joined by `and` and `or`; `not`; parentheses.
                `not` binds before `and`, `and` before `or`. These words in any case.
    comparison  NAME OPERATOR VALUE
    NAME        a fact of the run (FACTS below), a setting, or a score. A setting by its whole
                dotted name or an ending of it (lr, generator.lr); a score by its full name or by
                its word (fid).
    OPERATOR    =  !=  <  <=  >  >=, and ~ (contains)
    VALUE       a number, a word, or text in "double" or 'single' quotes

Where a NAME stands for several values (two learning rates, several tags), the comparison holds if
it holds for one of them; `!=` is the opposite of `=`. Without a value only `!=` holds. `<` and its
kind compare numbers. Numbers are equal within 1e-9 of the larger. Text is compared without case;
other values as a user types them: true, null, [0.5, 0.999].

tests/support/filters.json has examples for every implementation of this grammar.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.errors import UserError, nearest
from gansweep.judging.labels import settings_of
from gansweep.judging.objective import objective_so_far
from gansweep.metrics.protocol import scores_called
from gansweep.records.notation import setting
from gansweep.records.read import Run

Values = Callable[[str], Sequence[Any]]  # of a name, for one run
Test = Callable[[Values], bool]

FACTS: dict[str, Callable[[Run], Any]] = {
    "status": lambda run: run.status,
    "model": lambda run: run.model,
    "data": lambda run: run.data,
    "seed": lambda run: run.seed,
    "kimg": lambda run: run.kimg,
    "seconds": lambda run: run.number("seconds"),
    "images_per_second": lambda run: run.number("images_per_second"),
    "peak_memory_mib": lambda run: run.number("peak_memory_mib"),
    "name": lambda run: run.directory.name,
    "group": lambda run: run.directory.parent.name,
    "sweep": lambda run: run.sweep.name if run.sweep else None,
    "objective": lambda run: found[1] if (found := objective_so_far(run)) else None,
    "tag": lambda run: run.tags,
    "note": lambda run: run.note or None,
}
TOKEN = re.compile(
    r"\s*(?:(?P<operator><=|>=|!=|==|=|<|>|~)|(?P<bracket>[()])"
    r"|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<word>[^\s()<>=!~\"']+))"
)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
DEEPEST = 50  # brackets and `not` within each other
EXAMPLE = "an example is 'lr > 1e-4 and model = dcgan'"


@dataclass(frozen=True)
class Filter:
    """A filter that was read. `names`: those that it compares."""

    names: tuple[str, ...]
    test: Test

    def holds(self, values: Values) -> bool:
        return self.test(values)


@dataclass(frozen=True)
class _Token:
    kind: str  # operator, bracket, text (in quotes) or word
    text: str

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.lower() == word


def read_filter(text: str) -> Filter:
    """Raises: UserError for a filter that does not follow the grammar."""
    return _Reader(text).filter()


class _Reader:
    """Reads one filter from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(_tokens(text))
        self.place = 0
        self.names: list[str] = []

    def filter(self) -> Filter:
        test = self._any(0)
        if (left := self._peek()) is not None:
            raise self._error(f"'{left.text}' does not follow from what is before it")
        return Filter(tuple(dict.fromkeys(self.names)), test)

    def _any(self, depth: int) -> Test:
        tests = [self._all(depth)]
        while self._took("or"):
            tests.append(self._all(depth))
        return lambda values: any(test(values) for test in tests)

    def _all(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self._took("and"):
            tests.append(self._one(depth))
        return lambda values: all(test(values) for test in tests)

    def _one(self, depth: int) -> Test:
        if depth > DEEPEST:
            raise self._error(f"it is nested deeper than {DEEPEST} levels")
        if self._took("not"):
            inner = self._one(depth + 1)
            return lambda values: not inner(values)
        token = self._next("a name")
        if token == _Token("bracket", "("):
            test = self._any(depth + 1)
            if self._next("')'") != _Token("bracket", ")"):
                raise self._error("')' is missing")
            return test
        return self._comparison(token)

    def _comparison(self, name: _Token) -> Test:
        if name.kind not in ("word", "text"):
            raise self._error(f"'{name.text}' stands where a name is expected")
        sign = self._next("an operator such as = or <")
        if sign.kind != "operator":
            raise self._error(f"'{sign.text}' stands where an operator such as = or < is expected")
        value = self._next("a value")
        if value.kind not in ("word", "text"):
            raise self._error(f"'{value.text}' stands where a value is expected")
        self.names.append(name.text)
        return _comparison(name.text, sign.text, value.text, quoted=value.kind == "text")

    def _peek(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def _next(self, what: str) -> _Token:
        if (token := self._peek()) is None:
            raise self._error(f"{what} is missing at its end")
        self.place += 1
        return token

    def _took(self, word: str) -> bool:
        token = self._peek()
        found = token is not None and token.is_word(word)
        self.place += found
        return found

    def _error(self, why: str) -> UserError:
        return UserError(f"The filter '{self.text}' cannot be read: {why}; {EXAMPLE}.")


def _tokens(text: str) -> Iterator[_Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = TOKEN.match(text, place)
        if found is None:
            bad = text[place:].split()[0]
            raise UserError(
                f"The filter '{text}' cannot be read at '{bad}': quotes come in pairs, and "
                f"operators are =, !=, <, <=, >, >= and ~; {EXAMPLE}."
            )
        kind = str(found.lastgroup)
        yield _Token("text" if kind in ("double", "single") else kind, found[kind])
        place = found.end()


def _comparison(name: str, sign: str, value: str, *, quoted: bool) -> Test:
    number = None if quoted or not NUMBER.fullmatch(value) else float(value)

    def is_equal(own: Any) -> bool:
        if _is_number(own) and number is not None:
            return abs(own - number) <= 1e-9 * max(abs(own), abs(number))
        return setting(own).lower() == value.lower()

    if sign in ("=", "=="):
        return lambda values: any(map(is_equal, values(name)))
    if sign == "!=":
        return lambda values: not any(map(is_equal, values(name)))
    if sign == "~":
        return lambda values: any(value.lower() in setting(own).lower() for own in values(name))
    if number is None:
        raise UserError(f"The filter '{name} {sign} {value}' needs a number after '{sign}'.")
    holds = ORDERS[sign]
    return lambda values: any(_is_number(own) and holds(own, number) for own in values(name))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def values_of(run: Run, name: str, settings: Mapping[str, Any] | None = None) -> list[Any]:
    """What a name of a filter stands for in a run; [] for nothing.

    settings: the run's configuration as dotted keys, where it is known already.
    """
    if name in FACTS:
        found = FACTS[name](run)
        return found if isinstance(found, list) else [] if found is None else [found]
    settings = {**(settings_of(run) if settings is None else settings), **run.params}
    found = [value for key, value in settings.items() if f".{key}".endswith(f".{name}")]
    scores = [name] if name in run.scores() else scores_called(run.protocols, name)
    return found + [last.value for score in scores if (last := run.last(score))]


def chosen(runs: Sequence[Run], text: str) -> list[Run]:
    """The runs for which a filter holds.

    Raises: UserError for a filter that cannot be read, or for a name that no run has.
    """
    wanted = read_filter(text)
    settings = {run.directory: settings_of(run) for run in runs}
    for name in wanted.names:
        if name in FACTS or any(values_of(run, name, settings[run.directory]) for run in runs):
            continue
        known = {key.rpartition(".")[2] for keys in settings.values() for key in keys}
        known |= {str(p.get("score")) for run in runs for p in run.protocols.values()}
        raise UserError(
            f"No run has a setting or a score '{name}'.{nearest(name, known | FACTS.keys())} "
            f"Of every run are known: {', '.join(FACTS)}."
        )
    return [
        run
        for run in runs
        if wanted.holds(lambda name, run=run: values_of(run, name, settings[run.directory]))  # type: ignore[misc]
    ]
