"""What runs in the process of one run of a table: it is trained, then scored as the table says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gansweep.engine.child import train_trial
from gansweep.records.record import ENDED_WELL, RunRecord


def train_cell(overrides: list[str], *, config_dir: str | None, **options: Any) -> None:
    """Train one run of a table and score its checkpoints.   options: of run.train."""
    train_trial(overrides, config_dir=config_dir, **options)
    record = RunRecord(Path(options["run_dir"]))
    note = (options.get("sweep") or {}).get("note") or {}
    seeds = int(note.get("evaluation_seeds", 0))
    if seeds and (record.result() or {}).get("status") in ENDED_WELL:
        from gansweep.reproduce.scoring import score_again

        score_again(record, seeds, note.get("evaluation") or {})
