"""Population-based training: members train side by side, and the worst take over from the best.

A unit of work is one member's training over one generation: an Optuna trial with a key such as
t0003-g02. It continues the member's one run, t0003, from the last checkpoint to the generation's
end. No member waits: the least advanced free member continues. Its settings are decided at that
moment, by the known scores of the generation that it has finished, and stored with the unit.

Source: Jaderberg et al. 2017, arXiv:1711.09846, Algorithm 1, with truncation selection, and each
setting perturbed by a factor or resampled. Departures: the paper compares the latest scores at any
clock, and a member keeps its clock when it copies. Here only scores of one generation are compared,
and weights are copied at the clock at which they were scored. So the final weights have had the
budget of any other run, their schedule can be run again from zero, and learning rates that follow
the clock stay right. A member that failed is replaced too.
"""

import itertools
import math
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

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
    until_kimg: float | None = None  # at which it pauses; None: its whole budget
    source: Source | None = None  # of the weights that it starts with, if not its own


class Population:
    """The members of a sweep. It keeps no state: it reads the study's trials, each once."""

    def __init__(self, settings: Settings, space: Space) -> None:
        options = settings.population
        self.space = space
        self.members = [f"t{i:04d}" for i in range(settings.n_trials)]
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

    def next_unit(
        self, trials: Sequence[FrozenTrial]
    ) -> tuple[dict[str, Scalar], dict[str, Any]] | None:
        """(stored parameters, attributes) of the unit to queue after `trials`; None if no member is
        free to continue."""
        units = units_of(trials)
        last = dict(sorted(units))  # member -> generation
        for member in self.members:
            if member not in last:
                return {}, self.attrs(member, 0, None)
        for generation, member in sorted((g, m) for m, g in last.items()):
            if not units[member, generation].state.is_finished() or self.until(generation) is None:
                continue
            decided = self._decided(member, generation, units)
            if decided is not None:
                return decided[0], self.attrs(member, generation + 1, decided[1])
        return None

    def attrs(self, member: str, generation: int, source: str | None) -> dict[str, Any]:
        """What the study keeps with the first attempt at a unit."""
        key = f"{member}-g{generation:02d}"
        unit = dict(zip(UNIT, (member, generation, source), strict=True))
        return {"key": key, "attempt": 1, "kills": 0, **unit}

    def _decided(
        self, member: str, generation: int, units: Mapping[tuple[str, int], FrozenTrial]
    ) -> tuple[dict[str, Scalar], str | None] | None:
        """What a member continues with after a generation: stored parameters, and whose weights.
        None if it failed and no other member has a score of that generation yet."""
        rng = random.Random(f"{self.seed} {member} {generation}")  # a second look draws the same
        ended = {m: t for (m, g), t in units.items() if g == generation and t.state.is_finished()}
        known = {m: value_of(t) for m, t in ended.items()}
        if all(v is None for v in known.values()):
            return None
        source = exploited(member, known, self.share, self.worth, rng)
        if source is None:
            return units[member, generation].params, None
        theirs = units[source, generation].params
        return explored(self.space, theirs, self.factors, self.resample, rng), source

    def planned(self, directory: Path, trial: FrozenTrial, overrides: list[str]) -> PlannedRun:
        """The run of a unit."""
        member, generation, source = (trial.user_attrs[name] for name in UNIT)
        taken = source and Source(source, snapshot(directory / source, generation - 1))
        return PlannedRun(member, overrides, until_kimg=self.until(generation), source=taken)

    def until(self, generation: int) -> float | None:
        """The clock at a generation's end; None for the last, which ends with the budget."""
        is_last = generation == self.generations - 1
        return None if is_last else (generation + 1) * self.every_kimg

    def schedule(self, trials: Sequence[FrozenTrial], member: str) -> list[Segment]:
        """The settings that a member trained with itself."""
        units = units_of(trials)
        return self._joined([units[m, g] for m, g in sorted(units) if m == member])

    def lineage(self, trials: Sequence[FrozenTrial], member: str) -> list[Segment]:
        """The settings that a member's weights were trained with, by whichever member."""
        units, path = units_of(trials), []
        for generation in reversed(range(self.generations)):
            unit = units[member, generation]
            path.append(unit)
            member = unit.user_attrs["from"] or member
        segments = itertools.groupby(self._joined(path[::-1]), key=lambda s: s.params)
        return [Segment(next(same).kimg, params, None) for params, same in segments]

    def _joined(self, path: Sequence[FrozenTrial]) -> list[Segment]:
        found: list[Segment] = []
        for unit in path:
            source, params = unit.user_attrs["from"], self.space.values_at(unit.params)
            if params is None:  # killed before they were drawn
                continue
            if not found or source is not None or params != found[-1].params:
                start = unit.user_attrs["generation"] * self.every_kimg
                found.append(Segment(start, params, source))
        return found

    def keep_snapshot(self, directory: Path, trial: FrozenTrial) -> None:
        """Keep the checkpoint that a unit ended with, for the members that may take it over. A link
        is enough: last.pt is replaced, never written into."""
        run, generation = directory / trial.user_attrs["member"], trial.user_attrs["generation"]
        if self.until(generation) is None:
            return
        path = snapshot(run, generation)
        last = path.with_name("last.pt")
        with writing(run):
            path.unlink(missing_ok=True)  # left by a worker that died since
            try:
                os.link(last, path)
            except OSError:  # a file system without links
                replace_atomically(path, last.read_bytes())

    def drop_snapshots(self, directory: Path, trials: Sequence[FrozenTrial]) -> None:
        """Remove the snapshots that no member can take over any more."""
        needed = self.needed(trials)
        for member in self.members:
            for path in (directory / member / "checkpoints").glob("generation-*.pt"):
                if (member, int(path.stem.rpartition("-")[2])) not in needed:
                    path.unlink(missing_ok=True)

    def needed(self, trials: Sequence[FrozenTrial]) -> set[tuple[str, int]]:
        """(member, generation) of the snapshots that may be taken over: those that are at present,
        and the `share` best of each generation that some member has still to pass."""
        units = units_of(trials)
        unended = [t.user_attrs for t in units.values() if not t.state.is_finished()]
        found = {(a["from"], a["generation"] - 1) for a in unended if a["from"] is not None}
        for generation in range(self.generations - 1):
            if all((member, generation + 1) in units for member in self.members):
                continue
            scores = {m: value_of(t) for (m, g), t in units.items() if g == generation}
            many = max(1, int(self.share * len(self.members) + 1e-9))
            best = ranked(scores, self.worth)[:many]
            found |= {(member, generation) for member in best}
        return found


def open_record(record: RunRecord, key: str) -> None:
    """Note in a member's record that the unit `key` has begun. Else the end of the unit before
    would be taken for the end of this one."""
    result = record.result()
    entry = (result or {}).get("sweep") or {}
    if result is not None and entry.get("key") != key:
        opened = {**entry, "key": key, "opened": True}
        record.write_result({**result, "status": "interrupted", "reason": "", "sweep": opened})


def is_untouched(record: RunRecord) -> bool:
    """Whether the training of the unit that a record was opened for has not begun."""
    result = record.result()
    return result is None or bool((result.get("sweep") or {}).get("opened"))


def snapshot(run_dir: Path, generation: int) -> Path:
    return run_dir / "checkpoints" / f"generation-{generation:02d}.pt"


def units_of(trials: Sequence[FrozenTrial]) -> dict[tuple[str, int], FrozenTrial]:
    """(member, generation) -> the unit."""
    return {(t.user_attrs["member"], t.user_attrs["generation"]): t for t in trials}


def value_of(trial: FrozenTrial) -> float | None:
    """The score of a unit; None if it has not ended, or failed."""
    return float(trial.values[0]) if trial.state == TrialState.COMPLETE else None


def ranked(scores: Mapping[str, float | None], worth: Worth) -> list[str]:
    """The members with a score, the best first; of equal ones, the first by name."""
    known = [(worth(v), member) for member, v in scores.items() if v is not None]
    return [member for _, member in sorted(known)]


def exploited(
    member: str, scores: Mapping[str, float | None], share: float, worth: Worth, rng: random.Random
) -> str | None:
    """Whose weights and settings a member continues with; None for its own.

    scores: of every member whose generation has ended, None for one that failed. Of n members the
    worst floor(share n) take over from one of as many best, drawn uniformly, unless it is no
    better. A member that failed always takes over, from one of the best, at least the best one.
    """
    order = ranked(scores, worth)
    many = math.floor(share * len(scores) + 1e-9)
    failed = len(scores) - len(order)
    if member not in order:
        return rng.choice(order[: max(1, many)])
    if member not in order[len(order) - max(0, many - failed) :]:
        return None
    source = rng.choice(order[:many])
    theirs, own = scores[source], scores[member]
    assert theirs is not None and own is not None
    return source if worth(theirs) < worth(own) else None


def explored(
    space: Space,
    params: Mapping[str, Scalar],
    factors: Sequence[float],
    resample: float,
    rng: random.Random,
) -> dict[str, Scalar]:
    """Each setting drawn afresh with probability `resample`, else perturbed by one of `factors`.

    params: name -> stored value.   space: without conditions, so that it has all of its entries.
    """
    found: dict[str, Scalar] = {}
    for name, domain in ((p.name, p.domain) for p in space.parameters):
        if not isinstance(domain, Fixed):
            afresh, factor = rng.random() < resample, rng.choice(list(factors))
            found[name] = drawn(domain, rng) if afresh else perturbed(domain, params[name], factor)
    return found


def drawn(domain: Domain, rng: random.Random) -> Scalar:
    """A stored value, uniformly over the domain, or over its logarithm if that is its scale."""
    if isinstance(domain, Interval):
        return domain.at(rng.random())
    return rng.choice(domain.options() or [])


def perturbed(domain: Domain, stored: Scalar, factor: float) -> Scalar:
    """The stored value times `factor`, within the domain. An integer moves by at least 1, a listed
    number to the next one in the factor's direction. What is not a number stays."""
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
