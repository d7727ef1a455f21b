"""The winners of a sweep, run again with fresh seeds before they are reported.

A sweep picks the best of many noisy numbers, and so its best number flatters. The winners' runs
under other seeds, scored with other noise, are what the leaderboard shows.
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial, TrialState

from gansweep.errors import UserError
from gansweep.judging.constraints import broken
from gansweep.judging.ranking import pareto_front, ranked
from gansweep.records.sweep_part import Segment
from gansweep.search.population import PlannedRun, Population
from gansweep.search.settings import Settings
from gansweep.search.space import Space

FIRST_SEED = 101
# what a confirmation changes: the seed of the training, and that of the noise it is scored with
FRESH = ("seed", "metrics.noise_seed")


@dataclass(frozen=True)
class Confirmation:
    """One run of one winner under one fresh seed."""

    key: str  # the winning trial's, or member's
    seed: int
    params: dict[str, Any]  # at its end
    runs: list[PlannedRun]  # of one record; several where a population changed the settings
    selection_value: float  # what the trial was picked for
    schedule: list[dict[str, Any]] | None = None  # of a population's member

    @property
    def name(self) -> str:
        return _name(self.key, self.seed)

    @classmethod
    def of(
        cls,
        trial: FrozenTrial,
        segments: Sequence[Segment],
        space: Space,
        seed: int,
        settings: Settings,
    ) -> Confirmation:
        """segments: the settings of the winner over its budget; one for a plain trial."""
        key = key_of(trial)
        ends = [*(segment.kimg for segment in segments[1:]), None]
        runs = [
            PlannedRun(_name(key, seed), _overrides(s.params, space, seed, settings), seed, end)
            for s, end in zip(segments, ends, strict=True)
        ]
        scheduled = "member" in trial.user_attrs
        return cls(
            key=key,
            seed=seed,
            params=segments[-1].params,
            runs=runs,
            selection_value=float(trial.values[0]),
            schedule=[s.entry() for s in segments] if scheduled else None,
        )


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
    params = params_of(winner, space)
    if params is None:
        directory = shlex.quote(f"{settings.runs_dir}/{settings.name}")
        raise UserError(
            f"The study of the sweep {settings.name} has a result of {key_of(winner)}, and not all "
            f"of its parameters: it lost a part. `gansweep repair {directory}` takes what it lacks "
            "from the records of the runs."
        )
    return [Segment(0.0, params, None)]


def params_of(trial: FrozenTrial, space: Space) -> dict[str, Any] | None:
    """key -> value of a trial; None where not all of its parameters were suggested."""
    try:
        return space.suggest(FixedTrial(trial.params))
    except ValueError:
        return None


def group_of(trial: FrozenTrial, space: Space, per: str) -> Any:
    """What a trial has in common with those that it competes with for one place among the winners.

    per: "config", or the key whose value it is; None where the trial has no such key.
    """
    params = params_of(trial, space) or {}
    return params if per == "config" else params.get(per)


def confirmations(
    trials: Sequence[FrozenTrial], space: Space, settings: Settings
) -> list[Confirmation]:
    """Every run that confirms the winners of these trials."""
    found, used = [], searched_seeds(trials, space, settings)
    for trial in winners(trials, space, settings):
        fresh = (seed for seed in itertools.count(FIRST_SEED) if seed not in used)
        segments = _segments(trials, trial, space, settings)
        for seed in itertools.islice(fresh, int(settings.confirm["seeds"])):
            found.append(Confirmation.of(trial, segments, space, seed, settings))
    return found


def searched_seeds(trials: Sequence[FrozenTrial], space: Space, settings: Settings) -> set[int]:
    """The seeds that any of these trials was trained or scored with, as far as the sweep chose
    them: their luck is what the winner may owe its place to."""
    used = {settings.base_seed + i for i in range(settings.seeds)}
    given = (word.lstrip("+").partition("=") for word in settings.overrides)
    used |= {int(value) for key, _, value in given if key in FRESH and value.isdecimal()}
    if set(FRESH).isdisjoint(space.keys()):
        return used
    tried = [params_of(trial, space) or {} for trial in trials]
    return used | {params[key] for params in tried for key in FRESH if key in params}


def confirmation(
    trials: Sequence[FrozenTrial], key: str, seed: int, space: Space, settings: Settings
) -> Confirmation:
    """One run for trial or member `key`, which once was among the winners."""
    trial = next(t for t in by_first_objective(trials, settings) if key_of(t) == key)
    return Confirmation.of(trial, _segments(trials, trial, space, settings), space, seed, settings)


def winners(trials: Sequence[FrozenTrial], space: Space, settings: Settings) -> list[FrozenTrial]:
    """The best `confirm.top` trials that ended well and meet every constraint, best first: one of
    each configuration, or of each value of the key that `confirm.per` names.

    With several objectives they are the Pareto front, or the front of each value of the key: first
    the best in the first objective of every front, then the second best. Of equal trials the
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
