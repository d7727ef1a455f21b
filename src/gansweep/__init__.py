"""Experiment tracking and hyperparameter sweeps for GANs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gansweep.cli.sweep_run import run_sweep as sweep
    from gansweep.config.compose import compose as compose
    from gansweep.records.record import RunRecord as RunRecord
    from gansweep.report.frames import runs as runs
    from gansweep.report.page.page import write_report as write_report
    from gansweep.run.build import load_run as load_run
    from gansweep.run.track import track as track
    from gansweep.run.train import train as train

__all__ = ["RunRecord", "compose", "load_run", "runs", "sweep", "track", "train", "write_report"]
_HOMES = {
    "compose": "gansweep.config.compose:compose",
    "train": "gansweep.run.train:train",
    "load_run": "gansweep.run.build:load_run",
    "RunRecord": "gansweep.records.record:RunRecord",
    "runs": "gansweep.report.frames:runs",
    "sweep": "gansweep.cli.sweep_run:run_sweep",
    "track": "gansweep.run.track:track",
    "write_report": "gansweep.report.page.page:write_report",
}


def __getattr__(name: str) -> Any:
    """Import the training stack at the first use, so that `gansweep --help` answers at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gansweep' has no attribute '{name}'")
    from importlib import import_module

    module, _, own = _HOMES[name].partition(":")
    return getattr(import_module(module), own)
