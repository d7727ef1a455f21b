"""What watches a run: its callbacks, each with the tools that it declares, and its tracker."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from gansweep.callbacks.checkpoint import Checkpoint
from gansweep.callbacks.journal import Journal
from gansweep.callbacks.tracking import hyperparameters
from gansweep.config.compose import instantiate
from gansweep.config.environment import without_secrets
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.metrics.panel import Panel


def made_callbacks(cfg: DictConfig) -> list[pl.Callback]:
    """The callbacks of a configuration.   Raises: UserError for one that cannot be made."""
    nodes = [node for node in cfg.callbacks.values() if node is not None]
    return [instantiate(node, extra_packages=cfg.extra_packages) for node in nodes]


def equipped(
    callbacks: Sequence[pl.Callback],
    data: DataSource,
    journal: Journal,
    panel: Panel | None,
    last: Sequence[pl.Callback],
) -> list[pl.Callback]:
    """The callbacks in their order, then `last`; each gets those of the tools that its class
    declares.   panel: None leaves out the callbacks that declare one."""
    tools = {"journal": journal, "panel": panel, "conditions": Conditions(data), "data": data}
    used = [one for one in callbacks if panel is not None or "panel" not in _declared(one)]
    # it keeps the states of the others, and must not come between the numbers of a step
    used.sort(key=lambda callback: isinstance(callback, Checkpoint))
    used += last
    for callback in used:
        for name in _declared(callback) & tools.keys():
            setattr(callback, name, tools[name])
    return used


def _declared(callback: pl.Callback) -> set[str]:
    return {
        name for cls in type(callback).__mro__ for name in cls.__dict__.get("__annotations__", {})
    }


def made_logger(
    cfg: DictConfig, directory: Path, sweep: dict[str, Any] | None, label: str
) -> Logger:
    """The tracker of a configuration.

    directory: of the run.   sweep: the sweep's facts about it.   label: the run's, in words.
    """
    # the user's tags, and those by which runs are most often filtered
    tags = [*cfg.tracker.get("tags", []), str(cfg.choices.model), str(cfg.choices.data)]
    if sweep is not None:
        tags += [str(sweep["name"]), str(sweep["role"])]
    logger: Logger = instantiate(
        cfg.tracker,
        extra_packages=cfg.extra_packages,
        directory=directory,
        group=directory.parent.name,
        name=directory.name,
        tags=tags,
        role="train" if sweep is None else str(sweep["role"]),
    )
    logger.log_hyperparams(hyperparameters(without_secrets(cfg), label))
    return logger
