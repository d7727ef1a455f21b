"""A small sweep of fake trials, and the processes that work on it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sweep_fakes

from gansweep.sweep.launch import local
from gansweep.sweep.run import run_sweep

SWEEP = """
confirm: {top: 1, seeds: 1}
space:
  model: choice(gan, wgan)
  lr: interval(1, 2)
"""
COMMAND = (  # `gansweep sweep`
    "import sys, sweep_fakes; from gansweep.cli import VERBS, main\n"
    "from gansweep.sweep.run import run_sweep\n"
    "VERBS['sweep'] = lambda words: run_sweep(\n"
    "    words, compose=sweep_fakes.compose, target='sweep_fakes.trial') and 0\n"
    "sys.exit(main(['sweep', *sys.argv[1:]]))"
)


def words_of_a_sweep(folder: Path) -> list[str]:
    """Of four trials and a confirmation run, in FOLDER/runs/s."""
    (folder / "own" / "sweep").mkdir(parents=True)
    (folder / "own" / "sweep" / "mini.yaml").write_text(SWEEP)
    where = ["--config-dir", str(folder / "own"), f"runs_dir={folder / 'runs'}", "name=s"]
    return ["sweep=mini", "n_trials=4", "workers=2", *where]


def sweep(words: list[str]) -> Path:
    """Run a sweep to its end; its directory."""
    return run_sweep(words, compose=sweep_fakes.compose, target="sweep_fakes.trial")


def made(words: list[str]) -> Path:
    """The directory of a sweep that no worker was started for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.LocalLauncher, "run", lambda *_: True)
        return sweep(words)


class Processes:
    """Python processes, killed at the end where they still run."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, *words], stdout=pipe, stderr=pipe, text=True, **options
        )
        self._started.append(process)
        return process

    def sweep(self, words: list[str], **options: Any) -> subprocess.Popen[str]:
        return self("-c", COMMAND, *words, **options)

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def wait_until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return found
