"""The rows that are added to a history, from where it was read before."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gansweep.records.plain_values import DamagedError, row_of

MOST_BYTES = 1 << 20  # read at a time: a long history comes in several parts
LONGEST_LINE = 1 << 18  # a longer one is no row


@dataclass
class Added:
    """rows: whole and readable ones.   restarted: they replace all earlier rows."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    restarted: bool = False


class Tail:
    """One history, which a run that continues from a checkpoint replaces by a shorter one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: int | None = None
        self._offset = 0

    def skip(self) -> None:
        """Leave out the rows that are there now; a last line without its end is read later."""
        opened = _opened(self.path)
        if opened is None:
            return
        descriptor, found = opened
        with open(descriptor, "rb", buffering=0) as file:
            start = file.seek(max(0, found.st_size - LONGEST_LINE))
            last = file.read(LONGEST_LINE)
        self._inode = found.st_ino
        if b"\n" in last:
            self._offset = start + last.rfind(b"\n") + 1
        else:
            self._offset = found.st_size if start else 0

    def read(self) -> Added:
        """What was added since the last call, at most MOST_BYTES; without damaged lines."""
        try:
            found = os.stat(self.path)
        except OSError:
            return Added()
        known = self._inode is not None
        if known and found.st_ino == self._inode and found.st_size == self._offset:
            return Added()
        opened = _opened(self.path)
        if opened is None:
            return Added()
        descriptor, found = opened
        restarted = known and (found.st_ino != self._inode or found.st_size < self._offset)
        if restarted or not known:
            self._inode, self._offset = found.st_ino, 0
        with open(descriptor, "rb", buffering=0) as file:
            file.seek(self._offset)
            content = file.read(MOST_BYTES)
        end = content.rfind(b"\n") + 1
        if not end and len(content) > LONGEST_LINE:
            end = len(content)
        self._offset += end
        return Added(_rows(content[:end]), restarted)


def _rows(content: bytes) -> list[dict[str, Any]]:
    rows = []
    for line in content.splitlines():
        try:
            row = row_of(line)
        except DamagedError:
            continue
        if "kimg" in row:
            rows.append(row)
    return rows


def _opened(path: Path) -> tuple[int, os.stat_result] | None:
    """A descriptor of a regular file; None for anything else, without waiting."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode):
        return descriptor, found
    os.close(descriptor)
    return None
