"""When a job's script puts its job back into the queue; its worker and SLURM are stood in for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from gansweep.engine.launch.slurm import SCRIPT

WARNED = "kill -USR1 $$"  # a set-up line, which the script's own shell runs
MAX_RETRIES = 2


def made(program: Path, text: str) -> Path:
    program.write_text(f"#!/bin/bash\n{text}\n")
    program.chmod(0o755)
    return program


def start(folder: Path, *setup: str, worker: str) -> tuple[str, int]:
    """Run the script once; what it said, and how often its job was put back so far."""
    (folder / "workers").mkdir(exist_ok=True)
    requeues = folder / "requeues"
    made(folder / "scontrol", f"echo $2 >>{requeues}")
    python = made(folder / "python", worker)
    where = {"PATH": f"{folder}:{os.environ['PATH']}"}
    job = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(
        ["bash", str(SCRIPT), str(python), str(folder), str(MAX_RETRIES), *setup],
        env={**os.environ, **where, **job},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.stdout, len(requeues.read_text().splitlines()) if requeues.exists() else 0


def test_job_that_saves_before_its_limit_goes_back_however_often(tmp_path: Path) -> None:
    warned = "kill -USR1 $PPID; exec sleep 60"  # the script then sends it USR1
    for times in range(1, MAX_RETRIES + 3):
        said, requeues = start(tmp_path, worker=warned)
        assert "saved before its time limit" in said
        assert requeues == times


def test_job_whose_set_up_lasts_until_the_limit_is_given_up(tmp_path: Path) -> None:
    reported = [start(tmp_path, WARNED, worker="exit 1") for _ in range(MAX_RETRIES + 1)]
    assert [requeues for _, requeues in reported] == [1, 2, 2]
    assert "is given up: its set-up left no time to train" in reported[-1][0]
    assert (tmp_path / "workers" / "slurm-7_0.exit").read_text() == "75\n"
