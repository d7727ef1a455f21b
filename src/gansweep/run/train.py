"""Trains one run: builds data, model, scores and callbacks, and writes the result."""

import logging
import math
import os
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.plugins.environments import LightningEnvironment

from gansweep.callbacks.checkpoint import last_intact, restore_rng
from gansweep.callbacks.end_of_run import EndOfRun
from gansweep.callbacks.journal import Journal, OnScore
from gansweep.callbacks.progress import ProgressBar
from gansweep.callbacks.takeover import take_over
from gansweep.callbacks.tracking import finish
from gansweep.config.compose import words_of
from gansweep.config.environment import variables_of, without_secrets
from gansweep.config.options import check_options
from gansweep.config.permissions import allow_packages, allow_variables
from gansweep.config.targets import resolved
from gansweep.errors import UserError, tell
from gansweep.metrics.features.classifier import comes_with_gansweep
from gansweep.metrics.panel import Panel
from gansweep.models.distributed import GameDDPStrategy, Ranks, report_ready
from gansweep.models.draws import Draws
from gansweep.models.feed import Feed
from gansweep.records.record import ENDED, ENDED_WELL, RunRecord, Source, claim_new, disk_error
from gansweep.records.run_config import read_config, revisions_of
from gansweep.records.writer import Claim, SupersededError, holds_nothing
from gansweep.run.build import (
    build_data,
    build_model,
    load_networks,
    refuse_wider_move,
    report_unused_options,
)
from gansweep.run.compiling import CompileIfFaster
from gansweep.run.devices import accelerator, check_precision, device_count
from gansweep.run.early import check_batch_size
from gansweep.run.evaluate import report_test
from gansweep.run.initial import begin_with, in_words
from gansweep.run.memory import keep_freed_memory
from gansweep.run.opening import opening
from gansweep.run.origin import now
from gansweep.run.result import Account
from gansweep.run.resume import refuse_other_scores, refuse_to_erase, seen_kimg, sweep_of
from gansweep.run.scores import build_panel
from gansweep.run.trainer import made_trainer, take_steps_together
from gansweep.run.watchers import equipped, made_callbacks, made_logger

# Lightning enables a check of the GPU driver at every optimizer step. Without a GPU it costs more
# than the step of a small network.
os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"

NOISE_OFFSET = 10_000_019  # the noise must not use the seed of the initial weights


def train(
    cfg: DictConfig,
    *,
    run_dir: str | Path | None = None,
    on_score: OnScore | None = None,
    sweep: dict[str, Any] | None = None,
    progress: bool = True,
    overrides: Sequence[str] | None = None,
    config_dir: str | Path | None = None,
    until_kimg: float | None = None,
    source: Source | None = None,
    stem: str | None = None,
) -> dict[str, Any]:
    """Train one GAN and return the content of its result.json, and its `directory`.

    cfg: from `gansweep.compose`.   progress: show a progress bar or lines.
    run_dir: of the record, by default RUNS_DIR/GROUP/NAME. With a checkpoint the run is continued
        exactly; where no step is left, what its result states stays as it is. The history of a
        run without one is not erased: a UserError says so.
    on_score: called with (kimg, {score: value}) after each evaluation; True prunes the run.
    sweep: the sweep's facts about this run, stored with the result.
    overrides, config_dir: what `cfg` was made from, for the command that runs it again. `compose`
        remembers them; of a `cfg` that was changed since they are unknown.
    until_kimg: the run saves its checkpoint and pauses there, if given; schedules use the budget.
    source: another run's checkpoint, from which this run continues.
    stem: of the new directory's name where `cfg.name` is null; None: the model's name.
    Raises: UserError for anything that the user can fix, before anything is written.
    """
    if overrides is None:
        overrides, config_dir = words_of(cfg) or (None, config_dir)
    run = _Run(cfg, on_score, sweep, progress, overrides, config_dir, until_kimg, source, stem)
    return run.go(Path(run_dir) if run_dir is not None else None)


def join_ranks(run_dir: str, until_kimg: str) -> None:
    """The entry of the second and later processes of a data-parallel run."""
    cfg = read_config(RunRecord(run_dir))
    run = _Run(cfg, progress=False, until_kimg=float(until_kimg))
    report_ready()
    run.follow(Path(run_dir))


@dataclass
class _Run:
    """The objects of one run, from the configuration to the result."""

    cfg: DictConfig
    on_score: OnScore | None = None
    sweep: dict[str, Any] | None = None
    progress: bool = True
    overrides: Sequence[str] | None = None
    config_dir: str | Path | None = None
    until_kimg: float | None = None
    source: Source | None = None
    stem: str | None = None

    def __post_init__(self) -> None:
        cfg = self.cfg
        check_options(cfg)  # it may have been changed after it was composed
        started = now()
        keep_freed_memory()
        if cfg.trainer.threads is not None:
            torch.set_num_threads(cfg.trainer.threads)
        self.accelerator = accelerator(cfg.trainer.accelerator)
        self.world = device_count(cfg.trainer.devices, self.accelerator)
        check_batch_size(cfg.batch_size, self.world, cfg.model.accumulate)
        check_precision(cfg.trainer.precision, self.accelerator)
        self.data = build_data(cfg)
        if self.data.is_points and self.progress:
            report_unused_options(self.overrides or ())
        self.model = build_model(cfg, self.data)
        self.model.until_kimg = math.inf if self.until_kimg is None else self.until_kimg
        if cfg.trainer.precision == "64-true":
            self.model.double()  # before a checkpoint with doubles is loaded
        where, made_from = (self.accelerator, self.world), (self.overrides, self.config_dir)
        self.account = Account(cfg, self.model, *where, started, self.sweep, *made_from)
        self.feed = Feed(self.data, self.model, cfg)
        self.data.check_sizes(cfg.batch_size, self.world)
        self.callbacks = made_callbacks(cfg)
        if (tracker := cfg.tracker.get("_target_")) is not None:
            resolved(str(tracker), cfg.extra_packages)

    def go(self, run_dir: Path | None) -> dict[str, Any]:
        """Train in `run_dir` or in a new directory, and return what `train` does.

        If an error ends the run before it has recorded anything, a new directory is removed.
        """
        if "LOCAL_RANK" in os.environ:
            raise UserError(
                "LOCAL_RANK is set, as by torchrun, but gansweep starts the processes of a "
                "data-parallel run itself. Run the command once, without torchrun, with "
                "trainer=ddp or trainer.devices=N."
            )
        panel = self._panel()
        directory = run_dir or Path(self.cfg.runs_dir)
        try:
            if run_dir is None:
                record, claim = claim_new(
                    self.cfg.runs_dir,
                    self.cfg.group or str(self.cfg.choices.data),
                    self.cfg.name,
                    self.stem or str(self.cfg.choices.model),
                )
            else:
                run_dir.mkdir(parents=True, exist_ok=True)
                record = RunRecord(run_dir)
                claim = record.claimed()
            directory = record.directory
            with claim:
                result = self._go(record, claim, panel, is_new=run_dir is None)
                return result | {"directory": str(directory)}
        except OSError as error:
            explained = disk_error(error, directory)
            if explained is None:
                raise  # our mistake
            raise explained from error

    def _go(
        self, record: RunRecord, claim: Claim, panel: Panel | None, *, is_new: bool
    ) -> dict[str, Any]:
        is_ours = is_new and holds_nothing(record.directory)
        try:
            # a trial without a checkpoint starts anew, a member of a population with other weights
            if self.sweep is None and self.source is None:
                refuse_to_erase(record)
            if self.source is not None:
                take_over(record, self.source)
            checkpoint, before = self._begin(record), record.result() or {}
            if checkpoint is not None and not len(self.feed) and before.get("status") in ENDED:
                return before  # how it ended, its scores and its speed stay
            if self.sweep is None:
                self.account.sweep = sweep_of(before, self.cfg.budget_kimg)
            if checkpoint is not None and panel is not None:
                panel.prepare(torch.device(self.accelerator))
                refuse_other_scores(checkpoint["journal"]["protocols"], panel.names())
            content = OmegaConf.to_yaml(without_secrets(self.cfg))
            made = RunRecord.create(record.directory, content)
            return self._train(made, panel, checkpoint)
        except (OSError, UserError) as error:
            known = isinstance(error, UserError) or disk_error(error, record.directory) is not None
            if known and is_ours and not record.last.exists() and not seen_kimg(record):
                claim.discard()  # there is nothing to continue and nothing to look at
            raise

    def _begin(self, record: RunRecord) -> dict[str, Any] | None:
        """Load the networks from the last checkpoint and return it; None if there is none yet: then
        the run begins, with the weights of `init`, if given."""
        checkpoint = self._checkpoint(record)
        if checkpoint is None:
            refuse_wider_move(self.model)
            self.model.begin_on(self.data)
        if self.cfg.get("init") is None:
            return checkpoint
        before = (record.result() or {}).get("init")
        self.account.init = before
        if checkpoint is None:
            self.account.init = begin_with(self.model, str(self.cfg.init))
        return checkpoint

    def _checkpoint(self, record: RunRecord) -> dict[str, Any] | None:
        """Load the networks from the last checkpoint and return it; None if there is none yet."""
        checkpoint = last_intact(record, or_anew=self.sweep is not None)
        if checkpoint is None:
            return None
        load_networks(self.model, checkpoint, self.data, record)
        self.account.images_before = self.model.images_seen
        if self.source is None:  # else the checkpoint is another member's of the same sweep
            self.account.revisions = revisions_of(record)
        return checkpoint

    def follow(self, run_dir: Path) -> None:
        """Train and score together with the main process, without writing anything."""
        record = RunRecord(run_dir)
        checkpoint = self._begin(record)
        if self.account.init != (record.result() or {}).get("init"):  # each process reads the file
            raise UserError(
                f"The checkpoint of init={self.cfg.init} changed while the processes read it. "
                "Give the command again, best with a run that has ended."
            )
        watchers = self._watchers(Journal(None, None), self._panel())
        shared = [c for c in watchers if getattr(c, "on_every_process", isinstance(c, EndOfRun))]
        self._fit(shared, checkpoint, run_dir)

    def _train(
        self, record: RunRecord, panel: Panel | None, checkpoint: dict[str, Any] | None
    ) -> dict[str, Any]:
        logger = None
        if self.cfg.tracker.get("_target_") is not None:
            label = self.account.label()
            logger = made_logger(self.cfg, record.directory, self.sweep, label)
        journal = Journal(record, logger, on_score=self.on_score)
        record.truncate_history(self.model.images_seen / 1000)
        if checkpoint is not None:
            journal.load(checkpoint["journal"])
        record.write_result(self.account.result(record.directory, journal, "running", ""))
        if self.progress:
            kimg = self.model.images_seen / 1000
            parameters, scheduled = self.account.parameters(), self.account.scheduled()
            init = in_words(self.account.init) if self.account.init and checkpoint is None else ""
            tell(opening(self.cfg, self.overrides, parameters, kimg, scheduled, init))
        status, reason = "finished", "the budget was spent"
        try:
            if self.world > 1:  # the other processes read the configuration from the record
                allow_packages(self.cfg.extra_packages)
                allow_variables(variables_of(without_secrets(self.cfg)))
            if len(self.feed):
                words = (str(record.directory), str(self.model.until_kimg))
                with Ranks(self.world, "gansweep.run.train:join_ranks", *words):
                    self._fit(self._watchers(journal, panel), checkpoint, record.directory)
            if self.model.paused:
                status, reason = "paused", f"continues from {self.model.until_kimg:g} kimg"
            elif self.model.images_seen < self.feed.budget_images:
                reason = "a callback or a limit of the trainer ended it before its budget was spent"
            status, reason = journal.verdict or (status, reason)
            if panel is not None and status in ENDED_WELL:
                report_test(record, self.cfg, self.data, panel, self.model.device)
        except (KeyboardInterrupt, SystemExit):
            status, reason = "interrupted", "interrupted at once"
            raise KeyboardInterrupt from None  # Lightning turns it into a plain exit
        except SupersededError:
            status = ""  # the record belongs to another process now
            raise
        except BaseException as error:
            status, reason = "failed", f"{type(error).__name__}: {error}"
            record.write(record.traceback_path, traceback.format_exc().encode())
            raise
        finally:
            try:
                if status:
                    journal.flush()
                    result = self.account.result(record.directory, journal, status, reason)
                    record.write_result(result)
            finally:
                if logger is not None and status:
                    finish(logger, status, {k: v["value"] for k, v in journal.last.items()})
        return result

    def _panel(self) -> Panel | None:
        """Ready to score where it may be refused: for want of weights, or for a weak classifier.
        What comes with gansweep is loaded at the first evaluation."""
        panel = build_panel(self.cfg, self.data, self.model.conditional)
        if panel is None or panel.backbone_choice is None:
            return panel
        if panel.backbone_choice != "classifier" or not comes_with_gansweep(self.data):
            panel.prepare(torch.device(self.accelerator))
        return panel

    def _watchers(self, journal: Journal, panel: Panel | None) -> list[pl.Callback]:
        bar = [ProgressBar(self.cfg.budget_kimg)] if self.progress else []
        return equipped(self.callbacks, self.data, journal, panel, [*bar, EndOfRun()])

    def _fit(
        self, callbacks: list[pl.Callback], checkpoint: dict[str, Any] | None, directory: Path
    ) -> None:
        # its notes repeat what our own lines say
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        compiling = []
        if self.cfg.trainer.compile == "auto":
            compiling = [CompileIfFaster(self.feed, self.account, tells=self.progress)]
        elif self.cfg.trainer.compile:
            self.model.compile_networks()
        trainer = made_trainer(
            self.cfg.trainer,
            directory,
            accelerator=self.accelerator,
            devices=self.world,
            strategy=GameDDPStrategy() if self.world > 1 else "auto",
            plugins=[LightningEnvironment()],  # also in a SLURM job we start the processes
            precision=self.cfg.trainer.precision,
            max_epochs=1,
            logger=False,
            callbacks=[*callbacks, _Start(self, checkpoint), *compiling],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        with warnings.catch_warnings():
            # Lightning 2.6 on torch 2.15
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            # with SLURM installed: we start the processes ourselves
            warnings.filterwarnings("ignore", "The `srun` command is available", UserWarning)
            trainer.fit(self.model, train_dataloaders=self.feed)


class _Start(pl.Callback):
    """Sets or restores random states and optimizers, once the device and the optimizers exist."""

    def __init__(self, run: _Run, checkpoint: dict[str, Any] | None) -> None:
        self.run = run
        self.checkpoint = checkpoint

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Lightning starts to iterate before it calls the hooks of training
        self.run.feed.rank, self.run.feed.world = trainer.global_rank, trainer.world_size
        take_steps_together(trainer, self.run.feed, self.run.cfg.trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Create the noise; for a continued run restore the state of the checkpoint."""
        model, rank, world = self.run.model, trainer.global_rank, trainer.world_size
        model.draws = Draws(self.run.cfg.seed + NOISE_OFFSET, model.device, rank, world)
        if self.checkpoint is not None:
            model.load_optimizers(self.checkpoint["game"])
            restore_rng(self.checkpoint["rng"])
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                state = self.checkpoint["callbacks"].get(callback.state_key)
                if state:
                    callback.load_state_dict(state)
