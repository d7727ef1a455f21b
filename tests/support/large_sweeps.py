"""A large sweep for the board's tests: many short records, written as text because that is fast."""

from __future__ import annotations

import json
import math
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from report_records import FID, MODES, PROTOCOLS

MODELS = ("gan", "dcgan", "wgan_gp", "sngan")
WORKERS = 8
START = 1767225600  # seconds since 1970


def write_large_sweep(directory: Path, runs: int = 500, points: int = 200) -> None:
    """Trials of five settings, of which some diverged or were pruned; two curves are scores."""
    rng = random.Random(0)
    free = [0.0] * WORKERS
    for number in range(runs):
        worker = free.index(min(free))
        start, rows = free[worker], points
        status = rng.choices(["finished", "diverged", "pruned"], [0.85, 0.05, 0.1])[0]
        if status != "finished":
            rows = rng.randint(points // 10, points - 1)
        free[worker] += 2.0 * rows + rng.uniform(0, 20)
        _write_trial(directory / f"t{number:04d}", rng, status, rows, start, f"w{worker}")


def _write_trial(
    directory: Path, rng: random.Random, status: str, rows: int, start: float, worker: str
) -> None:
    model, rate = rng.choice(MODELS), 10 ** rng.uniform(-5, -2)
    params: dict[str, Any] = {
        "model": model,
        "model.optimizer.generator.lr": rate,
        "model.optimizer.generator.beta1": rng.uniform(0, 0.9),
        "model.width": rng.choice([16, 32, 64]),
        "model.n_critic": rng.choice([1, 2, 5]),
    }
    final = 10 + 30 * abs(math.log10(rate / 3e-4)) + rng.uniform(0, 5)
    history: list[dict[str, Any]] = [
        {"kimg": 0.5, "seconds": 1.0, "protocol": {name: PROTOCOLS[name] for name in (FID, MODES)}}
    ]
    history += [_row(rng, step, final) for step in range(1, rows + 1)]
    last = {n: {"value": history[-1][n], "kimg": 0.5 * rows} for n in (FID, MODES)}
    sweep = {
        "name": directory.parent.name,
        "key": directory.name,
        "params": params,
        "role": "trial",
        "attempt": 1,
        "worker": worker,
        "objective": {"metric": "auto", "direction": "minimize", "at": "last"},
    }
    result = {
        "status": status,
        "reason": "",
        "model": model,
        "data": "digits",
        "seed": 0,
        "kimg": 0.5 * rows,
        "budget_kimg": 100,
        "objective": FID,
        "best": last,
        "last": last,
        "protocols": {name: PROTOCOLS[name] for name in (FID, MODES)},
        "seconds": 2.0 * rows,
        "images_per_second": rng.uniform(240, 260),
        "peak_memory_mib": 500,
        "started": _stamp(start),
        "ended": _stamp(start + 2.0 * rows),
        "command": f"gansweep train model={model}",
        "sweep": sweep,
    }
    config = {
        "model": {"width": params["model.width"], "optimizer": {"generator": {"lr": rate}}},
        "choices": {"model": model, "data": "digits"},
        "seed": 0,
        "name": directory.name,
        "batch_size": 64,
    }
    directory.mkdir(parents=True)
    # JSON is YAML too
    (directory / "config.yaml").write_text(json.dumps(config))
    (directory / "history.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in history))
    (directory / "result.json").write_text(json.dumps(result))


def _row(rng: random.Random, step: int, final: float) -> dict[str, Any]:
    decay = math.exp(-step / 40)
    return {
        "kimg": 0.5 * step,
        "seconds": 2.0 * step,
        "loss/generator": 1 + rng.gauss(0, 0.1),
        "loss/discriminator": 0.5 + decay + rng.gauss(0, 0.05),
        "grad_norm/generator": abs(rng.gauss(1, 0.2)),
        "grad_norm/discriminator": abs(rng.gauss(1, 0.2)),
        "balance/real_mean": 0.5 + 0.3 * decay,
        "balance/fake_mean": 0.5 - 0.3 * decay,
        "spread/fakes": 0.4 * (1 - decay),
        FID: final + 200 * decay + rng.gauss(0, 1),
        MODES: round(10 * (1 - decay)),
    }


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(START + seconds, UTC).isoformat()
