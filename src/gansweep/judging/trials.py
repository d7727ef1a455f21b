"""A sweep as its runs record it: trials over their seeds, confirmations, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from gansweep.judging.constraints import broken_by_runs
from gansweep.judging.objective import Objective, objectives_of
from gansweep.judging.statistics import all_known
from gansweep.judging.statuses import (
    BREAKS_CONSTRAINT,
    ENDED_WELL,
    FAILED_TRAINING,
    FAILURES,
    NO_WINNER,
    UNFINISHED,
)
from gansweep.records.read import Run

KINDS = {kind: f"failed: {words.removeprefix('by ')}" for kind, words in FAILURES.items()}
ORDER = (*ENDED_WELL, BREAKS_CONSTRAINT, "pruned", *FAILED_TRAINING, *KINDS.values(), "failed")
CONFIRMED = "confirmation runs"


@dataclass(frozen=True, eq=False)
class Trial:
    """One configuration that a sweep tried, under one seed or several.

    planned: the number of seeds of each trial of the sweep.
    """

    runs: list[Run]
    planned: int = 1

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def name(self) -> str:
        part = self.first.sweep
        several = part is not None and len(self.runs) > 1
        return part.key if part and several else self.first.directory.name

    @property
    def model(self) -> str:
        return self.first.model

    @property
    def params(self) -> dict[str, Any]:
        return self.first.params

    @property
    def status(self) -> str:
        """One failed or pruned run decides, as in the sweep. A trial whose runs all ended well and
        that lacks seeds was pruned between two of them.
        """
        statuses = [run.status for run in self.runs]
        for decisive in (NO_WINNER, UNFINISHED):
            for status in statuses:
                if status in decisive:
                    return status
        if len(self.runs) < self.planned:
            return "pruned"
        return BREAKS_CONSTRAINT if broken_by_runs(self.runs) else statuses[-1]

    @property
    def ended(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def complete(self) -> bool:
        return self.ended and self.status not in NO_WINNER

    @property
    def has_score(self) -> bool:
        """Whether all its seeds have a score; a pruned one has its last score."""
        return self.complete or (self.status == "pruned" and len(self.runs) == self.planned)

    @property
    def decisive(self) -> Run:
        """The run whose status is the trial's."""
        return next((run for run in self.runs if run.status == self.status), self.runs[-1])

    @property
    def kimg(self) -> float:
        """Images seen over all seeds, in thousands."""
        return math.fsum(run.kimg for run in self.runs)

    @property
    def seconds(self) -> float | None:
        """Training time over all seeds; None where a record has none."""
        known = all_known(run.number("seconds") for run in self.runs)
        return None if known is None else math.fsum(known)

    def value(self, metric: str, at: str) -> float | None:
        """The mean over the seeds; None where a run has no such value."""
        known = all_known(run.value(metric, at) for run in self.runs)
        return fmean(known) if known else None


@dataclass
class Sweep:
    """The runs of one sweep: its trials in the order of their names, and its confirmation runs."""

    name: str
    trials: list[Trial] = field(default_factory=list)
    confirmations: list[Run] = field(default_factory=list)

    @property
    def scheduled(self) -> list[Trial]:
        """The members of a population whose records have their schedule."""
        return [t for t in self.trials if t.first.sweep and t.first.sweep.schedule]

    @property
    def objectives(self) -> tuple[Objective, ...]:
        runs = [*(trial.first for trial in self.trials), *self.confirmations]
        return next((objectives_of(run.sweep) for run in runs if run.sweep), ())


def sweeps_of(runs: Sequence[Run]) -> list[Sweep]:
    """Every sweep among these runs."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.sweep:
            groups.setdefault((str(run.directory.parent), run.sweep.name), []).append(run)
    return [_sweep(name, members) for (_, name), members in groups.items()]


def _sweep(name: str, runs: Sequence[Run]) -> Sweep:
    tried = [(run, run.sweep.key) for run in runs if run.sweep and run.sweep.role == "trial"]
    keys: dict[str, list[Run]] = {}
    for run, key in tried:
        keys.setdefault(key or run.directory.name, []).append(run)
    planned = max(map(len, keys.values()), default=1)
    trials = [Trial(members, planned) for members in keys.values()]
    return Sweep(name, trials, [run for run in runs if run.sweep and run.sweep.role != "trial"])


def trials_of(runs: Sequence[Run]) -> list[Trial]:
    """The trials of every sweep among these runs."""
    return [trial for sweep in sweeps_of(runs) for trial in sweep.trials]


@dataclass(frozen=True)
class Spent:
    """The cost of all trials with the same end.

    share: of the images of the whole sweep; None where it saw none.   seconds: of training; None
        where a record has none.
    """

    end: str
    count: int
    kimg: float
    share: float | None
    seconds: float | None


def ending(trial: Trial) -> str:
    """A trial's status; of a failed one with the kind of its failure."""
    kind = trial.decisive.result.get("failure")
    return KINDS.get(str(kind), "failed") if trial.status == "failed" else trial.status


def spent_by_end(sweep: Sweep) -> list[Spent]:
    """The cost of each end: good ends first, the confirmation runs last."""
    groups: dict[str, list[Trial]] = {}
    for trial in sweep.trials:
        groups.setdefault(ending(trial), []).append(trial)
    ordered = {end: groups[end] for end in [*ORDER, *groups] if end in groups}
    if sweep.confirmations:
        ordered[CONFIRMED] = [Trial([run]) for run in sweep.confirmations]
    total = math.fsum(trial.kimg for members in ordered.values() for trial in members)
    return [_spent(end, members, total) for end, members in ordered.items()]


def _spent(end: str, members: Sequence[Trial], total: float) -> Spent:
    kimg = math.fsum(trial.kimg for trial in members)
    times = all_known(trial.seconds for trial in members)
    seconds = None if times is None else math.fsum(times)
    return Spent(end, len(members), kimg, kimg / total if total else None, seconds)
