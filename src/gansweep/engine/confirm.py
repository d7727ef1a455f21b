"""The winners of a sweep, run again with fresh seeds before they are reported.

A sweep picks the best of many noisy numbers, and so its best number flatters. The winners' runs
under other seeds, scored with other noise, are what the leaderboard shows.
"""

import itertools
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from gansweep.errors import UserError
from gansweep.judging.constraints import broken
from gansweep.judging.ranking import pareto_front, ranked
from gansweep.records.sweep_part import Segment
from gansweep.search.population import PlannedRun, Population
from gansweep.search.settings import Settings
from gansweep.search.space import Space

FIRST_SEED = 101
# what a confirmation changes: the seed of the training, and of the noise that scores use
FRESH = ("seed", "metrics.noise_seed")


@dataclass(frozen=True)
class Confirmation:
    """One run of one winner under one fresh seed."""

    key: str  # the winning trial's, or member's
    seed: int
    params: dict[str, Any]  # at its end
    runs: list[PlannedRun]  # of one record; several if a population changed the settings
    selection_value: float  # what the trial was picked for
    schedule: list[dict[str, Any]] | None = None  # of a population's member

    @property
    def name(self) -> str:
        return _name(self.key, self.seed)


def key_of(trial: FrozenTrial) -> str:
    """The trial's key; of a population's unit, its member's."""
    return str(trial.user_attrs.get("member") or trial.user_attrs["key"])


def _name(key: str, seed: int) -> str:
    return f"c-{key}-s{seed}"


def _overrides(params: dict[str, Any], space: Space, seed: int, settings: Settings) -> list[str]:
    kept = {key: value for key, value in params.items() if key not in FRESH}
    n_fake = settings.confirm.get("n_fake")
    sample = [] if n_fake is None else [f"metrics.n_fake={n_fake}"]
    return [*space.overrides(kept), f"seed={seed}", f"metrics.noise_seed={seed}", *sample]


def _segments(
    trials: Sequence[FrozenTrial], winner: FrozenTrial, space: Space, settings: Settings
) -> list[Segment]:
    if "member" in winner.user_attrs:
        return Population(settings, space).lineage(trials, winner.user_attrs["member"])
    params = space.values_at(winner.params)
    if params is None:
        directory = shlex.quote(f"{settings.runs_dir}/{settings.name}")
        raise UserError(
            f"The study of the sweep {settings.name} has lost parameters of {key_of(winner)}. "
            f"`gansweep repair {directory}` takes them from the records of the runs."
        )
    return [Segment(0.0, params, None)]


def group_of(trial: FrozenTrial, space: Space, per: str) -> Any:
    """What a trial shares with those that it competes with for one place among the winners.

    per: "config" for all of its parameters, or a key, for its value (None if the trial lacks it).
    """
    params = space.values_at(trial.params) or {}
    return params if per == "config" else params.get(per)


def confirmations(
    trials: Sequence[FrozenTrial], space: Space, settings: Settings
) -> list[Confirmation]:
    """Every run that confirms the winners of these trials."""
    used = searched_seeds(trials, space, settings)
    fresh = (seed for seed in itertools.count(FIRST_SEED) if seed not in used)
    seeds = list(itertools.islice(fresh, int(settings.confirm["seeds"])))
    best = winners(trials, space, settings)
    return [_planned(winner, seed, trials, space, settings) for winner in best for seed in seeds]


def searched_seeds(trials: Sequence[FrozenTrial], space: Space, settings: Settings) -> set[int]:
    """The seeds that the sweep chose for training or scoring any of these trials: the winner may
    owe its place to their luck."""
    used = {settings.base_seed + i for i in range(settings.seeds)}
    given = (word.lstrip("+").partition("=") for word in settings.overrides)
    used |= {int(value) for key, _, value in given if key in FRESH and value.isdecimal()}
    if set(FRESH).isdisjoint(space.keys()):
        return used
    tried = [space.values_at(trial.params) or {} for trial in trials]
    return used | {params[key] for params in tried for key in FRESH if key in params}


def confirmation(
    trials: Sequence[FrozenTrial], key: str, seed: int, space: Space, settings: Settings
) -> Confirmation:
    """One run for trial or member `key`, which once was among the winners."""
    winner = next(t for t in by_first_objective(trials, settings) if key_of(t) == key)
    return _planned(winner, seed, trials, space, settings)


def _planned(
    winner: FrozenTrial, seed: int, trials: Sequence[FrozenTrial], space: Space, settings: Settings
) -> Confirmation:
    segments = _segments(trials, winner, space, settings)
    ends = [*(segment.kimg for segment in segments[1:]), None]
    key = key_of(winner)
    runs = [
        PlannedRun(_name(key, seed), _overrides(part.params, space, seed, settings), seed, end)
        for part, end in zip(segments, ends, strict=True)
    ]
    schedule = [part.entry() for part in segments] if "member" in winner.user_attrs else None
    params, value = segments[-1].params, float(winner.values[0])
    return Confirmation(key, seed, params, runs, value, schedule)


def winners(trials: Sequence[FrozenTrial], space: Space, settings: Settings) -> list[FrozenTrial]:
    """The best `confirm.top` trials that ended well and meet every constraint, best first: one of
    each configuration, or of each value of the key that `confirm.per` names.

    With several objectives they are the Pareto front, or the front of each value of the key: the
    best of each front in the first objective, then the second best of each. Of equal trials the
    earlier one comes first.
    """
    per, top = str(settings.confirm["per"]), int(settings.confirm["top"])
    ended = by_first_objective(trials, settings)
    if len(settings.objectives) == 1:
        return _one_of_each(ended, space, per)[:top]
    groups: dict[str, list[FrozenTrial]] = {}
    for trial in ended:
        group = "" if per == "config" else json.dumps(group_of(trial, space, per))
        groups.setdefault(group, []).append(trial)
    fronts = [_one_of_each(front(g, settings), space, "config") for g in groups.values()]
    rounds = itertools.zip_longest(*fronts)
    return [t for one in rounds for t in by_first_objective(filter(None, one), settings)][:top]


def by_first_objective(trials: Iterable[FrozenTrial], settings: Settings) -> list[FrozenTrial]:
    """The trials that may win, by their first objective from best to worst."""
    first = settings.objectives[0]
    ended = [t for t in trials if t.state == TrialState.COMPLETE and not broken(t)]
    if settings.generations > 1:  # of a population only units of the last generation may win
        ended = [t for t in ended if t.user_attrs["generation"] == settings.generations - 1]
    ended.sort(key=lambda trial: trial.number)
    return [t for _, t in ranked(ended, lambda trial: first.sort_key(trial.values[0]))]


def front(trials: Iterable[FrozenTrial], settings: Settings) -> list[FrozenTrial]:
    """The Pareto front of the trials that may win, by their first objective from best to worst."""
    ended = by_first_objective(trials, settings)
    places = pareto_front([t.values for t in ended], [o.direction for o in settings.objectives])
    return [ended[place] for place in places]


def _one_of_each(ordered: Iterable[FrozenTrial], space: Space, per: str) -> list[FrozenTrial]:
    best: dict[str, FrozenTrial] = {}
    for trial in ordered:
        best.setdefault(json.dumps(group_of(trial, space, per), sort_keys=True), trial)
    return list(best.values())
