"""Sweeps for the report's tests: several seeds, several objectives, failures, populations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_records import FID, PROTOCOLS, part_of_sweep, protocol, write_run

from gansweep.records.record import RunRecord

COVERAGE = "coverage_digitsnet_2k_train"
BIG = "fid_digitsnet_10k_train"
BIG_FID = protocol("fid", "minimize", n_fake=10_000)
GOALS = [
    {"metric": "fid", "direction": "minimize", "at": "last"},
    {"metric": "seconds", "direction": "minimize", "at": "last"},
]
COVERED = {"metric": "coverage", "direction": "maximize", "at": "last"}


def write_trial(
    sweep: Path,
    key: str,
    fid: float,
    *,
    model: str = "dcgan",
    seed: int = 0,
    name: str = "",
    params: dict[str, Any] | None = None,
    role: str = "trial",
    goals: list[dict[str, Any]] | None = None,
    schedule: list[dict[str, Any]] | None = None,
    scores: dict[str, list[float]] | None = None,
    constraints: list[dict[str, Any]] | None = None,
    **run: Any,
) -> RunRecord:
    """A run of a sweep that ended at this FID; its settings are the key unless `params` tell."""
    part = part_of_sweep(key, {"model": model, "x": key, **(params or {})}, role, at="last")
    part |= {"name": sweep.name, "seed": seed}
    part |= {"objectives": goals, "objective": goals[0]} if goals else {}
    part |= {"schedule": schedule} if schedule else {}
    part |= {"constraints": constraints} if constraints else {}
    kinds = {**PROTOCOLS, BIG: BIG_FID}
    scores = {FID: [fid], **(scores or {})}
    return write_run(
        sweep / (name or key),
        model=model,
        seed=seed,
        scores=scores,
        protocols={score: kinds[score] for score in scores},
        sweep=part,
        **run,
    )


def write_confirmations(
    sweep: Path, key: str, values: list[float], score: str = FID, **run: Any
) -> None:
    """Fresh seeds of trial `key`, each measured as `score`."""
    kinds = {**PROTOCOLS, BIG: BIG_FID}
    run = {"model": "dcgan", **run}
    params = {"model": run["model"], "x": key, **run.pop("params", {})}
    goals = run.pop("goals", None)
    for seed, value in enumerate(values, 101):
        name = f"c-{key}-s{seed}"
        part = part_of_sweep(name, params, "confirm", at="last")
        part |= {"name": sweep.name, "seed": seed}
        part |= {"objectives": goals, "objective": goals[0]} if goals else {}
        write_run(
            sweep / name,
            seed=seed,
            scores={score: [value]},
            protocols={score: kinds[score]},
            sweep=part,
            objective=score,
            **run,
        )
