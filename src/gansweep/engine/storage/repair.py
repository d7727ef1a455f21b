"""Repair the file of a sweep's study, and restore what it then lacks from the runs' records."""

import shlex
import shutil
import sqlite3
from contextlib import closing
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
from gansweep.search.queue import space_of
from gansweep.search.settings import Settings, merged_identity
from gansweep.search.space import Space

WHOLE = " Nothing that ended was missing in it."


def repair(directory: Path) -> str:
    """Repair the study of the sweep in `directory`; what was done, in words.

    If it is killed, the same command starts it again.
    Raises: UserError if there is no sweep, if its workers are at work, or if another program keeps
        the study.
    """
    settings = Settings.load(directory)
    space = space_of(settings)
    if settings.storage not in ("journal", "sqlite"):
        raise UserError(
            f"The study of {directory} is in storage={settings.storage}, which other programs "
            "keep: restore it with their tools. The next `gansweep sweep` takes what is missing "
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
        cut = _journal if settings.storage == "journal" else _database
        damage = cut(directory, settings, space)
        restored = restore(SweepStudy.made(directory, settings, space))
    nouns = ("trial", "confirmation run")
    ended = [plural(n, noun) for n, noun in zip(restored, nouns, strict=True) if n]
    return (
        (damage or f"The study of {directory} is whole.")
        + (f" Restored from the records of the runs: {' and '.join(ended)}." if ended else WHOLE)
        + f"\nnext: {settings.to_continue(directory)}"
    )


def _journal(directory: Path, settings: Settings, space: Space) -> str:
    """Cut the journal before the first line that cannot be true. What was wrong; "" for nothing."""
    file = JournalFile(directory / "study.journal")
    with file.turns:
        if not file.path.exists():
            return ""
        lines = file.path.read_bytes().splitlines(keepends=True)
        recorded = partial(_recorded, directory, settings, space)
        check = JournalCheck(space, recorded)
        faults = (check.fault(line) if line.endswith(b"\n") else "it has no end" for line in lines)
        why = next(filter(None, faults), "")
        if not why and recorded("t0000").params is not None:  # the records agree with sweep.yaml
            why = check.fault_of_search(merged_identity(settings, space.canonical()))
        if not why:
            return ""
        backup = _free_name(file.path)
        shutil.copyfile(file.path, backup)
        replace_atomically(file.path, b"".join(lines[: check.good]))
    what = f"{file.path} is cut before line {check.good + 1} of {len(lines)}: {why}."
    return f"{what} The damaged file is kept as {backup}."


def _recorded(directory: Path, settings: Settings, space: Space, key: str) -> Recorded:
    """What the records of a trial or a confirmation run say."""
    confirms = key.startswith("c-")
    # a confirmation with another sample has scores of other names; the record of a population's
    # member speaks of its last unit
    if settings.confirm.get("n_fake") if confirms else settings.sampler["name"] == "population":
        return Recorded()
    names = run_names(key, 1 if confirms else settings.seeds)
    records = [RunRecord(directory / name) for name in names]
    values = tuple(m.value for m in outcome_of(records, settings.objectives).measured)
    entry = (records[0].result() or {}).get("sweep") or {}
    try:
        return Recorded(space.pinned(entry["params"]), values)
    except (KeyError, UserError):
        return Recorded(None, values)


def _database(directory: Path, settings: Settings, space: Space) -> str:
    """Move the database away if SQLite finds it damaged. What was wrong; "" for nothing."""
    path = directory / "study.db"
    if not path.exists():
        return ""
    try:
        with closing(sqlite3.connect(path)) as connection:
            ((said,),) = connection.execute("PRAGMA integrity_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        said = str(error)
    if said == "ok":
        return ""
    backup = _free_name(path)
    for end in ("-wal", "-shm", ""):  # the first two have what was not in the file yet
        if path.with_name(path.name + end).exists():
            path.with_name(path.name + end).rename(backup.with_name(backup.name + end))
    what = f"{path} was damaged ({said.splitlines()[0]}) and is replaced by a new one."
    return f"{what} The damaged file is kept as {backup}."


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.damaged-{i}") for i in count(1))
    return next(name for name in names if not name.exists())
