"""Run records for the report's tests: realistic numbers, written through RunRecord."""

from __future__ import annotations

import json
import math
import random
import shlex
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw

from gansweep.records.record import RunRecord
from gansweep.records.sheets import Layout, as_webp
from gansweep.records.writer import newest

FID = "fid_digitsnet_2k_train"
MODES = "modes_2k"
COUNTS = "mode_counts_2k"
QUALITY = {"gan": 61.0, "dcgan": 24.0, "wgan_gp": 17.0, "sngan": 19.0}
SPEED = {"gan": 9500.0, "dcgan": 2100.0, "wgan_gp": 740.0, "sngan": 980.0}


def protocol(score: str, direction: str | None, **changed: Any) -> dict[str, Any]:
    return {
        "score": score,
        "direction": direction,
        "n_fake": 2000,
        "n_real": 1437,
        "split": "train",
        "data": "digits",
        "data_fingerprint": "0123456789abcdef",
        "backbone": "digitsnet",
        "weights_hash": "89ab0123",
        "resizer": None,
        "noise_seed": 7,
        **changed,
    }


# fidelity, then diversity
PRDC = ("precision", "recall", "density", "coverage")
PROTOCOLS = {
    FID: protocol("fid", "minimize"),
    MODES: protocol("modes", "maximize"),
    **{f"{word}_digitsnet_2k_train": protocol(word, "maximize") for word in PRDC},
    COUNTS: protocol("mode_counts", None, mode_names=[str(digit) for digit in range(10)]),
}


def write_run(
    directory: Path,
    *,
    model: str = "dcgan",
    seed: int = 0,
    status: str | None = "finished",
    reason: str = "",
    scores: dict[str, list[float]] | None = None,
    protocols: dict[str, dict[str, Any]] | None = None,
    config: dict[str, Any] | None = None,
    sweep: dict[str, Any] | None = None,
    **result: Any,
) -> RunRecord:
    """A run whose scores were measured at 1, 2, 3, ... kimg. status=None: no result.json."""
    scores = {FID: [30.0, 20.0]} if scores is None else scores
    protocols = {name: PROTOCOLS[name] for name in scores} if protocols is None else protocols
    content = {"model": {"latent_dim": 64}, "seed": seed, "name": directory.name, **(config or {})}
    record = RunRecord.create(directory, yaml.safe_dump(content))
    for name in scores:
        record.append({"kimg": 1.0, "seconds": 2.0, "protocol": {name: protocols[name]}})
    best, last = {}, {}
    for name, values in scores.items():
        choose = min if protocols[name].get("direction") == "minimize" else max
        index = values.index(choose(values))
        best[name] = {"value": values[index], "kimg": index + 1.0}
        last[name] = {"value": values[-1], "kimg": float(len(values))}
    for index in range(max(map(len, scores.values()), default=0)):
        row = {name: values[index] for name, values in scores.items() if index < len(values)}
        record.append({"kimg": index + 1.0, "seconds": 2.0 * (index + 1), **row})
    if status is not None:
        record.write_result(
            {
                "status": status,
                "reason": reason,
                "model": model,
                "data": "digits",
                "seed": seed,
                "kimg": float(max(map(len, scores.values()), default=0)),
                "best": best,
                "last": last,
                "protocols": protocols,
                "seconds": 12.0,
                "images_per_second": 1000.0,
                "overrides": [f"model={model}", "data=digits", f"seed={seed}"],
                **result,
                **({"sweep": sweep} if sweep else {}),
            }
        )
    return record


def write_evaluation(
    record: RunRecord,
    scores: dict[str, Any],
    protocols: dict[str, dict[str, Any]],
    checkpoint: str = "best.pt",
    kimg: float = 1.0,
) -> None:
    """What `gansweep evaluate` adds. A score is a number, a list or an entry with its spread."""
    entries = {k: v if isinstance(v, dict) else {"value": v} for k, v in scores.items()}
    record.append_evaluation(
        {
            "when": "2026-01-02T00:00:00+00:00",
            "checkpoint": checkpoint,
            "kimg": kimg,
            "scores": entries,
            "protocols": protocols,
        },
        newest(record.directory),
    )


def part_of_sweep(key: str, params: dict[str, Any], role: str = "trial", at: str = "best") -> Any:
    objective = {"metric": "auto", "direction": "minimize", "at": at}
    return {
        "name": "demo",
        "key": key,
        "params": params,
        "role": role,
        "attempt": 1,
        "objective": objective,
    }


def sample_grid(path: Path, seed: int, noise: float) -> None:
    """8 x 8 tiles of 8 x 8 pixels with blurry strokes, the fewer the more `noise`.

    path: of a .webp as runs write it, or of a .png as older runs wrote it.
    """
    rng = random.Random(seed)
    image = Image.new("L", (64, 64), 12)
    draw = ImageDraw.Draw(image)
    for tile in range(64):
        x, y = 8 * (tile % 8), 8 * (tile // 8)
        points = [(x + rng.randint(1, 6), y + rng.randint(1, 6)) for _ in range(4)]
        draw.line(points, fill=rng.randint(150, 255), width=1)
    pixels = image.load()
    assert pixels is not None
    for _ in range(int(4096 * noise)):
        pixels[rng.randrange(64), rng.randrange(64)] = rng.randint(0, 255)
    if path.suffix == ".png":
        image.save(path)
    else:
        path.write_bytes(as_webp(image, Layout("samples", 8, 8, (8, 8), gap=0, count=64)))


def lively_run(
    directory: Path,
    model: str,
    seed: int,
    params: dict[str, Any] | None = None,
    *,
    role: str = "trial",
    status: str = "finished",
    reason: str = "",
    kimg: int = 60,
) -> RunRecord:
    """A run as training writes it: losses, balance or critic, scores, modes, grids."""
    rng = random.Random(f"{model} {seed} {sorted((params or {}).items())}")
    lr = (params or {}).get("model.optimizer.generator.lr", 2e-4)
    # too slow or too fast a learning rate costs quality
    final = QUALITY[model] * (1 + 0.35 * abs(math.log10(lr / 3e-4))) * rng.uniform(0.93, 1.07)
    config = {
        "model": {"latent_dim": 64, "optimizer": {"generator": {"lr": lr}}},
        "data": {"size": 8},
        "choices": {"model": model, "data": "digits"},
        "seed": seed,
        "name": directory.name,
    }
    record = RunRecord.create(directory, yaml.safe_dump(config))
    best: dict[str, Any] = {}
    last: dict[str, Any] = {}
    for step in range(1, kimg + 1):
        row = _row(model, step, final, rng)
        if step % 5 == 0:
            if step == 5:
                for name, value in PROTOCOLS.items():
                    record.append({"kimg": 5.0, "seconds": 3.0, "protocol": {name: value}})
            row |= _scores(step, final, rng)
            for name in PROTOCOLS.keys() - {COUNTS}:
                last[name] = {"value": row[name], "kimg": float(step)}
                better = min if name == FID else max
                value = better(row[name], best.get(name, last[name])["value"])
                best[name] = last[name] if value == row[name] else best[name]
            last[COUNTS] = {"value": row[COUNTS], "kimg": float(step)}
        record.append({"kimg": float(step), "seconds": step * 0.7, **row})
        if step % 20 == 0:
            noise = min(1.0, final / 90) * (1.2 - step / 60)
            sample_grid(record.samples / f"{step * 1000:09d}.webp", seed, max(noise, 0.02))
            record.sheets.mkdir(exist_ok=True)
            sample_grid(record.sheets / f"{step * 1000:09d}.webp", seed + 1, 0.02)
    words = [f"{key}={value}" for key, value in (params or {}).items() if key != "model"]
    record.write_result(
        {
            "status": status,
            "reason": reason,
            "group": directory.parent.name,
            "name": directory.name,
            "model": model,
            "data": "digits",
            "seed": seed,
            "budget_kimg": 60,
            "kimg": float(kimg),
            "objective": FID,
            "best": best,
            "last": last,
            "protocols": {name: PROTOCOLS[name] for name in last},
            "seconds": 1000 * kimg / SPEED[model] * rng.uniform(0.97, 1.05),
            "images_per_second": SPEED[model] * rng.uniform(0.95, 1.02),
            "peak_memory_mib": 400 + 0.05 * SPEED[model],
            "parameters": {"generator": 301_000, "discriminator": 164_000},
            "versions": {"torch": "2.15.0", "pytorch_lightning": "2.6.6"},
            "git_commit": "0f3c9aa",
            "hardware": {"cpu": "2 cores", "gpu": None},
            "command": shlex.join(
                ["gansweep", "train", f"model={model}", "data=digits", f"seed={seed}", *words]
            ),
            "ended": "2026-01-01T00:00:00+00:00",
            **({"sweep": part_of_sweep(directory.name, params, role)} if params else {}),
        }
    )
    return record


def _row(model: str, step: int, final: float, rng: random.Random) -> dict[str, Any]:
    decay = math.exp(-step / 15)
    row = {
        "loss/generator": 0.9 + final / 60 - decay + rng.gauss(0, 0.05),
        "loss/discriminator": 0.5 + 0.6 * decay + rng.gauss(0, 0.04),
        "throughput/images_per_second": SPEED[model] * rng.uniform(0.9, 1.05),
        "grad_norm/generator": 0.2 + final / 50 * math.exp(rng.gauss(0, 0.2)),
        "grad_norm/discriminator": 0.5 + 2 * decay * math.exp(rng.gauss(0, 0.2)),
        "spread/fakes": 0.4 * (1 - decay) * (1 - final / 100),
    }
    if step % 10 == 0:
        row["game/duality_gap"] = 0.1 + 2 * decay + rng.uniform(0, 0.1)
        row["overfit/r_t"] = 0.5 - decay / 2 + rng.gauss(0, 0.02)
        row["overfit/r_v"] = 0.4 - decay / 3 + rng.gauss(0, 0.02)
    if model in ("gan", "dcgan"):
        gap = 0.32 * decay + final / 400
        row["balance/real_mean"] = 0.5 + gap + rng.gauss(0, 0.01)
        row["balance/fake_mean"] = 0.5 - gap + rng.gauss(0, 0.01)
    else:
        row["critic/gap"] = 6 * decay + 0.6 + rng.gauss(0, 0.1)
        row["penalty/gradient_penalty"] = 0.2 * decay + 0.05 + abs(rng.gauss(0, 0.01))
    return row


def _scores(step: int, final: float, rng: random.Random) -> dict[str, Any]:
    fid = final + 260 * math.exp(-step / 9) + rng.gauss(0, 0.6)
    counts = [max(0, int(rng.gauss(200, 25 + final))) for _ in range(10)]
    if final > 55:
        counts[3] = counts[8] = 0
    near = 1 - final / 100
    prdc = (near, 0.5 + 0.4 * near, 1.2 * near, 0.6 + 0.3 * near)
    shares = [share * rng.uniform(0.96, 1.04) for share in prdc]
    names = [f"{word}_digitsnet_2k_train" for word in PRDC]
    modes = float(sum(count > 0 for count in counts))
    return {FID: fid, MODES: modes, COUNTS: counts, **dict(zip(names, shares, strict=True))}


def write_sweep(runs: Path) -> Path:
    """A sweep with every kind of end: 20 trials, confirmed winners, and the ones that failed."""
    sweep = runs / "demo-digits"
    rng = random.Random(1)
    rates = [1e-4, 3e-4, 1e-3, 2e-3]
    number = 0
    for model in QUALITY:
        for rate in rates:
            params: dict[str, Any] = {"model": model, "model.optimizer.generator.lr": rate}
            if model == "wgan_gp":
                params["model.penalties.gradient_penalty.weight"] = rng.choice([1.0, 10.0])
            key = f"t{number:04d}"
            end: dict[str, Any] = {}
            if number == 3:
                reason = "loss/generator is not finite (at 11.0 kimg)"
                end = {"status": "diverged", "reason": reason, "kimg": 11}
            if number == 7:
                reason = "the pruner judged it unpromising (at 20.0 kimg)"
                end = {"status": "pruned", "reason": reason, "kimg": 20}
            lively_run(sweep / key, model, 0, params, **end)
            if rate == 3e-4:
                for seed in (101, 102, 103):
                    directory = sweep / f"c-{key}-s{seed}"
                    lively_run(directory, model, seed, params, role="confirm")
            number += 1
    torn = lively_run(sweep / "t0016", "dcgan", 0, {"model": "dcgan", "model.width": 8}, kimg=30)
    with open(torn.history_path, "ab") as file:
        file.write(b'{"kimg": 31.0, "seco')
    torn.result_path.unlink()
    running = {"model": "sngan", "model.width": 16}
    lively_run(sweep / "t0017", "sngan", 0, running, status="running", kimg=12)
    return sweep


def rewrite(record: RunRecord, **changed: Any) -> None:
    """Change keys of a run's result."""
    content = json.loads(record.result_path.read_text())
    record.write_result({**content, **changed})
