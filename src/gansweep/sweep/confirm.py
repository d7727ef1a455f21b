"""The winners of a sweep, run again with fresh seeds before they are reported.

A sweep picks the best of many noisy numbers, and so its best number flatters. The winners' runs
under other seeds, scored with other noise, are what the leaderboard shows.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial, TrialState

from gansweep.sweep.settings import Settings
from gansweep.sweep.space import Space

FIRST_SEED = 101


@dataclass(frozen=True)
class Confirmation:
    """One run of one winner under one fresh seed."""

    key: str  # the winning trial's
    seed: int
    params: dict[str, Any]
    overrides: list[str]
    selection_value: float  # what the trial was picked for

    @property
    def name(self) -> str:
        return f"c-{self.key}-s{self.seed}"

    @classmethod
    def of(cls, trial: FrozenTrial, space: Space, seed: int, settings: Settings) -> Confirmation:
        params = params_of(trial, space)
        assert params is not None, "a winner has run"
        fresh = {"seed", "metrics.noise_seed"}
        kept = {key: value for key, value in params.items() if key not in fresh}
        n_fake = settings.confirm.get("n_fake")
        sample = [] if n_fake is None else [f"metrics.n_fake={n_fake}"]
        return cls(
            key=trial.user_attrs["key"],
            seed=seed,
            params=params,
            overrides=[
                *(*space.overrides(kept), f"seed={seed}", f"metrics.noise_seed={seed}"),
                *sample,
            ],
            selection_value=float(trial.values[0]),
        )


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
    found = []
    for trial in winners(trials, space, settings):
        used: set[Any] = {settings.base_seed + i for i in range(settings.seeds)}
        used.add((params_of(trial, space) or {}).get("seed"))
        fresh = (seed for seed in itertools.count(FIRST_SEED) if seed not in used)
        for seed in itertools.islice(fresh, int(settings.confirm["seeds"])):
            found.append(Confirmation.of(trial, space, seed, settings))
    return found


def winners(trials: Sequence[FrozenTrial], space: Space, settings: Settings) -> list[FrozenTrial]:
    """The best trials that ran to their end, best first: one per configuration, or per value of
    the key that `confirm.per` names, and `confirm.top` of them."""
    per, objective = str(settings.confirm["per"]), settings.objectives[0]
    best: dict[str, FrozenTrial] = {}
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    for trial in sorted(done, key=lambda t: (objective.sort_key(t.values[0]), t.number)):
        best.setdefault(json.dumps(group_of(trial, space, per), sort_keys=True), trial)
    return list(best.values())[: int(settings.confirm["top"])]
