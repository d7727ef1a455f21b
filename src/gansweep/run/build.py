"""Builds the data and the model of a configuration, with initial or with trained weights."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from gansweep.callbacks.checkpoint import named, read_checkpoint
from gansweep.config.compose import instantiate, model_node
from gansweep.config.options import check_options
from gansweep.data.source import DataSource
from gansweep.errors import UserError, tell
from gansweep.models.adversarial import Adversarial
from gansweep.records.record import RunRecord
from gansweep.records.run_config import read_config
from gansweep.run.exported import is_export, load_exported


def load_run(
    directory: str | Path, which: str = "best", *, extra_packages: Sequence[str] = ()
) -> tuple[Adversarial, DictConfig]:
    """The trained model of a run or of an exported folder, on the CPU, and its configuration.

    which: "best" by the run's objective, or "last".
    extra_packages: your packages whose classes the run's configuration may use.
    Raises: UserError if there is no run, or its checkpoint is missing or damaged.
    """
    if is_export(Path(directory)):
        return load_exported(Path(directory), extra_packages)[:2]
    record = RunRecord(directory)
    cfg = read_config(record, extra_packages)
    module, _ = load_checkpoint(record, cfg, build_data(cfg, prepared=False), which)
    return module, cfg


def load_checkpoint(
    record: RunRecord, cfg: DictConfig, data: DataSource, which: str
) -> tuple[Adversarial, Path]:
    """The model of `cfg` with a checkpoint's weights, and the path of that checkpoint.

    which: "best" or "last". Without a best checkpoint (no scores), "best" is the last one.
    Raises: UserError if the checkpoint is missing or damaged, or does not fit the data any more.
    """
    path = named(record, which)
    checkpoint = read_checkpoint(path)
    module = build_model(cfg, data)
    load_networks(module, checkpoint, data, record)
    return module, path


def load_networks(
    model: Adversarial, checkpoint: Mapping[str, Any], data: DataSource, record: RunRecord
) -> None:
    """The networks of a run's checkpoint.

    Raises: UserError where the configuration and the data, as they are now, build other networks,
        or give the numbers that a model learnt to other classes.
    """
    learnt = checkpoint.get("class_names")  # an older one has none
    by_class = model.conditional or model.needs_labels or data.normal_class is not None
    now = list(data.class_names or [])
    if by_class and learnt is not None and list(learnt) != now:
        raise UserError(
            f"{record.directory} was trained on the classes {_shown(learnt)}, and data="
            f"{data.name} has {_shown(now)} now: what it learnt as one class "
            "would be taken for another. Restore the folders of the classes, or start a new run."
        )
    try:
        model.load_networks(checkpoint["game"])
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{record.directory} has other networks than its configuration and its data build now "
            f"({reason}). Undo changes of model. and data. options and of the images (a class "
            "more, colour where all were grey), or start a new run."
        ) from error


def refuse_wider_move(model: Adversarial) -> None:
    """Raises: UserError for a game that no run begins with; those that have begun go on."""
    if model.generator_batch > 1 and model.compares_samples:
        raise UserError(
            f"model.generator_batch={model.generator_batch}: this discriminator weighs a sample "
            "against all of its batch, and the generator's fakes would have more beside them than "
            "those that it learns from. Use model.generator_batch=1, or leave "
            "term=minibatch_discrimination out."
        )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def build_data(cfg: DictConfig, *, prepared: bool = True) -> DataSource:
    """The data of a configuration.

    prepared: false leaves out what only training needs first: files may be absent until they are
        read.

    Raises: UserError for options of the data or the model that do not exist, as in a record of
        another version or a configuration that was changed in Python.
    """
    if not cfg.data.get("_target_"):
        raise UserError(
            "This is an exported model: the images that it was trained on are not in it. Use the "
            "run itself for what needs them."
        )
    check_options(cfg, ("data", "model"))
    data: DataSource = instantiate(cfg.data, extra_packages=cfg.extra_packages)
    if prepared:
        data.prepare()
    return data


def build_model(cfg: DictConfig, data: DataSource) -> Adversarial:
    """The model with initial weights, which depend only on the seed.

    Raises: UserError if the model does not fit the data or its options.
    """
    random.seed(cfg.seed)
    np.random.seed(cfg.seed % 2**32)
    torch.manual_seed(cfg.seed)
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
            f"data.n_labels={data.n_labels} hides most labels, but this model needs them all. "
            "Use model=sgan or model=sgan_feature_matching, or data.n_labels=null."
        )
    if model.needs_pairs and not data.is_paired("train"):
        raise UserError(
            f"This model learns from pairs, but the sources and images of data={data.name} are "
            "not paired. Use data=paired (or data=paired_folders), or model=cyclegan, which "
            "learns without pairs."
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
    labels = data.labels_of("train") if model.draws_classes else None
    if labels is not None:
        model.class_ends = labels.bincount(minlength=len(model.class_ends)).cumsum(0)
    model.class_names = data.class_names
    model.budget_kimg = cfg.budget_kimg
    return model


def report_unused_options(overrides: Sequence[str]) -> None:
    """Report options of image networks on the command line of a run with points."""
    for word in overrides:
        key = word.lstrip("+~").split("=")[0]
        if key.startswith(("model.generator.", "model.discriminator.")):
            fix = key.replace("model.", "model.points.", 1)
            tell(f"gansweep: {key} has no effect on points: use {fix}.")
