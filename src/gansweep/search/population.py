"""Population-based training: members train side by side, and the worst take over from the best.

A unit of work is one member's training over one generation: an Optuna trial with a key such as
t0003-g02, which trains the member's one run, t0003, from its last checkpoint to the generation's
end. Nobody waits for anybody: the least advanced member that is free goes on, and what it goes on
with is decided then, by the scores that are known at the end of the generation that it comes from.
The decision is stored with the unit.

Source: Jaderberg et al. 2017, arXiv:1711.09846, Algorithm 1, with truncation selection, and each
setting perturbed by a factor or resampled. Departures: they compare the latest scores at whatever
clock, and a member keeps its own clock when it copies. Here scores of one generation alone are
compared, and weights are taken over at the clock at which they were scored: what a member ends with
has had the budget of any other run, its schedule can be run again from zero, and learning rates
that follow the clock stay right. And a member that failed is replaced, too.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial, TrialState

from gansweep.records.record import RunRecord, Source, replace_atomically
from gansweep.records.sweep_part import Segment
from gansweep.records.writer import writing
from gansweep.search.domains import Choice, Domain, Fixed, Interval, Scalar, Steps
from gansweep.search.settings import Settings
from gansweep.search.space import Space

UNIT = ("member", "generation", "from")  # the attributes of a trial that say which unit it is
Worth = Callable[[float], float]  # ascending from the best value to the worst


@dataclass(frozen=True)
class PlannedRun:
    """One training run of an attempt, with a record of its own."""

    name: str  # of its directory below the sweep's
    overrides: list[str]
    seed: int | None = None  # None: that of the sweep, or of the search space
    until_kimg: float | None = None  # where it pauses; None: its whole budget
    source: Source | None = None  # whose weights it begins with, where not its own


class Population:
    """The members of a sweep; all that it knows, it reads from the study's trials, each once."""

    def __init__(self, settings: Settings, space: Space) -> None:
        options = settings.population
        self.space = space
        self.size = settings.n_trials
        self.generations = settings.generations
        self.every_kimg = float(options["every_kimg"])
        self.share = float(options["share"])
        self.factors = [float(f) for f in options["factors"]]
        self.resample = float(options["resample"])
        self.seed = int(settings.sampler["seed"])
        self.worth: Worth = settings.objectives[0].sort_key

    @staticmethod
    def member_of(key: str) -> str:
        return key.partition("-")[0]

    @property
    def members(self) -> list[str]:
        return [f"t{i:04d}" for i in range(self.size)]

    def next_unit(
        self, trials: Sequence[FrozenTrial]
    ) -> tuple[dict[str, Scalar], dict[str, Any]] | None:
        """(stored parameters, attributes) of the unit to queue after `trials`; None where no member
        is free to go on."""
        units = units_of(trials)
        last = {member: trial for (member, _), trial in sorted(units.items())}
        for member in self.members:
            if member not in last:
                return {}, self.attrs(member, 0, None)
        free = [
            (trial.user_attrs["generation"], member)
            for member, trial in last.items()
            if trial.state.is_finished() and trial.user_attrs["generation"] < self.generations - 1
        ]
        for generation, member in sorted(free):
            decided = self._decided(member, generation, units)
            if decided is not None:
                params, source = decided
                return params, self.attrs(member, generation + 1, source)
        return None

    def attrs(self, member: str, generation: int, source: str | None) -> dict[str, Any]:
        """What the study keeps with the first attempt at a unit."""
        key = f"{member}-g{generation:02d}"
        unit = dict(zip(UNIT, (member, generation, source), strict=True))
        return {"key": key, "attempt": 1, "kills": 0, **unit}

    def _decided(
        self, member: str, generation: int, units: Mapping[tuple[str, int], FrozenTrial]
    ) -> tuple[dict[str, Scalar], str | None] | None:
        """What a member goes on with after a generation: stored parameters, and whose weights.

        None where it failed and nobody has come so far yet.
        """
        rng = random.Random(f"{self.seed} {member} {generation}")  # a second look draws the same
        scores = {m: value_of(t) for (m, g), t in units.items() if g == generation}
        known = {m: v for m, v in scores.items() if units[m, generation].state.is_finished()}
        if scores[member] is None and all(v is None for v in known.values()):
            return None
        source = exploited(member, known, self.share, self.worth, rng)
        if source is None:
            return units[member, generation].params, None
        theirs = units[source, generation].params
        return explored(self.space, theirs, self.factors, self.resample, rng), source

    def planned(self, directory: Path, trial: FrozenTrial, overrides: list[str]) -> PlannedRun:
        """The run of a unit."""
        attrs = trial.user_attrs
        member, generation, source = attrs["member"], attrs["generation"], attrs["from"]
        taken = None
        if source is not None:
            taken = Source(source, snapshot(directory / source, generation - 1))
        return PlannedRun(member, overrides, until_kimg=self.until(generation), source=taken)

    def until(self, generation: int) -> float | None:
        """The clock at a generation's end; None for the last, which ends with the budget."""
        if generation == self.generations - 1:
            return None
        return (generation + 1) * self.every_kimg

    def schedule(self, trials: Sequence[FrozenTrial], member: str) -> list[Segment]:
        """What a member did itself."""
        units = units_of(trials)
        path = [units[member, g] for g in range(self.generations) if (member, g) in units]
        return self._joined(path)

    def lineage(self, trials: Sequence[FrozenTrial], member: str) -> list[Segment]:
        """The settings that a member's weights were trained with, whoever trained them."""
        units, path = units_of(trials), []
        for generation in reversed(range(self.generations)):
            unit = units[member, generation]
            path.append(unit)
            member = unit.user_attrs["from"] or member
        found: list[Segment] = []
        for segment in self._joined(path[::-1]):
            if not found or segment.params != found[-1].params:
                found.append(Segment(segment.kimg, segment.params, None))
        return found

    def _joined(self, path: Sequence[FrozenTrial]) -> list[Segment]:
        found: list[Segment] = []
        for unit in path:
            source = unit.user_attrs["from"]
            try:
                params = self.space.suggest(FixedTrial(unit.params))
            except ValueError:  # killed before it knew them
                continue
            if not found or source is not None or params != found[-1].params:
                start = unit.user_attrs["generation"] * self.every_kimg
                found.append(Segment(start, params, source))
        return found

    def keep_snapshot(self, directory: Path, trial: FrozenTrial) -> None:
        """Keep the checkpoint that a unit ended with, for those who may take it over.

        A link: last.pt is only ever replaced, never written into, and so what it links to stays.
        """
        run, generation = directory / trial.user_attrs["member"], trial.user_attrs["generation"]
        if generation == self.generations - 1:
            return
        path = snapshot(run, generation)
        last = path.with_name("last.pt")
        with writing(run):
            path.unlink(missing_ok=True)  # of who died before the study heard of it
            try:
                os.link(last, path)
            except OSError:  # a file system without links
                replace_atomically(path, last.read_bytes())

    def drop_snapshots(self, directory: Path, trials: Sequence[FrozenTrial]) -> None:
        """Remove the snapshots that nobody can take over any more.

        Left are the `share` best of each generation that some member has still to pass, which is
        mostly one, and those that are being taken over.
        """
        needed = self.needed(trials)
        for member in self.members:
            for path in (directory / member / "checkpoints").glob("generation-*.pt"):
                if (member, int(path.stem.rpartition("-")[2])) not in needed:
                    path.unlink(missing_ok=True)

    def needed(self, trials: Sequence[FrozenTrial]) -> set[tuple[str, int]]:
        """(member, generation) of the snapshots that may be taken over."""
        units = units_of(trials)
        found = {
            (t.user_attrs["from"], g - 1)
            for (_, g), t in units.items()
            if t.user_attrs["from"] is not None and not t.state.is_finished()
        }
        for generation in range(self.generations - 1):
            if all((member, generation + 1) in units for member in self.members):
                continue
            scores = {m: value_of(t) for (m, g), t in units.items() if g == generation}
            best = ranked(scores, self.worth)[: max(1, int(self.share * self.size + 1e-9))]
            found |= {(member, generation) for member in best}
        return found


def open_record(record: RunRecord, key: str) -> None:
    """Have a member's record say that the unit `key` is begun: what it says of the unit before must
    not be taken for how this one ended."""
    result = record.result()
    if result is None:
        return
    entry = result.get("sweep") or {}
    if entry.get("key") != key:
        opened = {**entry, "key": key, "opened": True}
        record.write_result({**result, "status": "interrupted", "reason": "", "sweep": opened})


def is_untouched(record: RunRecord) -> bool:
    """Whether the training of the unit that a record was opened for has not begun."""
    result = record.result()
    return result is None or bool((result.get("sweep") or {}).get("opened"))


def snapshot(run_dir: Path, generation: int) -> Path:
    return run_dir / "checkpoints" / f"generation-{generation:02d}.pt"


def units_of(trials: Sequence[FrozenTrial]) -> dict[tuple[str, int], FrozenTrial]:
    """(member, generation) -> the unit, of the trials of a population."""
    return {(t.user_attrs["member"], t.user_attrs["generation"]): t for t in trials}


def value_of(trial: FrozenTrial) -> float | None:
    """What a unit came to; None where it has not ended, or failed."""
    return float(trial.values[0]) if trial.state == TrialState.COMPLETE else None


def ranked(scores: Mapping[str, float | None], worth: Worth) -> list[str]:
    """The members with a score, the best first; of equal ones, the first by name."""
    known = [(worth(v), member) for member, v in scores.items() if v is not None]
    return [member for _, member in sorted(known)]


def exploited(
    member: str,
    scores: Mapping[str, float | None],
    share: float,
    worth: Worth,
    rng: random.Random,
) -> str | None:
    """Whose weights and settings a member goes on with; None for its own.

    scores: of every member whose generation has ended, None for one that failed. Of n members the
    worst floor(share n) take over from a uniformly drawn one of as many best, unless that is no
    better. Who failed always does, from one of the best, of which there is then one at least.
    """
    order = ranked(scores, worth)
    many = math.floor(share * len(scores) + 1e-9)
    failed = len(scores) - len(order)
    own = scores[member]
    if own is None:
        return rng.choice(order[: max(1, many)])
    if member not in order[len(order) - max(0, many - failed) :]:
        return None
    source = rng.choice(order[:many])
    theirs = scores[source]
    assert theirs is not None
    return source if worth(theirs) < worth(own) else None


def explored(
    space: Space,
    params: Mapping[str, Scalar],
    factors: Sequence[float],
    resample: float,
    rng: random.Random,
) -> dict[str, Scalar]:
    """Each setting drawn afresh with probability `resample`, else perturbed by one of `factors`.

    params: name -> stored value.   space: without conditions, so that all of its entries are there.
    """
    found: dict[str, Scalar] = {}
    for parameter in space.parameters:
        domain = parameter.domain
        if isinstance(domain, Fixed):
            continue
        afresh, factor = rng.random() < resample, rng.choice(list(factors))
        value = drawn(domain, rng) if afresh else perturbed(domain, params[parameter.name], factor)
        found[parameter.name] = value
    return found


def drawn(domain: Domain, rng: random.Random) -> Scalar:
    """A stored value, uniformly over the domain, or over its logarithm if that is its scale."""
    if isinstance(domain, Interval):
        return domain.at(rng.random())
    return rng.choice(domain.options() or [])


def perturbed(domain: Domain, stored: Scalar, factor: float) -> Scalar:
    """The stored value times `factor`, within the domain.

    An integer moves by at least 1, a listed number to the next one in the factor's direction. What
    is not a number stays.
    """
    direction = (factor > 1) - (factor < 1)
    if isinstance(domain, Interval):
        assert isinstance(stored, (int, float))
        moved = round(stored * factor) if domain.integer else stored * factor
        stays = domain.integer and moved == stored
        return domain.inside(stored + direction if stays else moved)
    assert isinstance(domain, (Choice, Steps))
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in domain.values):
        return stored
    order = sorted(domain.options() or [], key=domain.decode)
    return order[min(max(order.index(stored) + direction, 0), len(order) - 1)]
