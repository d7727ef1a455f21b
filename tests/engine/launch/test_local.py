"""The launcher of this machine: how many workers, with what, and which are given up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gansweep.engine.launch import deaths, kept, local
from gansweep.engine.lease.gpus import GpuShare
from gansweep.errors import UserError


def test_worker_count_follows_gpus_then_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 8)
    monkeypatch.setattr(local, "_free_gib", lambda: 6.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    one = GpuShare()
    assert local.worker_count("auto", 100, one) == 4, "as far as the memory goes"
    assert local.worker_count("auto", 2, one) == 2, "no more than trials"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("PATH", "")  # without nvidia-smi, these are believed
    assert local.worker_count("auto", 100, one) == 2
    assert local.worker_count("auto", 100, one, uses_gpus=False) == 4
    assert local.worker_count("auto", 100, GpuShare(slots=3)) == 6
    assert local.worker_count("auto", 100, GpuShare(per_trial=2)) == 1


def test_each_worker_gets_its_share_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "cores", lambda: 8)
    assert local.LocalLauncher(tmp_path, 2).threads == 4


@pytest.mark.parametrize(
    ("dies", "message"),
    [("kill -SEGV $$", "killed by SIGSEGV; it said nothing"), ("echo no; exit 1", "work: no")],
)
def test_worker_that_always_dies_is_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: str, message: str
) -> None:
    worker_that(dies, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=message):
        local.LocalLauncher(tmp_path, 1).run(lambda: None, every_seconds=0.01)


def worker_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = folder / "python"
    python.write_text(f"#!/bin/sh\ncd {folder}\necho start >> starts\n{does}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(deaths, "BACKOFF_SECONDS", 0.0001)


def test_worker_killed_again_and_again_with_nothing_done_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_that("seq 9; kill -KILL $$", tmp_path, monkeypatch)
    with pytest.raises(UserError, match="killed by SIGKILL; 5\n    6\n    7\n    8\n    9\n"):
        local.LocalLauncher(tmp_path, 1).run(lambda: None, every_seconds=0.01)
    assert len((tmp_path / "starts").read_text().split()) == deaths.FRUITLESS_DEATHS


def test_worker_is_started_as_often_as_it_dies_while_trials_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker_that("[ $(wc -l < starts) -gt 12 ] || kill -KILL $$", tmp_path, monkeypatch)
    progress = iter(range(1, 100))
    monkeypatch.setattr(kept, "ended_trials", lambda _: next(progress))
    assert local.LocalLauncher(tmp_path, 1).run(lambda: None, every_seconds=0.01)
    assert len((tmp_path / "starts").read_text().split()) == 13
