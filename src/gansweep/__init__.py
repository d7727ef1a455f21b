"""Experiment tracking and hyperparameter sweeps for GANs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gansweep.config.compose import compose as compose
    from gansweep.records.record import RunRecord as RunRecord
    from gansweep.run.build import load_run as load_run
    from gansweep.run.train import train as train

_HOMES = {
    "compose": "gansweep.config.compose",
    "train": "gansweep.run.train",
    "load_run": "gansweep.run.build",
    "RunRecord": "gansweep.records.record",
}


def __getattr__(name: str) -> Any:
    """Import the training stack at the first use, so that `gansweep --help` answers at once."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gansweep' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
