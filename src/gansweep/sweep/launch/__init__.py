"""What starts workers, and keeps them running: chosen by `launcher=`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol


class Launcher(Protocol):
    """Starts the workers of a sweep."""

    def run(self, tick: Callable[[], None]) -> bool:
        """Until all is done: True; or until stopped by a signal: False. Calls `tick` meanwhile.

        Raises: UserError where the workers cannot work, with what they said.
        """


def make_launcher(directory: Path, options: Mapping[str, Any], workers: int) -> Launcher:
    """The launcher that `options`, a file of conf/launcher/, names."""
    from gansweep.sweep.launch.local import LocalLauncher

    return LocalLauncher(directory, workers)
