"""A trial without torch: what a sweep's child runs in the tests of the engine."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gansweep.errors import UserError
from gansweep.records.record import RunRecord, replace_atomically

STEPS = 5
HELD_AT = 2  # steps that a run has saved when it waits while the file HELD names it
HELD = "held"
PROTOCOL = {"score": "fid", "direction": "minimize", "n_fake": 10, "noise_seed": 0}
KEYS = (
    "model",
    "lr",
    "weight",
    "seed",
    "group",
    "name",
    "metrics.noise_seed",
    "metrics.scores",
    "pace",
    "does",
    "trainer.threads",
    "trainer.accelerator",
    "trainer.devices",
)


def composing(of_trials: Callable[[list[str]], dict[str, Any]]) -> Callable[..., Any]:
    """`compose` for sweeps; for trials, what `of_trials` makes of their words."""

    def compose(
        overrides: list[str], config_name: str = "train", config_dir: str | None = None
    ) -> Any:
        if config_name == "sweep":
            from gansweep.config.compose import compose as real

            return real(overrides, config_name=config_name, config_dir=config_dir)
        return OmegaConf.create(of_trials(overrides))

    return compose


def _configuration(overrides: list[str]) -> dict[str, Any]:
    """Of a trial whose words are all of KEYS."""
    for word in overrides:
        key = word.partition("=")[0].lstrip("+")
        if key not in KEYS:
            raise UserError(f"There is no option '{key}'. Did you mean 'lr'?")
    given = values_of(overrides)
    scores = given.get("metrics.scores")
    return {
        "budget_kimg": float(STEPS),
        "seed": 0,
        "choices": {"data": "digits"},
        "metrics": {"scores": scores and [scores]},
        # so that tests without GPUs in mind take none on a machine that has some
        "trainer": {"accelerator": given.get("trainer.accelerator", "cpu")},
    }


compose = composing(_configuration)


def values_of(overrides: list[str]) -> dict[str, str]:
    """The text that each option is given."""
    return dict(word.lstrip("+").split("=", 1) for word in overrides)


def trial(
    overrides: list[str],
    *,
    config_dir: str | None,
    run_dir: Path,
    on_score: Callable[[float, dict[str, float]], bool],
    sweep: dict[str, Any],
) -> None:
    """STEPS scores of `lr`, falling to it from above, one each `pace` seconds; it has a checkpoint,
    saves at SIGTERM, and can be told to fail: does=raise|mistake|out_of_memory|diverge|segfault,
    does=kill|full_disk, to compute without a break: does=hold, or to hear no SIGTERM in its first
    start: does=deaf. With does=told each does what the file `does` beside the sweep says:
    {NAME: HOW, "*": HOW}."""
    given = values_of(overrides)
    record = RunRecord.create(run_dir, "fake: true\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_finish(record, sweep, "interrupted")))
    checkpoint = record.checkpoints / "last.pt"
    note(run_dir / "given", " ".join(overrides))
    note(run_dir / "visible", os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    note(run_dir / "starts", f"{os.getpid()} {done}")
    record.truncate_history(float(done))
    if done == 0:
        record.append({"kimg": 0.0, "seconds": 0.0, "protocol": {"fid_fake": PROTOCOL}})
    _fail(given.get("does", ""), record, sweep)
    value = score_at(done, given) if done else 0.0
    for step in range(done + 1, STEPS + 1):
        time.sleep(float(given.get("pace", 0)))
        value = score_at(step, given)
        record.append({"kimg": float(step), "seconds": float(step), "fid_fake": value})
        replace_atomically(checkpoint, str(step).encode())
        if on_score(float(step), {"fid_fake": value}):
            _finish(record, sweep, "pruned", value)
            return
        if step == HELD_AT:
            _wait_while_held(run_dir)
    _finish(record, sweep, "finished", value)


def score_at(step: int, given: dict[str, str]) -> float:
    return float(given["lr"]) * (1 + 1 / step) + int(given.get("seed", 0)) / 1000


def _wait_while_held(run_dir: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        while run_dir.name in (run_dir.parents[1] / HELD).read_text().split():
            time.sleep(0.02)


class OutOfMemoryError(RuntimeError):
    """Named as PyTorch's."""


def _fail(how: str, record: RunRecord, sweep: dict[str, Any]) -> None:
    if how == "told":
        told = json.loads((record.directory.parents[1] / "does").read_text())
        how = told.get(record.directory.name, told.get("*", ""))
    if how.startswith("raise"):
        beside = how.removeprefix("raise").strip()  # "raise t0001": once that trial has begun
        while beside and not (record.directory.parent / beside / "starts").exists():
            time.sleep(0.02)
        raise RuntimeError("out of ideas")
    if how == "mistake":
        raise UserError(f"{record.directory} wants another batch_size. Use batch_size=8.")
    if how == "full_disk":
        raise UserError("No space is left.") from OSError(errno.ENOSPC, "No space left on device")
    if how == "out_of_memory":
        raise OutOfMemoryError("Tried to allocate 20.00 GiB")
    if how == "slow":
        time.sleep(60)
    if how in ("segfault", "kill"):
        print("\n".join(f"line {i}" for i in range(100)), flush=True)
        os.kill(os.getpid(), signal.SIGSEGV if how == "segfault" else signal.SIGKILL)
    if how == "hold":
        sum(range(10**10))  # for minutes within one call: no handler and no thread can run
    starts = (record.directory / "starts").read_text().splitlines()
    if how == "deaf" and len(starts) == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        time.sleep(600)
    if how == "diverge":
        _finish(record, sweep, "diverged")
        sys.exit(0)


def _finish(
    record: RunRecord, sweep: dict[str, Any], status: str, value: float | None = None
) -> int:
    last = {} if value is None else {"fid_fake": {"value": value, "kimg": float(STEPS)}}
    best = {} if value is None else {"fid_fake": {"value": value / 2, "kimg": 1.0}}
    record.write_result(
        {
            "status": status,
            "reason": "",
            "last": last,
            "best": best,
            "protocols": {"fid_fake": PROTOCOL},
            "sweep": sweep,
        }
    )
    if status in ("finished", "pruned"):
        note(record.directory / "ends", status)
    return 0


def note(path: Path, line: str) -> None:
    """Add a line to a file."""
    with open(path, "a") as file:
        file.write(line + "\n")
