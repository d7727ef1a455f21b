"""Hyperparameter importance: the share of a trial's rank that each parameter of a sweep decides.

The shares are fANOVA's (Hutter et al. 2014), as `optuna.importance` computes them, of the ranks of
the trials: scores of GANs have outliers that would decide everything. fANOVA does not report that
the parameters explain nothing, so a forest must first predict the ranks of trials that it has not
seen.
"""

from __future__ import annotations

import json
import math
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
    from optuna.distributions import BaseDistribution

MIN_TRIALS = 12
# Of 125 sets of 12 to 40 trials whose outcome was drawn at random, 9 came above 0 and 4 above 0.1.
MIN_EXPLAINED = 0.1
FOLDS = 4
# With 500 trials of 6 parameters 1.3 s; Optuna's 64 trees of depth 64 take 7.9 s for shares that
# differ by 0.001 at most.
TREES, DEPTH = 32, 8
WIDE = 5  # a range that spans a larger ratio is logarithmic
APART = 0.25  # of the range: how far below it "not set" is placed
LARGEST = 1e37  # of a number; larger ones are levels
NOT_SET = "not set"


@dataclass(frozen=True)
class Importance:
    """Shares of the parameters (they sum to 1, largest first), or the reason why there are none.

    explained: R^2 of a forest's ranks on held-out trials.
    with_model: settings that depend on the model alone; the model's share includes them.
    """

    shares: dict[str, float]
    explained: float | None
    n_trials: int
    reason: str
    with_model: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """The values of one parameter among the trials, as Optuna takes them."""

    distribution: BaseDistribution
    values: list[Any]


def hyperparameter_importance(
    runs: Sequence[Run], metric: str, direction: str | None, at: str = "last"
) -> Importance:
    """Importance of each parameter of a sweep.

    Trials that diverged, collapsed or never learned share the last place; pruned, failed and
    unfinished ones are left out.
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
    domains = {name: _domain([trial.params.get(name) for trial in trials]) for name in names}
    explained = _explained(domains, ranks)
    shares = _shares(domains, ranks) if explained >= MIN_EXPLAINED else {}
    if not shares:
        reason = (
            f"{len(trials)} trials do not show how the parameters steer {metric}: a random forest "
            "predicts the ranks of trials it has not seen hardly better than chance."
        )
        return Importance({}, explained, len(trials), reason)
    return Importance(shares, explained, len(trials), "", tuple(names.get("model", [])[1:]))


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


def _domain(values: Sequence[Any]) -> Domain:
    """A parameter that not every trial has keeps its trials: fANOVA takes no gaps, so "not set" is
    one more level, or a number below the range.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    present = [value for value in values if value is not None]
    if not all(map(_is_number, present)):
        spelled = [NOT_SET if v is None else json.dumps(v, default=str) for v in values]
        return Domain(CategoricalDistribution(list(dict.fromkeys(spelled))), spelled)
    low, high = float(min(present)), float(max(present))
    log = low > 0 and high / low >= WIDE
    bottom = low
    if len(present) < len(values):
        width = math.log(high / low) if log else (high - low) or 1.0
        bottom = low * math.exp(-APART * width) if log else low - APART * width
    spread = [bottom if v is None else float(v) for v in values]
    return Domain(FloatDistribution(bottom, high, log=log), spread)


def _is_number(value: Any) -> bool:
    """Whether a forest, which computes in 32 bits, can place the value beside others."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= LARGEST


def _shares(domains: dict[str, Domain], ranks: Sequence[float]) -> dict[str, float]:
    """Optuna's fANOVA of the ranks, largest share first; {} if it finds none."""
    import optuna

    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
    study = optuna.create_study()
    optuna.logging.set_verbosity(loud)
    distributions = {name: domain.distribution for name, domain in domains.items()}
    for place, rank in enumerate(ranks):
        params = {name: domain.values[place] for name, domain in domains.items()}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=rank)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()} if sum(found.values()) else {}


def _explained(domains: dict[str, Domain], ranks: Sequence[float]) -> float:
    """R^2 of a forest's predictions for trials that it has not seen."""
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold, cross_val_predict

    columns: list[list[float]] = []
    for domain in domains.values():
        if any(isinstance(value, str) for value in domain.values):
            levels = dict.fromkeys(domain.values)
            columns += [[float(v == level) for v in domain.values] for level in levels]
        else:
            columns.append(domain.values)
    target = np.array(ranks)
    forest = RandomForestRegressor(100, min_samples_leaf=2, random_state=0)
    folds = KFold(FOLDS, shuffle=True, random_state=0)
    guessed = cross_val_predict(forest, np.array(columns).T, target, cv=folds)
    return 1 - float(((guessed - target) ** 2).sum() / ((target - target.mean()) ** 2).sum())
