"""What a table costs on this machine: seconds a step of each cell, measured, and its disk."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from omegaconf import DictConfig

from gansweep import __version__
from gansweep.config.cache_place import cache_dir
from gansweep.errors import UserError
from gansweep.records.plain_values import DamagedError, parsed_mapping
from gansweep.records.record import content_of, replace_atomically
from gansweep.reproduce.plan import PlannedCell, PlannedRun

WARM_UP_STEPS = 3
LEAST_SECONDS = 0.5  # of the measurement, or as many steps as below
MOST_STEPS = 50
CHECKPOINTS = 3  # last, previous, best


@dataclass(frozen=True)
class Cost:
    """Of one step, in seconds; state_bytes: of one checkpoint."""

    step_seconds: float
    state_bytes: int


@dataclass(frozen=True)
class Estimate:
    """Of a list of runs: training alone, without scoring.   seconds: of one worker."""

    runs: int
    seconds: float
    disk_bytes: int


def measured(
    cells: Sequence[PlannedCell], threads: int, note: Callable[[str], None]
) -> dict[str, Cost]:
    """Cell's name -> its cost, measured once on each machine and kept.

    threads: of each run.   note: called with the name of a cell that is measured.
    Raises: UserError if a cell cannot be trained, as for want of its data.
    """
    found = {}
    for one in cells:
        path = _place(one, threads)
        known = _known(path)
        if known is None:
            note(one.cell.name)
            known = _measure(one.cfg, threads)
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_atomically(path, json.dumps(asdict(known)).encode())
        found[one.cell.name] = known
    return found


def estimate(runs: Sequence[PlannedRun], costs: dict[str, Cost]) -> Estimate:
    """The sum over runs."""
    seconds = disk = 0.0
    for run in runs:
        cost = costs[run.planned.cell.name]
        seconds += cost.step_seconds * run.planned.steps
        disk += cost.state_bytes * CHECKPOINTS
    return Estimate(len(runs), seconds, int(disk))


def share_within(minutes: float, runs: Sequence[PlannedRun], costs: dict[str, Cost]) -> float:
    """The largest share of these runs that ends within so many minutes of one worker: 1, or a power
    of a half."""
    share, seconds = 1.0, estimate(runs, costs).seconds
    while seconds * share > 60 * minutes:
        share /= 2
    return share


def _place(one: PlannedCell, threads: int) -> Path:
    accelerator = str(one.cfg.trainer.accelerator)
    machine = f"{os.uname().nodename}-{accelerator}-{threads}-{__version__}"
    return cache_dir() / "step_seconds" / f"{one.step}-{machine}.json"


def _known(path: Path) -> Cost | None:
    try:
        content = parsed_mapping(content_of(path))
        return Cost(float(content["step_seconds"]), int(content["state_bytes"]))
    except (OSError, DamagedError, KeyError, TypeError, ValueError):
        return None


def _measure(cfg: DictConfig, threads: int) -> Cost:
    import torch

    from gansweep.models.draws import Draws
    from gansweep.models.feed import Feed
    from gansweep.run.build import build_data, build_model
    from gansweep.run.devices import accelerator

    before = torch.get_num_threads()
    torch.set_num_threads(cfg.trainer.threads or threads)
    try:
        device = torch.device(accelerator(cfg.trainer.accelerator))
        data = build_data(cfg)
        module = build_model(cfg, data).to(device)
        module.configure_optimizers()
        module.draws = Draws(0, device)
        batches = iter(Feed(data, module, cfg))
        done, begun, worked = 0, time.perf_counter(), time.process_time()
        for number, batch in enumerate(batches):
            if number == WARM_UP_STEPS:
                done, begun, worked = 0, time.perf_counter(), time.process_time()
            module.training_step(batch, number)
            done += 1
            if device.type == "cuda":
                torch.cuda.synchronize()
            spent = time.perf_counter() - begun
            if number > WARM_UP_STEPS and (spent > LEAST_SECONDS or done == MOST_STEPS):
                break
        seconds = time.perf_counter() - begun
        if device.type == "cpu":  # not what other processes of a busy machine took of it
            seconds = min(seconds, time.process_time() - worked)
        return Cost(seconds / max(1, done), _bytes(module.game_state()))
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(str(error)) from error
    finally:
        torch.set_num_threads(before)


def _bytes(state: object) -> int:
    import torch

    if isinstance(state, torch.Tensor):
        return state.nbytes
    if isinstance(state, dict):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, (list, tuple)) else 8
