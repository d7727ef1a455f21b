"""The runs at or below some paths, looked at again and again: new rows, and other changes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gansweep.errors import UserError
from gansweep.records.find import find_records
from gansweep.records.record import RunRecord
from gansweep.report.live.tail import Added, Tail

LIST_SECONDS = 1.0  # between two searches for new runs
LIST_SHARE = 4  # a search may take one part in so many of the time
ROW_KEYS = ("protocol", "finding", "note")  # rows with these change more than curves


@dataclass
class Changes:
    """What one look has found.

    rows: the directory of a run -> what was added to its history.
    others: whether a run is new or gone, or something besides its curves has changed.
    """

    rows: dict[str, Added] = field(default_factory=dict)
    others: bool = False


class Watch:
    """problems: a sentence for each path that cannot be listed now."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self.problems: list[str] = []
        self._tails: dict[str, Tail] = {}
        self._stamps: dict[str, tuple[Any, ...]] = {}
        self._next = 0.0

    @property
    def directories(self) -> list[str]:
        return list(self._tails)

    def look(self) -> Changes:
        """What has changed since the last call."""
        changes = Changes()
        if time.monotonic() >= self._next:
            started = time.monotonic()
            changes.others = self._list()
            spent = time.monotonic() - started
            self._next = started + max(LIST_SECONDS, LIST_SHARE * spent)
        for directory, tail in self._tails.items():
            added = tail.read()
            if added.rows or added.restarted:
                changes.rows[directory] = added
                changes.others |= any(key in row for row in added.rows for key in ROW_KEYS)
        return changes

    def _list(self) -> bool:
        """List the runs again; whether anything but a history has changed."""
        records, problems = listed(self.paths)
        stamps = {str(record.directory): _stamp(record) for record in records}
        for record in records:
            key = str(record.directory)
            if key not in self._tails:
                # what is there now is read with the other records
                self._tails[key] = Tail(record.history_path)
                self._tails[key].skip()
        for gone in self._tails.keys() - stamps.keys():
            del self._tails[gone]
        changed = stamps != self._stamps or problems != self.problems
        self._stamps, self.problems = stamps, problems
        return changed


def listed(paths: Sequence[Path]) -> tuple[list[RunRecord], list[str]]:
    """The runs at or below each path, and a sentence for each path that holds none now."""
    found: dict[Path, RunRecord] = {}
    problems = []
    for path in paths:
        try:
            for record in find_records([path]):
                found.setdefault(record.directory, record)
        except UserError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}.")
    return [found[directory] for directory in sorted(found)], problems


def _stamp(record: RunRecord) -> tuple[Any, ...]:
    """Differs once a file of the record other than its history has changed."""
    paths = (record.config_path, record.result_path, record.evaluations_path, record.remarks_path)
    return tuple(map(changed, (*paths, record.samples, record.sheets)))


def changed(path: Path) -> tuple[int, int]:
    """When the file was changed last, and its size; (0, 0) where it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
