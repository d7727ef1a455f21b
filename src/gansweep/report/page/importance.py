"""Hyperparameter importance: how strongly each parameter of a sweep decides a trial's rank.

A random forest predicts the rank of a trial's score from its parameters. A parameter's importance
is the rise of the error on held-out trials when its value is exchanged for those of other trials
that have it (permutation importance, Breiman 2001). Kept in place of `optuna.importance`, whose
fANOVA leaves out conditional parameters, whose PED-ANOVA ranks useless ones first in small sweeps,
and neither of which reports that the parameters explain nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gansweep.judging.labels import parameters
from gansweep.judging.ranking import lower_is_better
from gansweep.judging.statuses import FAILED_TRAINING
from gansweep.judging.trials import Trial, trials_of
from gansweep.records.notation import plural
from gansweep.records.read import Run

if TYPE_CHECKING:
    import numpy as np

MIN_TRIALS = 12
# Of 125 sets of 12 to 40 trials whose outcome was drawn at random, 9 came above 0 and 4 above 0.1.
MIN_EXPLAINED = 0.1
FOLDS = 4


@dataclass(frozen=True)
class Importance:
    """Shares of the parameters (they sum to 1, largest first), or the reason why there are none.

    explained: R^2 of the forest's ranks on held-out trials.
    with_model: settings that depend on the model alone; the model's share includes them.
    """

    shares: dict[str, float]
    explained: float | None
    n_trials: int
    reason: str
    with_model: tuple[str, ...] = ()


def hyperparameter_importance(
    runs: Sequence[Run], metric: str, direction: str | None, at: str = "last"
) -> Importance:
    """Importance of each parameter of a sweep.

    Trials that diverged, collapsed or never learned share the last place; pruned, failed and
    unfinished ones are left out. A conditional parameter is exchanged only among the trials that
    have it.
    """
    ranks, trials = _ranked_trials(runs, metric, direction, at)
    names = parameters([trial.params for trial in trials])
    if len(trials) < MIN_TRIALS:
        reason = (
            f"{plural(len(trials), 'trial')} with an outcome: too few to tell parameters apart "
            f"(at least {MIN_TRIALS} are needed)."
        )
        return Importance({}, None, len(trials), reason)
    if not names or len(set(ranks)) < 2:
        reason = "The trials do not differ in their parameters or in their outcome."
        return Importance({}, None, len(trials), reason)
    explained, losses = _permute(trials, ranks, names)
    total = sum(losses.values())
    if explained < MIN_EXPLAINED or total <= 0:
        reason = (
            f"{len(trials)} trials do not show how the parameters steer {metric}: a random forest "
            "predicts the ranks of trials it has not seen hardly better than chance."
        )
        return Importance({}, explained, len(trials), reason)
    shares = {name: loss / total for name, loss in losses.items()}
    ordered = dict(sorted(shares.items(), key=lambda item: -item[1]))
    with_model = tuple(names.get("model", [])[1:])
    return Importance(ordered, explained, len(trials), "", with_model)


def _ranked_trials(
    runs: Sequence[Run], metric: str, direction: str | None, at: str
) -> tuple[list[float], list[Trial]]:
    """Ranks from 0 (best), ties averaged, and their trials."""
    scored = []
    for trial in trials_of(runs):
        value = trial.value(metric, at)
        if trial.status in FAILED_TRAINING:
            scored.append((float("inf"), trial))
        elif trial.complete and value is not None:
            scored.append((lower_is_better(value, direction), trial))
    if not scored:
        return [], []
    from scipy.stats import rankdata

    ranks = rankdata([value for value, _ in scored]) - 1
    return ranks.tolist(), [trial for _, trial in scored]


def _encode(
    trials: list[Trial], names: dict[str, list[str]]
) -> tuple[np.ndarray, dict[str, slice]]:
    """(trials, columns), and the columns of each parameter with the settings that go with it.

    A number is one column (a tree sees its order alone, so it needs no logarithm); another type has
    one column for each level; a parameter that not every trial has gets one more column.
    """
    import numpy as np

    columns: list[list[float]] = []
    places = {}
    for name, group in names.items():
        start = len(columns)
        for key in group:
            columns += _columns([trial.params.get(key) for trial in trials])
        places[name] = slice(start, len(columns))
    return np.array(columns).T, places


def _columns(values: list[Any]) -> list[list[float]]:
    present = [value for value in values if value is not None]
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in present):
        # A missing number becomes the lowest one; the column of absence marks it.
        columns = [[float(min(present) if v is None else v) for v in values]]
    else:
        levels = dict.fromkeys(json.dumps(value, default=str) for value in present)
        spelled = [json.dumps(value, default=str) for value in values]
        columns = [[float(level == s) for s in spelled] for level in levels]
    if len(present) < len(values):
        columns.append([float(value is None) for value in values])
    return columns


def _permute(
    trials: list[Trial], ranks: list[float], names: dict[str, list[str]]
) -> tuple[float, dict[str, float]]:
    """R^2 on held-out trials, and the rise of the squared error for each parameter."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    inputs, places = _encode(trials, names)
    target = np.array(ranks)
    error = 0.0
    losses = dict.fromkeys(names, 0.0)
    for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(inputs):
        forest = RandomForestRegressor(100, min_samples_leaf=2, random_state=0)
        forest.fit(inputs[train], target[train])
        fold = float(((forest.predict(inputs[test]) - target[test]) ** 2).sum())
        error += fold
        for name in names:
            having = [i for i in range(len(trials)) if trials[i].params.get(name) is not None]
            rows = [i for i in test if i in set(having)]
            # each held-out trial with the parameter gets every value that the parameter takes
            exchanged = np.repeat(inputs[rows], len(having), axis=0)
            exchanged[:, places[name]] = np.tile(inputs[having][:, places[name]], (len(rows), 1))
            if rows:
                wrong = (forest.predict(exchanged) - np.repeat(target[rows], len(having))) ** 2
                kept = (forest.predict(inputs[rows]) - target[rows]) ** 2
                losses[name] += float(wrong.sum() / len(having) - kept.sum())
    explained = 1 - error / float(((target - target.mean()) ** 2).sum())
    return explained, {name: max(loss, 0.0) for name, loss in losses.items()}
