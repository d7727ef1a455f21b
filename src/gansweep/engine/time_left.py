"""How long a sweep will still take, by what its runs have taken so far."""

from __future__ import annotations

import heapq
import itertools
import statistics
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from gansweep.engine.lease.locks import is_alive
from gansweep.engine.lease.workers import STOPPING, WAITS_FOR_GPU, workers_of
from gansweep.judging.statuses import FULL_BUDGET
from gansweep.search.trials import SECONDS_BEFORE, trials_of

if TYPE_CHECKING:
    from gansweep.engine.study import SweepStudy

Chain = list[float]  # seconds of jobs, each of which begins when the one before has ended


def seconds_left(study: SweepStudy, workers: int) -> float | None:
    """Seconds until the last confirmation run ends; None before the first trial has ended.

    workers: how many there will be, if none is at work yet.
    """
    trials = study.begun()
    spent = _spent(study, study.trials, trials)
    took = [spent[_key(t)] for t in trials if t.state.is_finished()]
    if not took:
        return None
    absent = (WAITS_FOR_GPU, STOPPING)
    workers = sum(w.doing not in absent for w in workers_of(study.directory)) or workers
    begun = [[_rest(spent[_key(t)], took)] for t in trials if not t.state.is_finished()]
    mean = statistics.fmean(took)
    if study.population is None:
        chains = begun + [[mean]] * (study.n_trials - len(trials))
    else:
        chains = _of_members(study, trials, spent, took)
    run = _whole_run(study, trials, spent, mean)
    return makespan(chains, workers) + makespan(_confirmations(study, run), workers)


def makespan(chains: Iterable[Chain], workers: int) -> float:
    """Seconds until all is done, if each free worker takes the job that has waited longest."""
    ready = [(0.0, number, chain) for number, chain in enumerate(chains) if chain]
    free = [0.0] * max(1, workers)
    end, numbers = 0.0, itertools.count(len(ready))
    while ready:
        since, _, (seconds, *rest) = heapq.heappop(ready)
        ended = max(since, heapq.heappop(free)) + seconds
        heapq.heappush(free, ended)
        if rest:
            heapq.heappush(ready, (ended, next(numbers), rest))
        end = max(end, ended)
    return end


def _rest(spent: float, took: Sequence[float]) -> float:
    """Seconds left of a run: the mean of the runs that took longer, less what it has taken."""
    longer = [seconds for seconds in took if seconds > spent]
    return statistics.fmean(longer) - spent if longer else 0.0


def _of_members(
    study: SweepStudy, trials: Sequence[FrozenTrial], spent: dict[str, float], took: Sequence[float]
) -> list[Chain]:
    """A chain for each member of a population; members that train come first."""
    assert study.population is not None
    mean, units = statistics.fmean(took), study.population.generations
    chains = {member: [mean] * units for member in study.population.members}
    for trial in sorted(trials, key=lambda t: int(t.user_attrs["generation"])):
        left = [mean] * (units - 1 - int(trial.user_attrs["generation"]))
        now = [] if trial.state.is_finished() else [_rest(spent[_key(trial)], took)]
        chains[trial.user_attrs["member"]] = now + left
    training = {t.user_attrs["member"] for t in trials if t.state == TrialState.RUNNING}
    return [chains[m] for m in sorted(chains, key=lambda m: (m not in training, -len(chains[m])))]


def _whole_run(
    study: SweepStudy, trials: Sequence[FrozenTrial], spent: dict[str, float], mean: float
) -> float:
    """Seconds of one run over the whole budget: of one seed, of all generations, not pruned."""
    if study.population is not None:
        return mean * study.population.generations
    whole = [spent[_key(t)] for t in trials if t.user_attrs.get("status") in FULL_BUDGET]
    return (statistics.fmean(whole) if whole else mean) / study.settings.seeds


def _confirmations(study: SweepStudy, whole_run: float) -> list[Chain]:
    """A chain for each confirmation run that has not ended.   whole_run: seconds of one, if none
    has ended yet."""
    runs = trials_of(study.confirms)
    spent = _spent(study, study.confirms, runs)
    took = [spent[_key(t)] for t in runs if t.user_attrs.get("status") in FULL_BUDGET]
    took = took or [whole_run]
    begun = [[_rest(spent[_key(t)], took)] for t in runs if not t.state.is_finished()]
    if study.trials_ended():
        to_come = len({c.name for c in study.confirmations()} - {_key(t) for t in runs})
    else:
        confirm = study.settings.confirm
        to_come = max(0, int(confirm["top"]) * int(confirm["seeds"]) - len(runs))
    return begun + [[statistics.fmean(took)]] * to_come


def _spent(study: SweepStudy, of: Study, trials: Iterable[FrozenTrial]) -> dict[str, float]:
    """Seconds that were spent on each key so far."""
    found: dict[str, float] = {}
    for trial in trials:
        begin, end = trial.datetime_start, trial.datetime_complete
        seconds = float(trial.user_attrs.get(SECONDS_BEFORE, 0.0))
        if begin is not None and end is not None:
            seconds += (end - begin).total_seconds()
        elif begin is not None and is_alive(study.lease_path(of, trial.number)):
            seconds += time.time() - begin.timestamp()
        found[_key(trial)] = seconds
    return found


def _key(trial: FrozenTrial) -> str:
    return str(trial.user_attrs["key"])
