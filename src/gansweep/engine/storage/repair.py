"""Restore the study of a sweep whose file was damaged.

The records of the runs are the truth. What can be trusted of the file is kept, and what the study
then lacks is taken from the records: how trials ended, and with which parameters.
"""

from __future__ import annotations

import shlex
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from gansweep.engine.attempt import run_names
from gansweep.engine.lease import workers as worker_files
from gansweep.engine.storage.disk import writing
from gansweep.engine.storage.journal_check import JournalCheck, Recorded
from gansweep.engine.storage.restoring import restore
from gansweep.engine.storage.storage import JournalFile
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.judging.outcome import outcome_of
from gansweep.records.notation import plural
from gansweep.records.record import RunRecord, replace_atomically
from gansweep.search.settings import Settings, merged_identity
from gansweep.search.space import Space


@dataclass(frozen=True)
class Damage:
    """What was wrong with the file of a study."""

    what: str
    kept_as: Path  # the file as it was


def repair(directory: Path) -> str:
    """Repair the study of the sweep in `directory`; what was done, in words.

    Killed at any moment, it is begun again by the same command.
    Raises: UserError where there is no sweep, where its workers are at work, and where another
        program keeps the study.
    """
    settings = Settings.load(directory)
    space = Space.parse(settings.space)
    if settings.storage not in ("journal", "sqlite"):
        raise UserError(
            f"The study of {directory} lies in storage={settings.storage}, which other programs "
            "keep: restore it by their means. What it then lacks, the next `gansweep sweep` takes "
            "from the records of the runs."
        )
    with writing(directory, "."), worker_files.launching(directory):
        workers = worker_files.workers_of(directory)
        if workers:
            place = shlex.quote(str(directory))
            raise UserError(
                f"{plural(len(workers), 'worker')} of the sweep {directory} may write to the file "
                f"that is to be repaired. Stop them first: `gansweep cancel {place}`."
            )
        damaged = _journal if settings.storage == "journal" else _database
        damage = damaged(directory, settings, space)
        sweep = SweepStudy.made(directory, settings, space)
        restored = restore(sweep)
    return _summary(directory, settings, damage, restored)


def _summary(
    directory: Path, settings: Settings, damage: Damage | None, restored: list[int]
) -> str:
    trials, confirmations = restored
    ended = [plural(trials, "trial")] if trials else []
    ended += [plural(confirmations, "confirmation run")] if confirmations else []
    words = [f"The study of {directory} is whole."]
    if damage is not None:
        words = [f"{damage.what} The damaged file is kept as {damage.kept_as}."]
    if ended:
        words += [f"Restored from the records of the runs: {' and '.join(ended)}."]
    else:
        words += ["Nothing that ended was missing in it."]
    return " ".join(words) + f"\nnext: {settings.command}"


def _journal(directory: Path, settings: Settings, space: Space) -> Damage | None:
    """Cut the journal where it cannot be trusted any more."""
    file = JournalFile(directory / "study.journal")
    with file.turns:
        if not file.path.exists():
            return None
        written = file.path.read_bytes()
        lines = written.splitlines(keepends=True)
        recorded = partial(_recorded, directory, settings, space)
        check = JournalCheck(space, recorded)
        faults = (check.fault(line) if line.endswith(b"\n") else "it has no end" for line in lines)
        why = next(filter(None, faults), "")
        if not why and recorded("t0000").params is not None:  # sweep.yaml is the one that is right
            why = check.fault_of_search(merged_identity(settings, space.canonical()))
        if not why:
            return None
        backup = _free_name(file.path)
        shutil.copyfile(file.path, backup)
        replace_atomically(file.path, b"".join(lines[: check.good]))
    what = f"{file.path} is cut before line {check.good + 1} of {len(lines)}: {why}."
    return Damage(what, backup)


def _recorded(directory: Path, settings: Settings, space: Space, key: str) -> Recorded:
    """What the records of a trial or a confirmation run say. Those of a population's member are at
    its last unit; a confirmation that draws another sample has scores of other names."""
    if key.startswith("c-"):
        records = [RunRecord(directory / key)]
        if settings.confirm.get("n_fake") is not None:
            return Recorded()
    elif settings.sampler["name"] == "population":
        return Recorded()
    else:
        records = [RunRecord(directory / name) for name in run_names(key, settings.seeds)]
    values = tuple(m.value for m in outcome_of(records, settings.objectives).measured)
    entry = (records[0].result() or {}).get("sweep") or {}
    try:
        return Recorded(space.pinned(entry["params"]), values)
    except (KeyError, UserError):
        return Recorded(None, values)


def _database(directory: Path, settings: Settings, space: Space) -> Damage | None:
    """Move the database away where SQLite finds it damaged."""
    path = directory / "study.db"
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path)) as connection:
            ((said,),) = connection.execute("PRAGMA integrity_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        said = str(error)
    if said == "ok":
        return None
    backup = _free_name(path)
    for end in ("-wal", "-shm"):  # of what was not in the file yet
        if path.with_name(path.name + end).exists():
            path.with_name(path.name + end).rename(backup.with_name(backup.name + end))
    path.rename(backup)
    return Damage(f"{path} was damaged ({said.splitlines()[0]}) and is made anew.", backup)


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.damaged-{i}") for i in count(1))
    return next(name for name in names if not name.exists())
