"""Signals, commands and copies at the worst moment."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from sweep_processes import made, words_of_a_sweep

from gansweep.sweep import worker as working
from gansweep.sweep.worker import EXIT_STOPPED, Worker


@pytest.fixture(autouse=True)
def fakes_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def test_request_to_stop_counts_that_comes_while_the_marks_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made([*words_of_a_sweep(tmp_path), "n_trials=1"])
    handled = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}

    def looked_at(_: Path) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    monkeypatch.setattr(working, "is_cancelled", looked_at)
    worker = Worker(directory, "w")
    try:
        assert worker.run() == EXIT_STOPPED
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
    assert not (directory / "t0000").exists()
