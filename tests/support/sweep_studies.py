"""A study without workers: its settings, and trials that a test begins and ends by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gansweep.engine.attempt import Attempt
from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord
from gansweep.search.settings import Settings
from gansweep.search.space import Space

SPACE: dict[str, Any] = {"model": "choice(gan, wgan)", "lr": "interval(1, 2)"}
BLOCKS: dict[str, Any] = {
    "model": "choice(gan, wgan)",
    "lr": "tag(log, interval(1e-5, 1e-1))",
    "steps": "range(1, 9)",
    "model=wgan": {"clip": "interval(0, 1)", "lr": "tag(log, interval(1e-3, 1))"},
}
ONE = {"metric": "fid", "direction": "auto", "at": "last"}
TWO = {"metric": ["fid", "coverage"], "direction": "auto", "at": "last"}
NO_CONFIRMATION = {"top": 0, "per": "config", "seeds": 1}


def sampler(name: str, seed: int = 0, startup: int = 8) -> dict[str, Any]:
    return {"name": name, "seed": seed, "startup_trials": startup}


def pruner(name: str, **options: Any) -> dict[str, Any]:
    usual = {"warmup_fraction": 0.1, "startup_trials": 1, "reduction_factor": 3}
    return {"name": name, **usual, **options}


def settings(**changes: Any) -> Settings:
    content: dict[str, Any] = {
        "name": "s",
        "n_trials": 4,
        "budget_kimg": 10.0,
        "base_seed": 0,
        "space": SPACE,
        "overrides": [],
        "objective": {"metric": "auto", "direction": "auto", "at": "last"},
        "sampler": sampler("random", startup=3),
        "pruner": pruner("none"),
        "confirm": {"top": 2, "per": "config", "seeds": 2},
        "max_retries": 1,
        "runs_dir": "runs",
    }
    return Settings(**{**content, **changes})


def make(directory: Path, **changes: Any) -> SweepStudy:
    chosen = settings(**changes)
    return SweepStudy.create(directory, chosen, Space.parse(chosen.space))


def begin(study: SweepStudy) -> Attempt:
    """The next run, with its settings."""
    attempt = study.claim("me")
    assert attempt is not None
    study.suggest(attempt)
    return attempt


def record(
    study: SweepStudy, run: str, status: str, value: float | None = None, **protocol: Any
) -> None:
    """Write a run's result: how it ended, and its FID where it has one."""
    last = {} if value is None else {"fid_x": {"value": value, "kimg": 10.0}}
    protocols = {"fid_x": {"score": "fid", "noise_seed": 3, "n_fake": 5, **protocol}}
    RunRecord.create(study.run_dir(run), "a: 1\n").write_result(
        {"status": status, "reason": "", "last": last, "protocols": protocols}
    )


def finish(
    study: SweepStudy, status: str = "finished", value: float | None = 1.0, **protocol: Any
) -> str:
    """Run what comes next to its end, as `record` says; its key."""
    attempt = begin(study)
    record(study, attempt.key, status, value, **protocol)
    study.finish(attempt, "itself")
    return attempt.key


def record_scores(study: SweepStudy, run: str, seconds: float = 1.0, **scores: float) -> None:
    """Write the result of a run that finished with several scores: fid=2.0, coverage=0.5."""
    RunRecord.create(study.run_dir(run), "a: 1\n").write_result(
        {
            "status": "finished",
            "reason": "",
            "seconds": seconds,
            "last": {f"{word}_x": {"value": value} for word, value in scores.items()},
            "protocols": {f"{word}_x": {"score": word} for word in scores},
        }
    )


def finish_with(study: SweepStudy, attempt: Attempt, seconds: float = 1.0, **scores: float) -> str:
    """End an attempt as `record_scores` says; what it is told as."""
    record_scores(study, attempt.key, seconds, **scores)
    return study.finish(attempt, "itself")


def run_grid(study: SweepStudy, seen: dict[Any, dict[str, float]]) -> None:
    """Run the grid of a study to its end: the point of each trial by the values of its keys."""
    for _ in range(len(seen)):
        attempt = begin(study)
        finish_with(study, attempt, **seen[tuple(attempt.params.values())])
