"""Sweeps that nobody reads: closed outputs, pipes whose reader has gone, a log without space."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_processes import COMMAND, words_of_a_sweep

from gansweep.engine.launch import local
from gansweep.engine.launch.deaths import EXIT_USER_ERROR, obituary
from gansweep.errors import UserError


@pytest.mark.slow
def test_sweep_whose_outputs_are_closed_runs_to_its_end(
    tmp_path: Path, importable_fakes: None
) -> None:
    words = [sys.executable, *COMMAND, *words_of_a_sweep(tmp_path, "n_trials=1")]
    closed = subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *words])
    assert closed.returncode == 0
    assert (tmp_path / "runs" / "s" / "leaderboard.json").exists()


@pytest.mark.parametrize("error", [BrokenPipeError, UserError, OSError])
def test_workers_save_where_the_view_of_them_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    saved, ready = tmp_path / "saved", tmp_path / "ready"
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\ntrap 'echo yes >{saved}; exit 75' TERM\necho >{ready}\n"
        "while :; do sleep 0.05; done\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    def tick() -> None:
        if ready.exists():
            raise error

    with pytest.raises(error):
        local.LocalLauncher(tmp_path, 1).run(tick, every_seconds=0.01)
    assert saved.read_text() == "yes\n"


def test_worker_that_has_no_space_for_a_word_is_reported(tmp_path: Path) -> None:
    log = tmp_path / "w0.log"
    said = str(obituary("w0", log, EXIT_USER_ERROR))
    assert "w0.log exists and its disk has space" in said
    assert "it said nothing" in str(obituary("w0", log, -signal.SIGSEGV))
