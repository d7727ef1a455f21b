"""Whether a search can work, seen before anything is written, and what to say of it once."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gansweep.judging.objective import direction_of_runs, refuse_unmeasured
from gansweep.search import samplers
from gansweep.search.enqueue import BestOf, refuse_too_many, starting_points
from gansweep.search.settings import Settings
from gansweep.search.space import Space


def as_list(value: Any) -> list[Any]:
    """An option that takes one word or a list of them."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def with_direction(objective: Mapping[str, Any], base: Any) -> dict[str, Any]:
    """`objective` with the direction of an `auto` score, where the configuration tells it.

    base: the configuration of a trial.
    """
    metrics, given = objective["metric"], objective["direction"]
    if "auto" not in as_list(metrics) or given != "auto":
        return dict(objective)
    auto = direction_of_runs(
        OmegaConf.select(base, "model.judged_by"), OmegaConf.select(base, "metrics.scores")
    )
    if isinstance(metrics, str):
        return {**objective, "direction": auto}
    return {**objective, "direction": [auto if m == "auto" else "auto" for m in metrics]}


def settle_search(
    settings: Settings,
    space: Space,
    base: Any,
    compose: Callable[[list[str]], Any],
    best_of: BestOf,
) -> list[str]:
    """Check the search and fill in the configurations to start with; lines for the user.

    base: the configuration of a trial without the space.   compose: overrides -> configuration.
    best_of: reads the trials of an earlier sweep.
    Raises: UserError where the sampler, the objectives, the constraints or what is enqueued do not
        fit the space or what runs measure.
    """
    samplers.refuse_unfit(settings, space)
    metrics = OmegaConf.select(base, "metrics") or {}
    for objective in settings.objectives:
        refuse_unmeasured("sweep.objective.metric", objective.metric, metrics)
    for limit in settings.limits:
        refuse_unmeasured("sweep.constraints", limit.metric, metrics)
    directory = Path(settings.runs_dir) / settings.name
    settings.enqueue, skipped = starting_points(
        settings.enqueue, space, compose, directory, best_of
    )
    refuse_too_many(settings)
    return [textwrap.fill(line, 80) for line in [*samplers.remarks(settings, space), *skipped]]
