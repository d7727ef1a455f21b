"""A population's member without torch: a GAN whose weights are one number, its loss another."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from sweep_fakes import PROTOCOL, composing, note, values_of

from gansweep.records.record import RunRecord, Source, replace_atomically

BUDGET = 8
RATE = "model.optimizer.generator.lr"


def _configuration(overrides: list[str]) -> dict[str, Any]:
    """Of every member, with the callbacks that the words name, and the checkpoint's."""
    watching = [word.partition(".")[2] for word in overrides if word.startswith("callbacks.")]
    callbacks = OmegaConf.from_dotlist(watching)
    if "~callbacks.checkpoint" not in overrides:
        callbacks.checkpoint = {"_target_": "gansweep.callbacks.checkpoint.Checkpoint"}
    return {
        "budget_kimg": float(BUDGET),
        "seed": 0,
        "choices": {"data": "digits"},
        "metrics": {"scores": None},
        "model": {"changeable": {"optimizer": {"*": {"lr": True}}}},
        "callbacks": callbacks or {"other": {"_target_": "other"}},
    }


compose = composing(_configuration)


def trial(
    overrides: list[str],
    *,
    config_dir: str | None,
    run_dir: Path,
    on_score: Callable[[float, dict[str, float]], bool],
    sweep: dict[str, Any],
    until_kimg: float | None = None,
    source: Source | None = None,
) -> None:
    """Each kimg the weight goes from 1 towards 0 by the share lr of it, and is its own score.

    Its checkpoint holds the weight, the clock and every rate that brought the weight there.
    does=diverge:MEMBER:KIMG has a member diverge there; does=die has every child that takes weights
    over killed before, while and after it does; pace= are the seconds of a kimg.
    """
    given = values_of(overrides)
    record = RunRecord.create(run_dir, "fake: true\n")
    last = record.checkpoints / "last.pt"
    note(run_dir / "starts", f"{os.getpid()} {source.run if source else '-'}")
    dies = given.get("does") == "die"
    if source is not None:
        _die_once(run_dir, f"{sweep['key']}-before", dies)
        replace_atomically(last, source.checkpoint.read_bytes())
        _die_once(run_dir, f"{sweep['key']}-while", dies)
        record.truncate_history(json.loads(last.read_bytes())["kimg"])
    state = json.loads(last.read_bytes()) if last.exists() else {"kimg": 0, "w": 1.0, "rates": []}
    record.truncate_history(state["kimg"])
    if not record.history():
        record.append({"kimg": 0.0, "seconds": 0.0, "protocol": {"fid_fake": PROTOCOL}})

    def result(status: str) -> None:
        score = {"fid_fake": {"value": state["w"], "kimg": state["kimg"]}}
        record.write_result(
            {
                "status": status,
                "reason": "",
                "kimg": float(state["kimg"]),
                "last": score if state["kimg"] else {},
                "best": score if state["kimg"] else {},
                "protocols": {"fid_fake": PROTOCOL},
                "sweep": sweep,
            }
        )

    def stop(*_: Any) -> None:
        result("interrupted")
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    result("running")
    end = BUDGET if until_kimg is None else math.ceil(until_kimg)
    diverging = given.get("does", "").split(":")
    while state["kimg"] < end:
        time.sleep(float(given.get("pace", 0)))
        if diverging[0] == "diverge" and diverging[1:] == [run_dir.name, str(state["kimg"])]:
            result("diverged")
            return
        state["w"] *= 1 - float(given[RATE])
        state["kimg"] += 1
        state["rates"].append(float(given[RATE]))
        record.append({"kimg": float(state["kimg"]), "seconds": 0.0, "fid_fake": state["w"]})
        replace_atomically(last, json.dumps(state).encode())
        on_score(float(state["kimg"]), {"fid_fake": state["w"]})
        if sweep["role"] == "trial" and state["kimg"] % 2:
            _die_once(run_dir, f"{sweep['key']}-after", dies)
    result("paused" if end < BUDGET else "finished")
    note(run_dir / "ends", str(state["kimg"]))


def _die_once(run_dir: Path, moment: str, dies: bool) -> None:
    if dies and not (run_dir / moment).exists():
        note(run_dir / moment, "")
        os.kill(os.getpid(), signal.SIGKILL)
