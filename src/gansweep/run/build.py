"""The data and the model that a configuration describes, fresh or out of a finished run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config.compose import instantiate, model_node
from gansweep.config.options import check_options
from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.records.record import RunRecord
from gansweep.records.run_config import read_config


def load_run(
    directory: str | Path, which: str = "best", *, extra_packages: Sequence[str] = ()
) -> tuple[Adversarial, DictConfig]:
    """The trained model of a run, on the CPU, and its configuration.

    which: "best" by the run's objective, or "last".
    extra_packages: of yours, whose classes the run may name.
    """
    record = RunRecord(directory)
    cfg = read_config(record, extra_packages)
    module, _ = load_checkpoint(record, cfg, build_data(cfg), which)
    return module, cfg


def load_checkpoint(
    record: RunRecord, cfg: DictConfig, data: DataSource, which: str
) -> tuple[Adversarial, Path]:
    """The model that `cfg` describes with a checkpoint's weights, and the file they came from.

    which: "best", which is the last one where the run scored nothing, or "last".
    """
    path = record.checkpoints / f"{which}.pt"
    if which == "best" and not path.exists():
        path = record.checkpoints / "last.pt"
    checkpoint = read_checkpoint(path)
    module = build_model(cfg, data)
    module.load_networks(checkpoint["game"])
    return module, path


def build_data(cfg: DictConfig) -> DataSource:
    """Raises: UserError where an option of the data or the model is not taken: a record's may not
    be, or that of a configuration which was changed in Python."""
    check_options(cfg, ("data", "model"))
    data: DataSource = instantiate(cfg.data, extra_packages=cfg.extra_packages)
    data.prepare()
    return data


def build_model(cfg: DictConfig, data: DataSource) -> Adversarial:
    """The model with its initial weights, which follow from the seed alone."""
    _seed_everything(cfg.seed)
    node = model_node(cfg, data.is_points)
    model: Adversarial = instantiate(
        node,
        extra_packages=cfg.extra_packages,
        sample_shape=tuple(data.shape),
        n_classes=data.n_classes,
        source_shape=data.source_shape,
    )
    if data.n_labels is not None and not model.uses_labelled:
        raise UserError(
            f"data.n_labels={data.n_labels} hides labels, and this model cannot learn from a few. "
            "Use model=sgan or model=sgan_feature_matching, or data.n_labels=null."
        )
    if model.needs_pairs and not data.is_paired("train"):
        raise UserError(
            "This model learns from pairs, and the training sources of data="
            f"{data.name} are no counterparts of its images. Use data=paired (or "
            "data=paired_folders), or model=cyclegan, which learns without pairs."
        )
    if model.accumulate > 1 and not model.sliceable:
        raise UserError(
            f"model.accumulate={model.accumulate} would change what this model learns: its losses "
            "compare the samples of a whole batch. Use accumulate=1 and a smaller batch_size."
        )
    for player, make_optimizer in model.optimizer_makers.items():
        try:
            make_optimizer([torch.nn.Parameter(torch.zeros(1))])
        except (TypeError, ValueError) as error:
            raise UserError(f"model.optimizer.{player} cannot be built: {error}.") from error
    model.budget_kimg = cfg.budget_kimg
    return model


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
