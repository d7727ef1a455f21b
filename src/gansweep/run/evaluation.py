"""Adds the scores of a checkpoint to its run's record."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.metrics.cache import say
from gansweep.metrics.panel import Panel
from gansweep.metrics.protocol import Score
from gansweep.metrics.scores.held_out import HeldOut
from gansweep.records.record import RunRecord
from gansweep.records.writer import newest
from gansweep.run.build import load_checkpoint
from gansweep.run.origin import now


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Scores by name, and the file and clock of the checkpoint that was measured."""

    scores: dict[str, Score]
    checkpoint: str
    kimg: float


def keep(record: RunRecord, found: Evaluated, number: int) -> None:
    """Add the scores to the run's record.

    number: of the record's newest writer when the checkpoint was read.
    Raises: OSError if it cannot be written; SupersededError if the run has been continued since.
    """
    record.append_evaluation(
        {
            "when": now(),
            "checkpoint": found.checkpoint,
            "kimg": found.kimg,
            "scores": {name: score.numbers() for name, score in found.scores.items()},
            "protocols": {name: score.protocol for name, score in found.scores.items()},
        },
        number,
    )


def report_test(
    record: RunRecord, cfg: DictConfig, data: DataSource, panel: Panel, device: torch.device
) -> None:
    """Measure the best checkpoint's answers for the test split, once, after a run has ended.

    The best checkpoint was chosen without the test images. The scores go to the record's
    evaluations and to one line on stderr. Does nothing if the model gives no answers for held-out
    samples.
    """
    if not data.n_test:
        return
    number = newest(record.directory)
    try:
        module, path = load_checkpoint(record, cfg, data, "best")
    except UserError:
        return  # the run has no intact checkpoint
    held_out = HeldOut(data, "test", panel.n_held_out)
    try:
        scores = held_out.score(module.to(device).answers, device, panel.backbone)
    except ValueError as error:
        say(f"the test split was not measured: {error}")
        return
    if not scores:
        return
    keep(record, Evaluated(scores, path.name, module.images_seen / 1000), number)
    values = ", ".join(f"{name} {score.value:.4g}" for name, score in scores.items())
    say(f"test split, {path.name} at {module.images_seen / 1000:g} kimg: {values}")
