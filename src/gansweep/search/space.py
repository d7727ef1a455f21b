"""A search space: which keys of a configuration are tried with which values, and when."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from omegaconf import DictConfig
from optuna.trial import BaseTrial, FixedTrial

from gansweep.config.options import check_values
from gansweep.errors import UserError, nearest
from gansweep.metrics.protocol import REPEATABLE
from gansweep.search.domains import (
    Domain,
    Fixed,
    Scalar,
    override_text,
    parse_condition,
    parse_entry,
)

MOST_POINTS = 100_000  # of a grid
ABSENT = object()  # in place of the value that a key does not have


@dataclass(frozen=True)
class Condition:
    key: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.key}=" + ",".join(override_text(v) for v in self.values)


@dataclass(frozen=True)
class Parameter:
    """One entry; it exists only if all of its conditions hold."""

    name: str  # Optuna's name: the key, with its conditions where the key has several entries
    key: str
    prefix: str  # "", "+" or "++", as in a Hydra override
    domain: Domain
    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        where = "".join(f" in the block '{c}'" for c in self.conditions[-1:])
        return f"'{self.key}: {self.domain.canonical()}'{where}"


class Space:
    """The entries of a `space:` mapping.

        model: choice(gan, wgan_gp)
        model.optimizer.generator.lr: tag(log, interval(1e-5, 1e-3))
        "model=wgan_gp":
          model.n_critic: choice(1, 5)

    Of several entries for one key, that of the innermost block that holds counts.
    """

    def __init__(self, parameters: list[Parameter]) -> None:
        self.parameters = parameters
        self._candidates: dict[str, list[Parameter]] = {}
        for parameter in parameters:
            self._candidates.setdefault(parameter.key, []).append(parameter)
        for candidates in self._candidates.values():
            candidates.sort(key=lambda p: len(p.conditions), reverse=True)
        self._refuse_impossible_conditions()
        self._refuse_circles()
        self._refuse_other_protocols()

    @classmethod
    def parse(cls, entries: Mapping[str, Any]) -> Space:
        """Raises: UserError naming the entry that cannot be read."""
        found = list(_entries(entries, ()))
        if not found:
            raise UserError(
                "The search space is empty, so every trial would be the same. Add at least one "
                "entry under `space:`, as in `model.batch_size: choice(32, 64)`."
            )
        keys = [key for _, key, _, _ in found]
        parameters = []
        for prefix, key, domain, conditions in found:
            where = " & ".join(str(c) for c in conditions)
            name = f"{key} [{where}]" if keys.count(key) > 1 and where else key
            parameters.append(Parameter(name, key, prefix, domain, conditions))
        (name, count), *_ = Counter(p.name for p in parameters).most_common()
        if count > 1:
            raise UserError(f"The search space names '{name}' twice. Remove one of them.")
        return cls(parameters)

    def keys(self) -> list[str]:
        return list(self._candidates)

    def entries_of(self, key: str) -> int:
        """How many entries there are for `key`, of different blocks."""
        return len(self._candidates.get(key, []))

    def values(self, key: str) -> list[Any]:
        """Every value that `key` may take; none if there are infinitely many."""
        domains = [p.domain for p in self._candidates.get(key, [])]
        return [d.decode(o) for d in domains for o in d.options() or []]

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The values of a trial: key -> value, for the keys that exist under these values."""

        return self._resolve(lambda p: p.domain.decode(p.domain.suggest(trial, p.name)))

    def values_at(self, stored: Mapping[str, Any]) -> dict[str, Any] | None:
        """key -> value of the trial with these stored parameters; None if some are missing."""
        try:
            return self.suggest(FixedTrial(dict(stored)))
        except ValueError:
            return None

    def with_defaults(self, default: Callable[[str], Any]) -> dict[str, Any]:
        """The values of the trial whose every searched key is at its default: key -> value.

        default: key -> its value; ABSENT if it has none, and the trial then lacks the key.
        """
        values = self._resolve(lambda p: default(p.key))
        return {key: value for key, value in values.items() if value is not ABSENT}

    def pinned(self, values: Mapping[str, Any]) -> dict[str, Scalar]:
        """What Optuna fixes so that a trial takes `values` (by key): name -> stored value.

        A key is fixed in each of its blocks that may hold under `values`.
        Raises: UserError naming the first value that the space does not take, and its domain.
        """
        found: dict[str, Scalar] = {}
        for key, value in values.items():
            if key not in self._candidates:
                raise UserError(
                    f"'{key}' is no entry of the search space.{nearest(key, self._candidates)}"
                )
            entries = self._possible(key, values)
            if not entries:
                blocks = (str(p.conditions[-1]) for p in self._candidates[key])
                raise UserError(f"'{key}' stands only in the block '{next(blocks)}'.")
            for entry in entries:
                try:
                    stored = entry.domain.encode(value)
                except ValueError:
                    raise UserError(f"{key}={override_text(value)} is outside {entry}.") from None
                if not isinstance(entry.domain, Fixed):
                    found[entry.name] = stored
        return found

    def grid(self) -> list[dict[str, Scalar]]:
        """Every point, as Optuna stores it: name -> stored value.

        Raises: UserError if an entry has infinitely many values, or there are too many points.
        """
        points = list(itertools.islice(self.points(), MOST_POINTS + 1))
        if len(points) > MOST_POINTS:
            raise UserError(
                f"The search space has more than {MOST_POINTS:,} points, and the grid sampler "
                "tries every one. Use fewer values, or sweep.sampler.name=random."
            )
        return points

    def points(self) -> Iterator[dict[str, Scalar]]:
        """The points of `grid`, one by one."""
        prefixes: list[tuple[int, ...]] = [()]
        while prefixes:
            point, others = self._point(prefixes.pop())
            prefixes += others
            yield point

    def _point(self, prefix: tuple[int, ...]) -> tuple[dict[str, Scalar], list[tuple[int, ...]]]:
        """(the point that takes the options of these positions, then the first option of each
        further entry; the prefixes of the points that take another one there)."""
        point: dict[str, Scalar] = {}
        path: list[int] = []
        others: list[tuple[int, ...]] = []

        def pick(parameter: Parameter) -> Any:
            options = parameter.domain.options()
            if options is None:
                raise UserError(
                    f"The search space's entry {parameter} has infinitely many values, and the "
                    "grid sampler tries every one. Use choice(...) or range(...), or "
                    "sweep.sampler.name=random."
                )
            if len(path) >= len(prefix):
                others.extend((*path, other) for other in range(len(options) - 1, 0, -1))
            path.append(prefix[len(path)] if len(path) < len(prefix) else 0)
            point[parameter.name] = options[path[-1]]
            return parameter.domain.decode(options[path[-1]])

        self._resolve(pick)
        return point, others

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The Hydra overrides that set `params`; choices of config groups come first."""
        texts = [
            f"{self._candidates[key][0].prefix}{key}={override_text(value)}"
            for key, value in params.items()
        ]
        return sorted(texts, key=lambda text: "." in text.partition("=")[0])

    def check(self, compose: Callable[[list[str]], object]) -> None:
        """Compose every branch once, so that a typo is found before the first trial.

        compose: raises UserError for overrides that fit no configuration.
        Raises: UserError naming the entry.
        """
        composed: dict[tuple[str, ...], object] = {}
        for parameter in self.parameters:
            for value in parameter.domain.branch_values():
                pins = {c.key: c.values[0] for c in parameter.conditions}
                pins[parameter.key] = value
                params = self._resolve(lambda p: p.domain.example(), pins)
                branch = tuple(self.overrides(params))
                try:
                    if branch not in composed:
                        composed[branch] = compose(list(branch))
                    cfg = composed[branch]
                    if isinstance(cfg, DictConfig):
                        check_values(cfg, parameter.key, parameter.domain.extremes())
                except UserError as error:
                    culprit = self._culprit(str(error), params, parameter)
                    raise UserError(f"The search space's entry {culprit}: {error}") from error

    def canonical(self) -> dict[str, str]:
        """One line per entry; equal for two spellings of the same space."""
        return {
            " & ".join([*(str(c) for c in p.conditions), p.prefix + p.key]): p.domain.canonical()
            for p in self.parameters
        }

    def _resolve(
        self, pick: Callable[[Parameter], Any], pins: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """key -> value, for the keys that exist under these values.

        pick: the value of an entry that is not fixed.   pins: key -> value, whatever its entry.
        """
        values: dict[str, Any] = {}
        seen: set[str] = set()

        def resolve(key: str) -> None:
            if key in seen:
                return
            seen.add(key)
            for parameter in self._candidates[key]:
                for condition in parameter.conditions:
                    resolve(condition.key)
                if all(values.get(c.key, ABSENT) in c.values for c in parameter.conditions):
                    fixed = isinstance(parameter.domain, Fixed)
                    values[key] = parameter.domain.example() if fixed else pick(parameter)
                    values[key] = (pins or {}).get(key, values[key])
                    return

        for key in self._candidates:
            resolve(key)
        return {key: values[key] for key in self._candidates if key in values}

    def _possible(self, key: str, values: Mapping[str, Any]) -> list[Parameter]:
        """The entries of `key` that may hold if a trial takes `values`, the innermost first."""
        found = []
        for parameter in self._candidates[key]:
            holds = []  # for each condition: whether it does, under each value its key may take
            for c in parameter.conditions:
                choices = [values[c.key]] if c.key in values else self.values(c.key)
                holds.append([choice in c.values for choice in choices])
            if all(map(any, holds)):
                found.append(parameter)
                if all(map(all, holds)):
                    break
        return found

    def _culprit(self, message: str, params: Mapping[str, Any], default: Parameter) -> Parameter:
        """The entry that an error is about: one that it names, else `default`, which was tried."""
        wrong = message.partition(" Did you mean")[0]
        values = {key: override_text(value) for key, value in params.items()}
        for named in (
            [key for key in params if f"'{key}'" in wrong],
            [key for key in params if _names(wrong, key)],
            [key for key in params if _names(wrong, values[key])],
        ):
            varied = params.get(default.key) != default.domain.example()
            if named and named[-1] != default.key and not (varied and default.key in named):
                return self._candidates[named[-1]][0]  # the command line's entries stand last
            if named:
                break
        return default

    def _refuse_impossible_conditions(self) -> None:
        for parameter in self.parameters:
            for condition in parameter.conditions:
                if condition.key not in self._candidates:
                    example = f"{condition.key}: choice({override_text(condition.values[0])}, ...)"
                    raise UserError(
                        f"The search space's block '{condition}' depends on '{condition.key}', "
                        "which is no entry of the space."
                        f"{nearest(condition.key, self._candidates)} Add one, as in '{example}'."
                    )
                # a value given on the command line may leave a block without its branch
                if any(isinstance(p.domain, Fixed) for p in self._candidates[condition.key]):
                    continue
                known = self.values(condition.key)
                unknown = [value for value in condition.values if value not in known]
                if unknown:
                    words = list(map(str, known))
                    raise UserError(
                        f"The search space's block '{condition}' can never hold: '{condition.key}' "
                        f"takes {', '.join(words)}.{nearest(str(unknown[0]), words)}"
                    )

    def _refuse_other_protocols(self) -> None:
        """Two trials' scores compare only if both are measured alike on the same data."""
        for parameter in self.parameters:
            group, _, option = parameter.key.partition(".")
            measures = group.split("@")[0] in ("data", "metrics") and option not in REPEATABLE
            if measures and (not isinstance(parameter.domain, Fixed) or parameter.conditions):
                raise UserError(
                    f"The search space's entry {parameter} would rank scores of different "
                    "protocols in one table: every trial must have the same data and metrics. Run "
                    f"one sweep for each value, with {parameter.key}=VALUE on the command line."
                )

    def _refuse_circles(self) -> None:
        needs = {
            key: {c.key for p in candidates for c in p.conditions}
            for key, candidates in self._candidates.items()
        }
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            circle = error.args[1]
            raise UserError(
                f"The search space's entry '{circle[0]}' is inside a block that depends on it "
                f"({' > '.join(reversed(circle))}). Move it out of that block."
            ) from None


def _names(text: str, word: str) -> bool:
    """Whether the word stands in the text, not as a part of a longer name or number."""
    return re.search(rf"(?<![\w.]){re.escape(word)}(?!\.?\w)", text) is not None


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """One line naming what differs between two flat mappings."""
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return "; ".join(f"{k}: {_shown(old, k)} there, {_shown(new, k)} here" for k in differing)


def _entries(entries: Mapping[str, Any], conditions: tuple[Condition, ...]) -> Any:
    for key, value in entries.items():
        if not isinstance(value, Mapping):
            prefix, bare, domain = parse_entry(str(key), value)
            yield prefix, bare, domain, conditions
        elif "=" in str(key):
            yield from _entries(value, (*conditions, Condition(*parse_condition(str(key)))))
        else:
            raise UserError(
                f"The search space's entry '{key}' is a mapping. Only a block may be one, with a "
                'choice as its heading: "model=wgan_gp":. Write nested keys with dots, as in '
                "'model.optimizer.generator.lr'."
            )


def _shown(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key, "absent")
    return value if isinstance(value, str) else json.dumps(value)
