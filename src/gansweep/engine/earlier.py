"""The best trials of an earlier sweep, for another to begin with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from gansweep.engine.confirm import params_of, winners
from gansweep.engine.study import SweepStudy, latest
from gansweep.records.record import RunRecord
from gansweep.records.run_config import stored_settings
from gansweep.search.enqueue import Earlier


def best_of(earlier: Path) -> Iterator[Earlier]:
    """The trials of a sweep that ran to their end, best first."""
    study = SweepStudy(earlier)
    every = {**study.settings.confirm, "per": "config", "top": study.n_trials}
    settings = replace(study.settings, confirm=every)
    for trial in winners(latest(study.trials), study.space, settings):
        key = trial.user_attrs["key"]
        run = RunRecord(study.run_dir(study.run_names(key)[0]))
        cfg = stored_settings(run) if run.exists else OmegaConf.create()
        yield Earlier(key, params_of(trial, study.space) or {}, cfg)
