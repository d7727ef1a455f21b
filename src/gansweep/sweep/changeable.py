"""What a population may change while its members train, and what must not be combined with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from gansweep.errors import UserError
from gansweep.sweep.domains import Fixed
from gansweep.sweep.settings import Settings
from gansweep.sweep.space import Parameter, Space

# Of an optimizer: what its state does not depend on. Momentum of 0 keeps no state, for one.
OPTIMIZER = ("lr", "betas", "eps", "weight_decay", "alpha")
# Options of a model that its losses and turns read anew at each step, and no network is built by;
# all that end in _weight are such too.
OPTIONS = (
    *("n_critic", "ema_kimg", "clip_grad_norm", "weight_clip", "penalty_interval"),
    *("feature_matching", "adversarial", "path_interval", "path_decay", "mixing"),
    *("gamma", "lambda_k", "beta", "input_noise"),
)
PARTS = ("penalties", "augment", "loss", "top_k", "lr_schedule")  # with the numbers in them
MAY_CHANGE = (
    "the optimizers' lr, betas, eps and weight_decay, the numbers of penalties, losses, "
    "augmentation and schedules, weights, n_critic, ema_kimg, clip_grad_norm, weight_clip"
)
RULES = ("StopAtEquilibrium", "StopOnPlateau")


def is_changeable(key: str) -> bool:
    """Whether a run may go on from a checkpoint with another value of the option `key`."""
    group, *path = key.split(".")
    if group != "model" or not path or path[-1].startswith("_"):
        return False
    if path[0] == "optimizer":
        return len(path) == 3 and path[2] in OPTIMIZER
    if len(path) == 1:
        return path[0] in OPTIONS or path[0].endswith("_weight")
    # what ADA starts with is part of its state soon
    return path[0] in PARTS and path != ["augment", "start"]


def check_population(settings: Settings, space: Space, base: Any) -> None:
    """Raises: UserError where members could not take over from each other, or would not compare.

    base: the configuration of every member.
    """
    _check_options(settings.population, settings)
    _check_company(settings)
    for parameter in space.parameters:
        _check_entry(parameter)
    callbacks = OmegaConf.select(base, "callbacks") or {}
    targets = {
        name: str(node.get("_target_", "")) for name, node in callbacks.items() if node is not None
    }
    if callbacks and "checkpoint" not in targets:
        raise UserError(
            "sweep.sampler.name=population copies checkpoints, and callbacks.checkpoint is "
            "switched off. Leave it in."
        )
    for name, target in targets.items():
        if target.endswith(RULES):
            raise UserError(
                f"callbacks.{name} ends runs before their budget is spent, and the members of a "
                f"population are compared at one clock. Leave it out with '~callbacks.{name}'."
            )


def _check_options(options: Mapping[str, Any], settings: Settings) -> None:
    every, share = options["every_kimg"], options["share"]
    if every >= settings.budget_kimg:
        raise UserError(
            f"sweep.population.every_kimg={every} leaves no time at which members could be "
            f"compared. Use a part of budget_kimg={settings.budget_kimg:g}: "
            f"sweep.population.every_kimg={settings.budget_kimg / 10:g}, say."
        )
    if share * settings.n_trials + 1e-9 < 1:
        least = max(2, settings.n_trials)
        raise UserError(
            f"sweep.population.share={share} of n_trials={settings.n_trials} members is nobody. "
            "Use 1 / n_trials or more, as in "
            f"n_trials={least} sweep.population.share={max(0.25, 1 / least):.3g}."
        )
    factors = options["factors"]
    if not factors:
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


def _check_entry(parameter: Parameter) -> None:
    if parameter.conditions:
        raise UserError(
            f"The search space's entry {parameter}: a population changes settings while it "
            "trains, and in a block they would come and go. Write the entry outside the block, "
            "or use sweep.sampler.name=random."
        )
    if isinstance(parameter.domain, Fixed) or is_changeable(parameter.key):
        return
    why = "networks and data were made with it"
    if parameter.key in ("batch_size", "model.batch_size"):
        why = "the order of the data goes by it"
    raise UserError(
        f"The search space's entry {parameter} cannot change while a member trains: {why}. Give it "
        f"one value for all, as in {parameter.key}=VALUE on the command line, or use "
        f"sweep.sampler.name=random. What a population may change: {MAY_CHANGE}."
    )
