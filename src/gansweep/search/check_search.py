"""Whether a search can work, checked before anything is written."""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gansweep.errors import UserError
from gansweep.judging.objective import direction_of_runs, refuse_reversed, refuse_unmeasured
from gansweep.search import samplers
from gansweep.search.domains import Fixed
from gansweep.search.enqueue import BestOf, refuse_too_many, starting_points
from gansweep.search.settings import Settings
from gansweep.search.space import Parameter, Space

POINTS = "gansweep.data.toy."  # the module of data that are points
RULES = "gansweep.callbacks.stop_when_done."  # the module of those that end runs early


def may_change(key: str, declared: Any) -> bool:
    """Whether a run may continue from a checkpoint with another value of the option `key`.

    declared: the `changeable:` block of the run's model, names as in its configuration; "*" is
    every name that is not there, true an option or all that a part holds but its class.
    """
    group, *path = key.split(".")
    if group != "model" or not path or path[-1].startswith("_"):
        return False
    node = declared
    for name in path:
        if not isinstance(node, Mapping):
            break
        node = node.get(name, node.get("*"))
    return node is True


def _keys(node: Any, key: str) -> Iterator[str]:
    """The options that a `changeable:` block allows."""
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from _keys(child, f"{key}.{name}")
    elif node is True:
        yield key


def check_population(settings: Settings, space: Space, base: Any) -> None:
    """Raises: UserError if members could not take over from each other, or would not compare.

    base: the configuration of every member.
    """
    _check_options(settings.population, settings)
    _check_company(settings)
    declared = OmegaConf.select(base, "model.changeable")
    if isinstance(declared, DictConfig):
        declared = OmegaConf.to_container(declared, resolve=True)
    for parameter in space.parameters:
        _check_entry(parameter, declared)
    callbacks = OmegaConf.select(base, "callbacks") or {}
    used = {name: node for name, node in callbacks.items() if node is not None}
    if callbacks and "checkpoint" not in used:
        raise UserError(
            "sweep.sampler.name=population copies checkpoints, and callbacks.checkpoint is "
            "switched off. Leave it in."
        )
    for name, node in used.items():
        if str(node.get("_target_", "")).startswith(RULES):
            raise UserError(
                f"callbacks.{name} ends runs before their budget is spent, and the members of a "
                f"population are compared at one clock. Leave it out with '~callbacks.{name}'."
            )


def _check_options(options: Mapping[str, Any], settings: Settings) -> None:
    every, share = options["every_kimg"], options["share"]
    budget, members = settings.budget_kimg, settings.n_trials
    if every >= budget:
        raise UserError(
            f"sweep.population.every_kimg={every} leaves no time at which members could be "
            f"compared. Use a part of budget_kimg={budget:g}: "
            f"sweep.population.every_kimg={budget / 10:g}, say."
        )
    if share * members + 1e-9 < 1:
        least = max(2, members)
        raise UserError(
            f"sweep.population.share={share} of n_trials={members} members is nobody. Use 1 / "
            f"n_trials or more, as in n_trials={least} "
            f"sweep.population.share={max(0.25, 1 / least):.3g}."
        )
    if not options["factors"]:
        raise UserError(
            "sweep.population.factors=[] are no numbers to multiply by. Use positive ones, as in "
            "'sweep.population.factors=[0.8,1.25]'."
        )


def _check_company(settings: Settings) -> None:
    for option, value, only in (
        ("sweep.seeds", settings.seeds, 1),
        ("sweep.constraints", list(settings.constraints), []),
        ("sweep.pruner.name", settings.pruner["name"], "none"),
        ("sweep.objective.at", settings.objectives[0].at, "last"),
        ("sweep.confirm.per", settings.confirm["per"], "config"),
    ):
        if value != only:
            raise UserError(
                f"{option}={value} does not go with sweep.sampler.name=population, whose members "
                f"replace each other by their latest scores. Use {option}={only}, or another "
                "sampler."
            )
    if len(settings.objectives) > 1:
        raise UserError(
            f"The {len(settings.objectives)} objectives of this sweep put its members in no one "
            "order, by which a population lets the best take over. Use one."
        )


def _check_entry(parameter: Parameter, declared: Any) -> None:
    if parameter.conditions:
        raise UserError(
            f"The search space's entry {parameter}: a population changes settings while it "
            "trains, and in a block they would come and go. Write the entry outside the block, "
            "or use sweep.sampler.name=random."
        )
    if isinstance(parameter.domain, Fixed) or may_change(parameter.key, declared):
        return
    of_data = parameter.key in ("batch_size", "model.batch_size")
    why = "the order of the data depends on it" if of_data else "networks and data depend on it"
    allowed = ", ".join(_keys(declared, "model")) or "nothing: its file has no `changeable:`"
    raise UserError(
        f"The search space's entry {parameter} cannot change while a member trains: {why}. Give it "
        f"one value for all, as in {parameter.key}=VALUE on the command line, or use "
        f"sweep.sampler.name=random. What a population may change of this model: {allowed}."
    )


def as_list(value: Any) -> list[Any]:
    """An option that takes one word or a list of them."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def with_direction(objective: Mapping[str, Any], base: Any) -> dict[str, Any]:
    """`objective` with the direction of an `auto` score, if the configuration says which.

    base: the configuration of a trial.
    """
    metrics, given = objective["metric"], objective["direction"]
    if "auto" not in as_list(metrics) or given != "auto":
        return dict(objective)
    judged_by, scores = (OmegaConf.select(base, k) for k in ("model.judged_by", "metrics.scores"))
    auto = direction_of_runs(judged_by, scores)
    several = [auto if m == "auto" else "auto" for m in metrics]
    return {**objective, "direction": auto if isinstance(metrics, str) else several}


def check_search(
    settings: Settings,
    space: Space,
    base: Any,
    compose: Callable[[list[str]], Any],
    best_of: BestOf,
) -> list[str]:
    """Check the search and fill in the configurations to start with; lines for the user.

    base: the configuration of a trial without the space.   compose: overrides -> configuration.
    best_of: reads the trials of an earlier sweep.
    Raises: UserError if the sampler, the objectives, the constraints or what is enqueued do not
        fit the space or what runs measure.
    """
    samplers.refuse_unfit(settings, space)
    metrics = OmegaConf.select(base, "metrics") or {}
    points = str(OmegaConf.select(base, "data._target_")).startswith(POINTS)
    for objective in settings.objectives:
        refuse_reversed(objective)
        refuse_unmeasured("sweep.objective.metric", objective.metric, metrics, of_points=points)
    for limit in settings.limits:
        refuse_unmeasured("sweep.constraints", limit.metric, metrics, of_points=points)
    directory = Path(settings.runs_dir) / settings.name
    settings.enqueue, skipped = starting_points(
        settings.enqueue, space, compose, directory, best_of
    )
    refuse_too_many(settings)
    return [textwrap.fill(line, 80) for line in [*samplers.remarks(settings, space), *skipped]]
