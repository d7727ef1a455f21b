"""Which checkpoints nobody needs any more, and their removal."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansweep.cli.shelf import Shelf
from gansweep.engine.status import status_of
from gansweep.errors import UserError
from gansweep.judging.leaderboard import is_confirmation, leaderboard
from gansweep.judging.pareto import fronts
from gansweep.judging.statuses import FAILED_TRAINING
from gansweep.records.plain_values import mapping
from gansweep.records.read import Run
from gansweep.records.record import TRACKED, RunRecord
from gansweep.records.writer import is_held
from gansweep.run.early import parts_of_init
from gansweep.search.settings import Settings

KEEP = "keep"  # the tag of a run whose checkpoints stay
BROKEN = ("diverged", "collapsed")  # a plain run that no larger budget saves
GROUPS = ("pruned", "failed", "losing")  # the order in which they are removed


@dataclass(frozen=True)
class Prunable:
    """The checkpoints of one run.   group: one of GROUPS.   size: bytes of disk."""

    run: Run
    group: str
    files: tuple[Path, ...]
    size: int


def prunable(paths: Sequence[Path]) -> tuple[list[Prunable], list[str]]:
    """The runs at or below the paths whose checkpoints can go, in the order of GROUPS; and a
    sentence for each sweep whose losing trials stay.

    Raises: UserError if a path holds no run.
    """
    of_sweeps: dict[Path, list[Run]] = {}
    groups: list[tuple[Run, str]] = []
    runs = Shelf(paths, every=True).runs()
    for run in runs:
        if run.sweep is not None:
            of_sweeps.setdefault(run.directory.parent, []).append(run)
        elif run.status in BROKEN:  # others may be continued, as with a larger budget
            groups.append((run, "failed"))
    notes = []
    for folder, members in of_sweeps.items():
        # the leader may be outside of the paths
        everybody = Shelf([folder], every=True).runs() if _is_sweep(folder) else members
        found, why = _of_sweep(folder, members, everybody)
        groups += found
        notes += [why] if why else []
    begun = _begun_with(runs)
    free = [(run, group) for run, group in groups if not _is_among(run.directory, begun)]
    measured = (_measured(run, group) for run, group in free if _may_go(run))
    found_all = [one for one in measured if one.files]
    return sorted(found_all, key=lambda one: GROUPS.index(one.group)), notes


def _begun_with(runs: Iterable[Run]) -> set[str]:
    """The runs whose weights one of these runs began with, or a sweep of theirs begins with, as
    they were named."""
    named = {str(mapping(run.result.get("init")).get("run") or "") for run in runs}
    for folder in {run.directory.parent for run in runs if run.sweep}:
        with contextlib.suppress(UserError):  # it is no sweep's directory
            words = [word.lstrip("+") for word in Settings.load(folder).overrides]
            given = (word.removeprefix("init=") for word in words if word.startswith("init="))
            named |= {parts_of_init(word.strip("'\""))[0] for word in given}
    return named - {""}


def _is_among(directory: Path, named: Iterable[str]) -> bool:
    """Whether one of these names can be the run's, from wherever it was named, and wherever the
    runs were moved to since: its last two folders decide. Rather too much stays than too little.
    """
    place = directory.resolve()
    for name in named:
        parts = [part for part in Path(os.path.normpath(name)).parts if part not in ("/", "..")]
        end = (*parts[-2:],)
        if Path(name).resolve() == place or (end and place.parts[-len(end) :] == end):
            return True
    return False


def _may_go(run: Run) -> bool:
    # checkpoints of a loop that gansweep.track records are its owner's
    kept = KEEP in run.tags or run.result.get(TRACKED)
    return not kept and not is_held(run.directory)


def _is_sweep(folder: Path) -> bool:
    return (folder / "sweep.yaml").is_file()


def _of_sweep(
    folder: Path, members: Iterable[Run], everybody: Sequence[Run]
) -> tuple[list[tuple[Run, str]], str]:
    """The runs of one sweep that can go with their groups, and why others stay; "" for no reason.

    Of one that goes on only what will never be trained again: trials that were pruned or whose
    training failed. In a population any member may still take another one's weights over.
    """
    finished = _is_finished(folder)
    if not finished and (
        _is_population(folder) or any(r.sweep and r.sweep.schedule for r in members)
    ):
        return [], f"{folder}: its population is not finished, so every checkpoint stays."
    gone = [
        (run, "pruned" if run.status == "pruned" else "failed")
        for run in members
        if run.status == "pruned" or run.status in FAILED_TRAINING
        if not is_confirmation(run)
    ]
    if not finished:
        return gone, f"{folder}: not finished, so the checkpoints of its other trials stay."
    bugs = (run for run in members if run.status == "failed" and not is_confirmation(run))
    gone += [(run, "failed") for run in bugs]
    if Settings.load(folder).points:  # cells of a table, each of which is scored again
        return gone, f"{folder}: its runs were listed one by one, so none of them loses."
    leaders = _leaders(everybody)
    if leaders:
        losing = (run for run in members if run.complete and not is_confirmation(run))
        gone += [(run, "losing") for run in losing if run.directory not in leaders]
    return gone, ""


def _leaders(runs: Sequence[Run]) -> set[Path]:
    """The runs of the best configurations, and those on a Pareto front; empty without a winner."""
    board = leaderboard(runs)
    rows = [row for row in board.ranked if row.rank == 1]
    for _, tried, confirmed in fronts(board):
        for front in filter(None, (tried, confirmed)):
            rows += [member.row for member in front.members]
    return {run.directory for row in rows for run in row.runs}


def _is_finished(folder: Path) -> bool:
    """Whether the sweep is over; a study that cannot be read is not."""
    try:
        status = status_of(folder)
    except UserError:
        return False
    return status.state == "finished" and not status.storage_error


def _is_population(folder: Path) -> bool:
    try:
        return Settings.load(folder).sampler.get("name") == "population"
    except UserError:
        return True  # what is not known is not touched


def _measured(run: Run, group: str) -> Prunable:
    """The regular files of the run's own checkpoints; a hard link counts once."""
    folder = RunRecord(run.directory).checkpoints
    files: list[Path] = []
    blocks: dict[tuple[int, int], int] = {}
    try:
        found = [] if folder.is_symlink() else sorted(folder.glob("*.pt"))
        for path in found:
            place = path.lstat()
            if stat.S_ISREG(place.st_mode):
                files.append(path)
                blocks[place.st_dev, place.st_ino] = 512 * place.st_blocks
    except OSError:  # not ours to read, or gone
        files = []
    return Prunable(run, group, tuple(files), sum(blocks.values()))


def remove(one: Prunable) -> None:
    """Remove the checkpoints, as the run's writer.

    Raises: UserError where another process writes the run by now; OSError.
    """
    record = RunRecord(one.run.directory)
    with record.claimed():
        status = (record.result() or {}).get("status")
        if status == one.run.result.get("status"):  # else it was continued meanwhile
            for path in one.files:
                path.unlink(missing_ok=True)
