"""Experiment trackers: Lightning's loggers, set up for runs whose clock is images seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytorch_lightning.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from gansweep.config.wandb_login import logged_in_to_wandb
from gansweep.errors import UserError
from gansweep.records.record import RunRecord

if TYPE_CHECKING:
    from PIL import Image

MODES = ("online", "offline", "disabled")


def wandb_logger(
    *,
    directory: Path,
    group: str,
    name: str,
    tags: Sequence[str],
    project: str = "gansweep",
    entity: str | None = None,
    mode: Literal["auto", "online", "offline", "disabled"] = "auto",
) -> Logger:
    """Weights & Biases. "auto" is offline unless the user is logged in; WANDB_MODE overrides it.

    The run's id is drawn at its start and stored in its record. So a continued run stays one run,
    and no two runs share an id.
    """
    import wandb

    if mode == "auto":
        mode = "online" if logged_in_to_wandb() else "offline"
    if os.environ.get("WANDB_MODE") in MODES:
        mode = os.environ["WANDB_MODE"]  # type: ignore[assignment]
    in_sweep = bool(os.environ.get("WANDB_SWEEP_ID"))  # W&B's agent sets project, entity and id
    run = wandb.init(
        project=None if in_sweep else project,
        entity=None if in_sweep else entity,
        id=None if in_sweep else _wandb_id(directory),
        group=group,
        name=name,
        tags=list(tags),
        dir=str(directory),
        mode=mode,
        resume="allow",
        settings=wandb.Settings(silent=mode == "offline", console="off"),
    )
    run.define_metric("kimg")
    run.define_metric("*", step_metric="kimg")
    # if Lightning called wandb.init, it would set an option that wandb warns about
    return WandbLogger(experiment=run)


def _wandb_id(directory: Path) -> str:
    """The run's id; for a run of an older version, the id in the names of W&B's folders."""
    folders = directory.glob("wandb/*run-*-*")
    begun = sorted(folder.name.partition("run-")[2] for folder in folders)
    return RunRecord(directory).tracker_id("wandb", begun[-1].partition("-")[2] if begun else None)


def csv_logger(*, directory: Path, group: str, name: str, tags: Sequence[str]) -> Logger:
    """csv/version_0/metrics.csv in the run's directory; each continuation gets a new version.

    Lightning's logger empties the folder of a version when it opens it.
    """
    return CSVLogger(str(directory), name="csv")


def tensorboard_logger(*, directory: Path, group: str, name: str, tags: Sequence[str]) -> Logger:
    """Event files in the run's directory: `tensorboard --logdir runs` compares all runs."""
    try:
        return TensorBoardLogger(str(directory), name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise UserError(
            "tracker=tensorboard needs another package: pip install 'gansweep[tensorboard]'."
        ) from error


def mlflow_logger(
    *, directory: Path, group: str, name: str, tags: Sequence[str], uri: str | None = None
) -> Logger:
    """MLflow, at a server's `uri` or in a local store beside the runs."""
    try:
        return MLFlowLogger(
            experiment_name=group,
            run_name=name,
            tracking_uri=uri or f"sqlite:///{directory.resolve().parent / 'mlflow.db'}",
            tags={tag: "true" for tag in tags},
        )
    except ModuleNotFoundError as error:
        raise UserError(
            "tracker=mlflow needs another package: pip install 'gansweep[mlflow]'."
        ) from error


def log_scalars(logger: Logger, images_seen: int, row: dict[str, Any]) -> None:
    """Log the numbers of a row at the step `images_seen`."""
    numbers = {k: float(v) for k, v in row.items() if isinstance(v, (int, float))}
    logger.log_metrics(numbers | {"kimg": images_seen / 1000}, step=images_seen)


def log_picture(logger: Logger, name: str, images_seen: int, picture: Image.Image) -> None:
    """Show a picture under a name, as PNG, if the tracker can store pictures."""
    if isinstance(logger, WandbLogger):
        import wandb

        logger.experiment.log({name: wandb.Image(picture), "kimg": images_seen / 1000})
    elif isinstance(logger, TensorBoardLogger):
        import numpy as np

        pixels = np.asarray(picture.convert("RGB"))
        logger.experiment.add_image(name, pixels, images_seen, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        file = f"{name}/{images_seen:09d}.png"
        logger.experiment.log_image(logger.run_id, picture, artifact_file=file)


def alert(logger: Logger, title: str, text: str, severity: str) -> None:
    """Send an alert, if the tracker can.   severity: "warning" or "failure"."""
    if isinstance(logger, WandbLogger):
        level = "ERROR" if severity == "failure" else "WARN"
        logger.experiment.alert(title=title, text=text, level=level)


def finish(logger: Logger, status: str) -> None:
    """Close the tracker's run, so that the next run of this process starts a new one."""
    logger.finalize("success" if status in ("finished", "paused") else "failed")
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()
