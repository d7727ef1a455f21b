"""Score trained runs again, under any protocol; the scores join the runs' records."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gansweep.callbacks.quality import measured
from gansweep.config import permissions
from gansweep.config.compose import compose, instantiate
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.errors import UserError, nearest, visible
from gansweep.metrics.panel import Panel
from gansweep.metrics.protocol import Score, interval_holds
from gansweep.records.notation import spread_words
from gansweep.records.record import RunRecord, find_records
from gansweep.records.run_config import read_config
from gansweep.records.writer import newest
from gansweep.run.build import build_data, load_checkpoint
from gansweep.run.devices import accelerator as choose_accelerator
from gansweep.run.evaluation import Evaluated, keep

OPTIONS = {"checkpoint": "best", "accelerator": "auto"}
CHOICES = {"checkpoint": ("best", "last"), "accelerator": ("auto", "cpu", "cuda")}


def main(words: Sequence[str]) -> int:
    """Run the verb; 1 where some run could not be scored. A UserError is left to the caller."""
    paths, overrides, options = _read(words)
    records = find_records(paths)
    if not records:
        raise UserError(
            f"No run was found under {', '.join(map(str, paths))}: a run is a directory with a "
            "config.yaml, as 'gansweep train' and 'gansweep sweep' write it."
        )
    evaluation = Evaluation(_metrics(overrides), **options)
    failed = 0
    for number, record in enumerate(records, start=1):
        place = visible(str(record.directory))
        print(f"[{number}/{len(records)}] {place}", flush=True)
        try:
            number = newest(record.directory)
            found = evaluation.score(record)
            _show(found.scores)  # before the record, whose disk may be full
            _keep(record, found, number)
        except (UserError, ValueError) as error:
            if len(records) == 1:
                raise UserError(str(error)) from error
            print(visible(f"gansweep: {place} was left out: {error}"), file=sys.stderr)
            failed += 1
        else:
            print(f"wrote {place}/{record.evaluations_path.name}")
    print(f"next: {shlex.join(['gansweep', 'report', *map(str, paths)])}")
    return 1 if failed else 0


def _read(words: Sequence[str]) -> tuple[list[Path], list[str], dict[str, str]]:
    paths, overrides, options = [], [], dict(OPTIONS)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or Path(word).exists():
            if word.startswith("-"):
                raise UserError(
                    f"'gansweep evaluate' has no flag '{word}'. 'gansweep evaluate --help' lists "
                    "the options."
                )
            paths.append(Path(word))
        elif key == permissions.OPTION:
            permissions.allow_packages(permissions.packages_in(value))
        elif key in OPTIONS:
            if value not in CHOICES[key]:
                raise UserError(
                    f"{word} is not known.{nearest(value, CHOICES[key])} "
                    f"Choose {key}={' or '.join(CHOICES[key])}."
                )
            options[key] = value
        elif key.lstrip("+").split(".")[0] == "metrics":
            overrides.append(word)
        else:
            known = [*OPTIONS, "metrics", permissions.OPTION]
            raise UserError(
                f"'{word}' does not fit 'gansweep evaluate', which keeps a run's model and data."
                f"{nearest(key, known)} Options are: {', '.join(known)}, metrics.KEY."
            )
    if not paths:
        raise UserError("Name a run, as in 'gansweep evaluate runs/digits/dcgan-001'.")
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist: give the directory of a run or of a sweep.")
    return paths, overrides, options


def _metrics(overrides: Sequence[str]) -> DictConfig:
    chosen = any(word.split("=")[0] == "metrics" for word in overrides)
    metrics = compose([*([] if chosen else ["metrics=full"]), *overrides]).metrics
    assert isinstance(metrics, DictConfig)
    if metrics.get("_target_") is None:
        raise UserError("metrics=none measures nothing: choose metrics=full or another.")
    return metrics


class Evaluation:
    """One protocol for many runs; what runs on the same data share is prepared once.

    metrics: a choice of conf/metrics/, composed.
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

        Raises: UserError where the run has no checkpoint, the protocol does not fit its data or
            nothing could be measured; ValueError where its samples cannot be measured.
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
        with _Bar() as bar:
            scores = measured(module, panel, conditions, data, bar.show)
        if not scores:
            raise UserError(f"No score could be measured. {' '.join(panel.notes)}".strip())
        for note in panel.notes:
            print(f"gansweep: {note}", file=sys.stderr)
        return Evaluated(scores, file.name, module.images_seen / 1000)

    def _panel(self, key: str, data: DataSource, conditional: bool) -> Panel:
        if (key, conditional) not in self._panels:
            panel: Panel = instantiate(self.metrics, data=data, conditional=conditional)
            panel.prepare(self.device)
            self._panels[key, conditional] = panel
        return self._panels[key, conditional]


class _Bar(contextlib.AbstractContextManager["_Bar"]):
    """A bar on a terminal; elsewhere nothing, since the results say when they are there."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TimeRemainingColumn(compact=True),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Bar:
        if self._bar.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar.console.is_terminal:  # else its end would be an empty line
            self._bar.stop()

    def show(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
        self._bar.update(self._tasks[stage], completed=done)


def _keep(record: RunRecord, found: Evaluated, number: int) -> None:
    """Add the scores to the run's record.

    number: of the record's newest writer when the checkpoint was read.
    Raises: UserError where it cannot be written, or the run was trained on meanwhile.
    """
    try:
        keep(record, found, number)
    except OSError as error:
        raise UserError(
            f"{record.evaluations_path} cannot be written ({error.strerror}), so the scores above "
            "are in no record. Free some space or change its permissions, then evaluate again."
        ) from error


def _show(scores: Mapping[str, Score]) -> None:
    width = max(map(len, scores))
    for name, score in scores.items():
        if isinstance(score.value, list):
            continue
        spread = spread_words(score.value, score.std, score.interval)
        if " to " in spread:
            holds = interval_holds(score.protocol)
            spread = f" 95 % within {spread}" + (f" ({holds})" if holds else "")
        print(f"  {name:<{width}}  {score.value:.4g} {spread}".rstrip())
