"""Experiment trackers: Lightning's loggers, set up for runs whose clock is images seen.

A tracker calls a score `scores/NAME` and a loss `loss/NAME`. A run has a `label`, which the runs of
one configuration share whatever their seed.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
from gansweep.judging.labels import UNREAD
from gansweep.records.record import ENDED_WELL, RunRecord
from gansweep.records.sheets import as_png, layout_of
from gansweep.records.tracker_ids import tracker_id

if TYPE_CHECKING:
    from gansweep.metrics.protocol import Protocol

MODES = ("online", "offline", "disabled")
BEST_ON_THE_WAY = {"minimize": "min", "maximize": "max"}  # by the direction of a score
MOST_SHEETS = 40  # in the table of a run's samples
LOOKS = "_detect_and_apply_job_inputs"  # of a run of wandb 0.31, when it starts
SWEEP_TAG = "gansweep.sweep"  # of the parent run of a sweep in MLflow


class WandbRun(WandbLogger):
    """A run in W&B. It starts with its first row: to import wandb and to start its service take
    longer than hundreds of steps of a small network.

    start: makes the run.   checkpoint: "best" uploads best.pt as an artifact when the run ends.
    """

    def __init__(
        self, start: Callable[[], Any], directory: Path, checkpoint: Literal["best"] | None
    ) -> None:
        super().__init__()
        self._start: Callable[[], Any] | None = start
        self._params: dict[str, Any] = {}
        self._record = RunRecord(directory)
        self._checkpoint = checkpoint

    @property
    def experiment(self) -> Any:
        """The run of wandb, started now if it has not been.   Raises: as wandb.init."""
        if self._experiment is None and self._start is not None:
            start, self._start = self._start, None  # not once more, if it fails
            # if Lightning called wandb.init, it would set an option that wandb warns about
            self._experiment = start()
            super().log_hyperparams(self._params)
        return self._experiment

    def log_hyperparams(self, params: Mapping[str, Any]) -> None:  # type: ignore[override]
        """Show them beside the run, once it starts."""
        self._params.update(params)

    def close(self) -> None:
        """Add the table of samples and the artifact, and end the run."""
        run = self.experiment
        if run is None:
            return
        with contextlib.suppress(OSError):  # the samples may be removed while it ends
            self._add_samples()
        if self._checkpoint == "best" and self._record.best.exists():
            run.log_artifact(self._record.best, name=f"{run.id}-best", type="model")
        run.finish()

    def _add_samples(self) -> None:
        """A table of the sample sheets: a row for each moment, with its kimg."""
        import wandb
        from PIL import Image

        sheets = self._record.sample_grids()
        every = -(-len(sheets) // MOST_SHEETS) or 1
        chosen = sheets[::-1][::every][::-1]  # the last one is always among them
        if not chosen:
            return
        rows: list[list[Any]] = []
        with tempfile.TemporaryDirectory() as folder:  # W&B copies files as they are when it logs
            for number, (kimg, path) in enumerate(chosen):
                layout = layout_of(path.read_bytes())
                place = Path(folder, f"{number}.png")
                place.write_bytes(as_png(Image.open(path), layout.kind if layout else ""))
                rows.append([kimg, wandb.Image(str(place))])
            table = wandb.Table(columns=["kimg", "samples"], data=[*rows])
            self.experiment.log({"sample_table": table, "kimg": rows[-1][0]})


def wandb_logger(
    *,
    directory: Path,
    group: str,
    name: str,
    tags: Sequence[str],
    role: str = "train",
    project: str = "gansweep",
    entity: str | None = None,
    mode: Literal["auto", "online", "offline", "disabled"] = "auto",
    checkpoint: Literal["best"] | None = None,
) -> Logger:
    """Weights & Biases. "auto" is offline unless the user is logged in; WANDB_MODE overrides it.

    The run's id is drawn at its start and stored in its record. So a continued run stays one run,
    and no two runs share an id, not even a run and its continued copy.
    role: "train", "trial" or "confirm".
    """
    id = _wandb_id(directory, trains=True)

    def start() -> Any:
        run = _wandb_run(
            directory=directory, group=group, name=name, tags=tags, role=role,
            id=id, project=project, entity=entity, mode=mode,
        )  # fmt: skip
        run.define_metric("kimg")
        run.define_metric("*", step_metric="kimg")
        return run

    return WandbRun(start, directory, checkpoint)


def _wandb_run(
    *,
    directory: Path,
    group: str,
    name: str,
    tags: Sequence[str],
    role: str,
    id: str | None,
    project: str = "gansweep",
    entity: str | None = None,
    mode: str = "auto",
) -> Any:
    import wandb

    if mode == "auto":
        mode = "online" if logged_in_to_wandb() else "offline"
    if os.environ.get("WANDB_MODE") in MODES:
        mode = os.environ["WANDB_MODE"]
    in_sweep = bool(os.environ.get("WANDB_SWEEP_ID"))  # W&B's agent sets project, entity and id
    with _without_launch():
        return wandb.init(
            project=None if in_sweep else project,
            entity=None if in_sweep else entity,
            id=None if in_sweep else id,
            group=group,
            job_type=role,
            name=name,
            tags=list(tags),
            dir=str(directory),
            mode=mode,  # type: ignore[arg-type]
            resume="allow",
            settings=wandb.Settings(silent=mode == "offline", console="wrap"),
        )


@contextlib.contextmanager
def _without_launch() -> Iterator[None]:
    """Have wandb not import its Launch, two thirds of its start, to see whether inputs are staged:
    only that module stages any."""
    from wandb.sdk.wandb_run import Run

    look: Any = getattr(Run, LOOKS, None)
    if look is None or "wandb.sdk.launch.inputs.internal" in sys.modules:
        yield
        return
    setattr(Run, LOOKS, lambda run: None)
    try:
        yield
    finally:
        setattr(Run, LOOKS, look)


def _wandb_id(directory: Path, *, trains: bool = False) -> str:
    """The run's id; in a sweep of W&B that of its agent, and for a run of an older version that in
    the names of W&B's folders."""
    folders = directory.glob("wandb/*run-*-*")
    begun = sorted(folder.name.partition("run-")[2] for folder in folders)
    earlier = begun[-1].partition("-")[2] if begun else None
    if trains and os.environ.get("WANDB_SWEEP_ID"):
        earlier = os.environ.get("WANDB_RUN_ID") or earlier
    return tracker_id(RunRecord(directory), "wandb", earlier, trains=trains)


def csv_logger(
    *, directory: Path, group: str, name: str, tags: Sequence[str], role: str = "train"
) -> Logger:
    """csv/version_0/metrics.csv in the run's directory; each continuation gets a new version.

    Lightning's logger empties the folder of a version when it opens it.
    """
    return CSVLogger(str(directory), name="csv")


def tensorboard_logger(
    *, directory: Path, group: str, name: str, tags: Sequence[str], role: str = "train"
) -> Logger:
    """Event files in the run's directory: `tensorboard --logdir runs` compares all runs, and its
    tab HPARAMS shows the settings beside the last scores.
    """
    try:
        return TensorBoardLogger(
            str(directory), name="tensorboard", version="", default_hp_metric=False
        )
    except ModuleNotFoundError as error:
        raise UserError(
            "tracker=tensorboard needs another package: pip install 'gansweep[tensorboard]'."
        ) from error


def mlflow_logger(
    *,
    directory: Path,
    group: str,
    name: str,
    tags: Sequence[str],
    role: str = "train",
    uri: str | None = None,
) -> Logger:
    """MLflow, at a server's `uri` or in a local store beside the runs. The runs of a sweep are
    children of one parent run.
    """
    above = directory.resolve().parent
    store = uri or f"sqlite:///{above / 'mlflow.db'}"
    files = None if uri else (above / "mlflow").as_uri()  # else MLflow makes ./mlruns
    words = {tag: "true" for tag in tags} | {"role": role}
    try:
        logger = MLFlowLogger(
            experiment_name=group,
            run_name=name,
            tracking_uri=store,
            tags=words,
            artifact_location=files,
        )
    except ModuleNotFoundError as error:
        raise UserError(
            "tracker=mlflow needs another package: pip install 'gansweep[mlflow]'."
        ) from error
    if role != "train":
        words["mlflow.parentRunId"] = _parent_run(logger, group, files)
    return logger


def _parent_run(logger: MLFlowLogger, sweep: str, files: str | None) -> str:
    """The id of the sweep's parent run. Where several workers make one, all use the oldest."""
    client: Any = logger._mlflow_client
    experiment = client.get_experiment_by_name(sweep)
    number = experiment.experiment_id if experiment else client.create_experiment(sweep, files)

    def found() -> list[Any]:
        wanted = f"tags.`{SWEEP_TAG}` = '{sweep}'"
        order = ["attributes.start_time ASC", "attributes.run_id ASC"]
        return list(client.search_runs([number], wanted, order_by=order))

    if not found():
        made = client.create_run(number, tags={SWEEP_TAG: sweep}, run_name=sweep).info.run_id
        if (first := found()[0].info.run_id) != made:
            client.delete_run(made)
            return str(first)
    return str(found()[0].info.run_id)


def hyperparameters(settings: Mapping[str, Any], label: str) -> dict[str, Any]:
    """What a tracker shows of a configuration: without what only tests and searches read.

    settings: the resolved configuration.   label: the same for the runs of every seed.
    """
    model = settings.get("model")
    kept = dict(settings)
    if isinstance(model, dict):
        kept["model"] = {k: v for k, v in model.items() if f"model.{k}" not in UNREAD}
    return kept | {"label": label}


def announce(logger: Logger, score: str, protocol: Protocol) -> None:
    """Say which value of a score is the best, before its first value is logged."""
    best = BEST_ON_THE_WAY.get(str(protocol.get("direction")))
    if isinstance(logger, WandbLogger) and best is not None:
        logger.experiment.define_metric(
            f"scores/{score}", step_metric="kimg", summary=f"{best},last"
        )


def log_scalars(
    logger: Logger, images_seen: int, row: Mapping[str, Any], scores: Collection[str] = ()
) -> None:
    """Log the numbers of a row at the step `images_seen`.   scores: which of them are scores."""
    numbers = {
        (f"scores/{k}" if k in scores else k): float(v)
        for k, v in row.items()
        if isinstance(v, (int, float))
    }
    logger.log_metrics(numbers | {"kimg": images_seen / 1000}, step=images_seen)


def log_picture(logger: Logger, name: str, images_seen: int, content: bytes) -> None:
    """Show a picture under a name, if the tracker can store pictures.

    content: a PNG; a tracker keeps it as it is, with its mark.
    """
    if isinstance(logger, TensorBoardLogger):
        _add_png(logger, name, images_seen, content)
    elif isinstance(logger, WandbLogger | MLFlowLogger):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder, f"{images_seen:09d}.png")
            place.write_bytes(content)
            if isinstance(logger, MLFlowLogger):
                logger.experiment.log_artifact(logger.run_id, str(place), name)
                return
            import wandb

            shown = wandb.Image(str(place))  # copied when it is logged
            logger.experiment.log({name: shown, "kimg": images_seen / 1000})


def _add_png(logger: TensorBoardLogger, name: str, images_seen: int, content: bytes) -> None:
    """`add_image` would encode the pixels anew, without the mark."""
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    with Image.open(io.BytesIO(content)) as picture:
        (width, height), channels = picture.size, len(picture.getbands())
    image = Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=content
    )
    summary = Summary(value=[Summary.Value(tag=name, image=image)])
    logger.experiment._get_file_writer().add_summary(summary, images_seen)


def alert(logger: Logger, title: str, text: str, severity: str) -> None:
    """Send an alert, if the tracker can.   severity: "warning" or "failure"."""
    if isinstance(logger, WandbLogger):
        level = "ERROR" if severity == "failure" else "WARN"
        logger.experiment.alert(title=title, text=text, level=level)


def finish(logger: Logger, status: str, scores: Mapping[str, Any]) -> None:
    """Close the tracker's run, so that the next run of this process starts a new one.

    scores: the last value of each.
    """
    if isinstance(logger, TensorBoardLogger):
        last = {f"scores/{k}": v for k, v in scores.items() if isinstance(v, (int, float))}
        logger.log_hyperparams(logger.hparams, last)
    logger.finalize("success" if status in ENDED_WELL or status == "paused" else "failed")
    if isinstance(logger, WandbRun):
        logger.close()


def log_evaluation(
    directory: Path,
    tracker: Mapping[str, Any],
    checkpoint: str,
    kimg: float,
    scores: Mapping[str, Any],
) -> None:
    """Show the scores of an evaluation in W&B beside the run, which it tracks."""
    name = f"{directory.name} {checkpoint}"
    place = {key: tracker[key] for key in ("project", "entity", "mode") if key in tracker}
    run = _wandb_run(
        directory=directory, group=directory.parent.name, name=name,
        tags=list(tracker.get("tags") or ()), role="evaluate", id=None, **place,
    )  # fmt: skip
    run.config.update({"checkpoint": checkpoint, "run": _wandb_id(directory)})
    run.log({"kimg": kimg, **{f"scores/{name}": value for name, value in scores.items()}})
    run.finish()
