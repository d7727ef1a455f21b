"""A worker without work leaves its GPU to others, and takes one again when there is work."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_programs import put_on_path
from processes import Processes, said_by, wait_until
from sweep_processes import (
    FORKED_WORKER,
    UNCONFIRMED,
    held,
    made,
    wait_until_held,
    words_of_a_sweep,
)

from gansweep.engine.lease.gpus import GpuShare, take_gpus, visible_gpus
from gansweep.engine.lease.workers import IDLE, workers_of

pytestmark = pytest.mark.usefixtures("importable_fakes")

A, B = "GPU-aaaa0000-1111", "GPU-bbbb0000-2222"
LISTING = f"GPU 0: NVIDIA H100 (UUID: {A})\nGPU 1: NVIDIA H100 (UUID: {B})\n"


@pytest.fixture(autouse=True)
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = f"#!/bin/sh\ncat <<'END'\n{LISTING}END\n"
    put_on_path(tmp_path / "bin", {"nvidia-smi": listing}, monkeypatch)
    monkeypatch.setenv("GANSWEEP_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_idle_worker_gives_its_gpu_back_and_takes_another_for_a_trial_that_is_left_to_it(
    tmp_path: Path, processes: Processes
) -> None:
    more = ["trainer.accelerator=auto", "n_trials=2", UNCONFIRMED]
    directory = made(words_of_a_sweep(tmp_path, *more))
    run, hold = directory / "t0000", held(tmp_path, "t0000")

    first = processes.forked(*FORKED_WORKER, str(directory), "--name", "first")
    wait_until_held(directory, "t0000")
    second = processes.forked(*FORKED_WORKER, str(directory), "--name", "second")
    wait_until((directory / "t0001" / "ends").exists)
    ours = wait_until(lambda: take_gpus(visible_gpus(), GpuShare(), directory))
    assert ours.names == [B]
    (idle,) = (w for w in workers_of(directory) if w.worker == "second")
    assert (idle.doing, idle.gpus) == (IDLE, None)

    first.kill()
    first.wait()
    wait_until(lambda: len((run / "visible").read_text().split()) == 2)
    hold.unlink()
    said = said_by(second)
    assert second.returncode == 0, said
    ours.release()
    assert (run / "visible").read_text().split() == [A, A], "by whoever: the other one was ours"
    assert (directory / "t0001" / "visible").read_text().split() == [B]
