"""Which files of a sweep's runs are damaged: the runs count as not begun, and it must be told."""

from __future__ import annotations

from pathlib import Path

from gansweep.errors import visible
from gansweep.records.record import RunRecord


def damaged_files(directory: Path) -> list[str]:
    """A line for each, as in: t0003/result.json: Unterminated string in line 1"""
    found = []
    for path in sorted(directory.glob("*/result.json")):
        _, why = RunRecord(path.parent).read_result()
        if why:
            found.append(visible(f"{path.parent.name}/{path.name}: {why}"))
    return found
