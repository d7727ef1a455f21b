"""Optuna's journal file under a kernel lock, and proof against writers killed in mid-line."""

from __future__ import annotations

import os
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from gansweep.sweep.locks import KernelLock


def open_storage(journal: Path) -> JournalStorage:
    """The storage of the studies in `journal`; the file is made where there is none."""
    return JournalStorage(JournalFileBackend(str(journal), lock_obj=JournalLock(journal)))


class JournalLock(JournalFileOpenLock):
    """The lock of Optuna's journal file, which also repairs the file.

    A writer killed in the middle of a line leaves it torn, and the next line would be glued to it:
    the study could never be read again. Whoever takes the lock first cuts such a tail off.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._lock = KernelLock(journal.with_name(journal.name + ".lock"))

    def acquire(self) -> bool:
        self._lock.__enter__()
        try:
            self._cut_torn_tail()
        except BaseException:
            self._lock.__exit__()
            raise
        return True

    def release(self) -> None:
        self._lock.__exit__()

    def _cut_torn_tail(self) -> None:
        if not self._journal.exists():
            return
        with open(self._journal, "rb+") as file:
            end = file.seek(0, os.SEEK_END)
            keep = end
            while keep > 0:
                start = max(0, keep - 65536)
                file.seek(start)
                newline = file.read(keep - start).rfind(b"\n")
                if newline >= 0:
                    keep = start + newline + 1
                    break
                keep = start
            if keep < end:
                file.truncate(keep)
