"""Score the checkpoints of trained runs, and add the scores to the runs' records."""

from __future__ import annotations

import contextlib
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gansweep.callbacks.quality import measure_all
from gansweep.config.compose import instantiate
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.errors import DivergedError, UserError, folded, tell, visible
from gansweep.metrics.cache import say
from gansweep.metrics.panel import Panel
from gansweep.metrics.panel import Progress as StageProgress
from gansweep.metrics.protocol import Score, interval_holds
from gansweep.metrics.scores.held_out import HeldOut
from gansweep.records.notation import aligned, spread_words
from gansweep.records.record import RunRecord
from gansweep.records.run_config import read_config
from gansweep.records.writer import newest
from gansweep.run.build import build_data, load_checkpoint
from gansweep.run.devices import accelerator as choose_accelerator
from gansweep.run.memory import keep_freed_memory
from gansweep.run.origin import now


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Scores by name, and the file and clock of the checkpoint that was measured."""

    scores: dict[str, Score]
    checkpoint: str
    kimg: float


def evaluate(evaluation: Evaluation, records: Sequence[RunRecord]) -> int:
    """Score the runs and add the scores to their records.

    Returns: how many runs could not be scored.
    Raises: UserError if there is only one run and it could not be scored.
    """
    keep_freed_memory()
    failed = 0
    for number, record in enumerate(records, start=1):
        place = visible(str(record.directory))
        print(f"[{number}/{len(records)}] {place}", flush=True)
        try:
            writer = newest(record.directory)
            found = evaluation.score(record)
            show(found.scores)  # before writing, since the disk may be full
            keep(record, found, writer)
            _show_in_tracker(record, found)
        except ValueError as error:
            if len(records) == 1:
                if isinstance(error, DivergedError):
                    raise UserError(str(error)) from error
                raise
            tell(f"gansweep: {place} was left out: {error}")
            failed += 1
        else:
            print(f"wrote {place}/{record.evaluations_path.name}")
    return failed


def _show_in_tracker(record: RunRecord, found: Evaluated) -> None:
    """Log the scores beside the run, if it is tracked by W&B. They are in the record already, so
    a tracker that fails is only reported."""
    tracker = read_config(record).tracker
    if not str(tracker.get("_target_")).endswith(".wandb_logger"):
        return
    from gansweep.callbacks.tracking import log_evaluation

    values = {k: s.value for k, s in found.scores.items() if not isinstance(s.value, list)}
    try:
        log_evaluation(record.directory, tracker, found.checkpoint, found.kimg, values)
    except Exception as error:
        tell(f"gansweep: Weights & Biases did not take the scores: {error}")


class Evaluation:
    """One protocol for many runs; runs on the same data share what is prepared for it.

    metrics: a composed choice of conf/metrics/.
    checkpoint: "best" by a run's objective, or "last".   accelerator: "auto", "cpu" or "cuda".
    """

    def __init__(
        self, metrics: DictConfig, checkpoint: str = "best", accelerator: str = "auto"
    ) -> None:
        self.metrics = metrics
        self.checkpoint = checkpoint
        self.device = torch.device(choose_accelerator(accelerator))
        self._data: dict[str, tuple[DataSource, Conditions]] = {}
        self._panels: dict[tuple[str, bool], Panel] = {}

    def score(self, record: RunRecord) -> Evaluated:
        """Score one run's checkpoint.

        Raises: UserError if the run has no checkpoint, the protocol does not fit its data or no
            score could be measured; DivergedError if its samples are not finite or not images.
        """
        cfg = read_config(record)
        key = OmegaConf.to_yaml(cfg.data)
        if key not in self._data:
            data = build_data(cfg)
            self._data[key] = data, Conditions(data)
        data, conditions = self._data[key]
        module, file = load_checkpoint(record, cfg, data, self.checkpoint)
        module.to(self.device)
        panel = self._panel(key, data, module.conditional)
        with _bar() as show_stage:
            scores = measure_all(module, panel, conditions, data, show_stage)
        if not scores:
            raise UserError(f"No score could be measured. {' '.join(panel.notes)}".strip())
        for note in panel.notes:
            tell(f"gansweep: {note}")
        return Evaluated(scores, file.name, module.images_seen / 1000)

    def _panel(self, key: str, data: DataSource, conditional: bool) -> Panel:
        if (key, conditional) not in self._panels:
            panel: Panel = instantiate(self.metrics, data=data, conditional=conditional)
            panel.prepare(self.device)
            self._panels[key, conditional] = panel
        return self._panels[key, conditional]


@contextlib.contextmanager
def _bar() -> Iterator[StageProgress]:
    """A progress bar on a terminal; nothing elsewhere."""
    bar = Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeRemainingColumn(compact=True),
        console=Console(file=sys.stderr),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done)

    with bar if bar.console.is_terminal else contextlib.nullcontext():
        yield show


def keep(
    record: RunRecord, found: Evaluated, writer: int, note: Mapping[str, Any] | None = None
) -> None:
    """Add the scores to the run's record.

    writer: number of the record's newest writer when the checkpoint was read.
    note: what it was made for, if it was for more than to be looked at.
    Raises: UserError if it cannot be written, or if the run has been continued since.
    """
    row = {
        "when": now(),
        "checkpoint": found.checkpoint,
        "kimg": found.kimg,
        "scores": {name: score.numbers() for name, score in found.scores.items()},
        "protocols": {name: score.protocol for name, score in found.scores.items()},
        **({} if note is None else {"note": dict(note)}),
    }
    try:
        record.append_evaluation(row, writer)
    except OSError as error:
        raise UserError(
            f"{record.evaluations_path} cannot be written ({error.strerror}), so the scores are "
            "not saved. Free some space or change its permissions, then evaluate again."
        ) from error


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
    writer = newest(record.directory)
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
    keep(record, Evaluated(scores, path.name, module.images_seen / 1000), writer)
    values = ", ".join(f"{name} {score.value:.4g}" for name, score in scores.items())
    say(f"test split, {path.name} at {module.images_seen / 1000:g} kimg: {values}")


def show(scores: Mapping[str, Score]) -> None:
    """Print a line for each score, and below them what the intervals are for."""
    rows, notes = [], []
    for name, score in scores.items():
        if isinstance(score.value, list):
            continue
        spread = spread_words(score.value, score.std, score.interval)
        if " to " in spread:
            spread = f"95 % within {spread}"
            if holds := interval_holds(score.protocol):
                notes.append(f"The interval of {name} is for {holds}.")
        rows.append((name, f"{score.value:.4g}", spread))
    # as wide as its rows: a narrower table would be cut
    width = sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))
    print(*(f"  {line}" for line in aligned(rows, width=width)), sep="\n")
    for note in notes:
        print(textwrap.indent(folded(note, 78), "  "))
