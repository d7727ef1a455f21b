"""The winners of a sweep, run again with fresh seeds before they are reported.

A sweep picks the best of many noisy numbers, and so its best number flatters. The winners' runs
under other seeds, scored with other noise, are what the leaderboard shows.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FixedTrial, FrozenTrial, TrialState

from gansweep.record import RunRecord, replace_atomically
from gansweep.sweep.objective import Objective
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
    def of(cls, trial: FrozenTrial, space: Space, seed: int, objective: Objective) -> Confirmation:
        params = params_of(trial, space)
        fresh = {"seed", "metrics.noise_seed"}
        kept = {key: value for key, value in params.items() if key not in fresh}
        return cls(
            key=trial.user_attrs["key"],
            seed=seed,
            params=params,
            overrides=[*space.overrides(kept), f"seed={seed}", f"metrics.noise_seed={seed}"],
            selection_value=float(trial.value or 0.0),
        )


def params_of(trial: FrozenTrial, space: Space) -> dict[str, Any]:
    """key -> value of a trial whose parameters were all suggested."""
    return space.suggest(FixedTrial(trial.params))


def confirmations(
    trials: Sequence[FrozenTrial], space: Space, objective: Objective, settings: Settings
) -> list[Confirmation]:
    """Every run that confirms the winners of these trials."""
    found = []
    for trial in winners(trials, space, objective, settings):
        used = {settings.base_seed, params_of(trial, space).get("seed")}
        fresh = (seed for seed in itertools.count(FIRST_SEED) if seed not in used)
        for seed in itertools.islice(fresh, int(settings.confirm["seeds"])):
            found.append(Confirmation.of(trial, space, seed, objective))
    return found


def winners(
    trials: Sequence[FrozenTrial], space: Space, objective: Objective, settings: Settings
) -> list[FrozenTrial]:
    """The best trials that ran to their end, best first: one per configuration, or per value of
    the key that `confirm.per` names, and `confirm.top` of them."""
    per = str(settings.confirm["per"])
    best: dict[str, FrozenTrial] = {}
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    for trial in sorted(done, key=lambda t: (objective.sort_key(t.value or 0.0), t.number)):
        params = params_of(trial, space)
        group = params if per == "config" else params.get(per)
        best.setdefault(json.dumps(group, sort_keys=True), trial)
    return list(best.values())[: int(settings.confirm["top"])]


def write_leaderboard(
    directory: Path,
    settings: Settings,
    objective: Objective,
    runs: Sequence[Confirmation],
) -> Path | None:
    """leaderboard.json: the winners by the mean over their fresh seeds; None without winners.

    Configurations of which every seed ran to its end come first: a mean over the survivors alone
    would reward those that often fail.
    """
    rows = []
    for key in dict.fromkeys(run.key for run in runs):
        row = _row(directory, objective, [run for run in runs if run.key == key])
        if row is not None:
            rows.append(row)
    if not rows:
        return None
    rows.sort(key=lambda row: (row["n_failed"] > 0, objective.sort_key(row["mean"])))
    content = {
        "sweep": settings.name,
        "objective": {"metric": objective.metric, "direction": objective.direction},
        "read_at": objective.at,
        "rows": [{"rank": rank, **row} for rank, row in enumerate(rows, start=1)],
    }
    path = directory / "leaderboard.json"
    replace_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
    return path


def _row(
    directory: Path, objective: Objective, runs: Sequence[Confirmation]
) -> dict[str, Any] | None:
    values: list[float] = []
    used: list[str] = []
    name, protocol, model = "", {}, ""
    for run in runs:
        result = RunRecord(directory / run.name).result() or {}
        score = (
            objective.read(result) if result.get("status") in ("finished", "equilibrium") else None
        )
        if score is not None:
            name, value = score
            values.append(value)
            used.append(run.name)
            protocol = (result.get("protocols") or {}).get(name, {})
            model = result.get("model", run.params.get("model", ""))
    if not values:
        return None
    return {
        "model": model,
        "trial": runs[0].key,
        "params": runs[0].params,
        "score": name,
        "protocol": {k: v for k, v in protocol.items() if k != "noise_seed"},
        "mean": statistics.fmean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,  # of the sample, n - 1
        "n_seeds": len(values),
        "n_failed": len(runs) - len(values),
        "values": values,
        "runs": used,
        "selection_value": runs[0].selection_value,
    }
