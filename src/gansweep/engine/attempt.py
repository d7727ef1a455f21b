"""One try at a trial or at a confirmation run, and the runs that it consists of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import Trial

from gansweep.engine.lease.locks import Lease
from gansweep.search.population import PlannedRun
from gansweep.search.settings import Settings


@dataclass
class Attempt:
    """One try at a key, claimed by this process: an Optuna trial of its own."""

    role: str  # trial | confirm
    key: str  # t0007, or c-t0007-s101
    number: int  # 1 for the first attempt at this key
    params: dict[str, Any]
    runs: list[PlannedRun]  # one after the other; empty until the parameters are known
    trial: Trial
    study: Study
    lease: Lease
    taken_from: str | None = None  # the source of enqueued parameters; None: the sampler
    reported: set[int] = field(default_factory=set)
    schedule: list[dict[str, Any]] | None = None  # which settings hold from which kimg on
    score: str | None = None  # the objective's full name, once the run has named it

    def sweep_entry(self, settings: Settings, run: PlannedRun, directory: Path) -> dict[str, Any]:
        """What the record of `run` keeps of the sweep in `directory`."""
        objectives = [
            {"metric": o.metric, "direction": o.direction, "at": o.at} for o in settings.objectives
        ]
        entry = {
            "name": settings.name,
            "directory": str(directory.resolve()),
            "key": self.key,
            "params": self.params,
            "role": self.role,
            "attempt": self.number,
            "seed": run.seed,
            "objective": objectives[0],
        }
        several = {"objectives": objectives} if len(objectives) > 1 else {}
        limits = [asdict(limit) for limit in settings.limits]
        limited = {"constraints": limits} if limits else {}
        scheduled = {} if self.schedule is None else {"schedule": self.schedule}
        enqueued = {} if self.taken_from is None else {"source": self.taken_from}
        return {**entry, **several, **limited, **scheduled, **enqueued}


def run_names(key: str, seeds: int) -> list[str]:
    """The runs of trial `key`: one of its own name, or one for each seed."""
    return [key] if seeds == 1 else [f"{key}-s{i}" for i in range(seeds)]
