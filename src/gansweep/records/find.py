"""Find the runs below a path."""

import difflib
import os
from collections.abc import Container, Iterable
from pathlib import Path

from gansweep.errors import UserError
from gansweep.records.record import FOLDERS, RunRecord


def find_records(paths: Iterable[Path]) -> list[RunRecord]:
    """The runs at or below each path, sorted by directory, each once; relative as their path is.

    Files of a tracker inside a run are not runs. Runs inside another run's directory are found too.
    Raises: UserError if a path does not exist or holds no run.
    """
    tops = {p.parent.resolve(): top for top in paths for p in _configurations(top)}
    found = [d for d in sorted(tops) if _is_run(d, tops)]
    return [RunRecord(_as_given(d, tops[d])) for d in found]


def existing_run(directory: Path) -> RunRecord:
    """The run in the directory.   Raises: UserError if it holds none, or a group of runs."""
    record = RunRecord(directory)
    if record.exists:
        return record
    inside = next(iter(sorted(directory.glob("*/config.yaml"))), None)
    if inside is None:
        raise UserError(
            f"{directory} is not a run: {why_without(directory, 'config.yaml')}. Give the "
            f"directory of a run, such as {_run_near(directory)}."
        )
    raise UserError(f"{directory} is a group of runs. Give one of them, such as {inside.parent}.")


def why_without(directory: Path, name: str) -> str:
    """Why no file of that name is in what should be a directory."""
    if not directory.exists():
        return "it does not exist"
    return f"it has no {name}" if directory.is_dir() else "it is a file"


def _run_near(directory: Path) -> str:
    """The run that a wrong path lies in, or whose path is most like it, of those beside it and of
    its cousins."""
    for parent in directory.parents:
        if (parent / "config.yaml").is_file():
            return str(parent)
    top = directory.parent if directory.parent.is_dir() else directory.parent.parent
    beside = [str(path.parent) for n in ("*", "*/*") for path in top.glob(f"{n}/config.yaml")]
    found = difflib.get_close_matches(str(directory), beside, n=1, cutoff=0.0)
    return found[0] if found else "runs/digits/dcgan-001"


def _configurations(top: Path) -> list[Path]:
    if not top.exists():
        raise UserError(
            f"{top} does not exist. Give the directory of a run, of a group of runs or of a sweep, "
            "such as runs/digits."
        )
    found = []
    for folder, below, files in os.walk(top):  # leaves out what cannot be read or is gone
        if "config.yaml" in {*files, *below}:
            found.append(Path(folder, "config.yaml"))
            below[:] = [name for name in below if name not in FOLDERS]
    if not found:
        raise UserError(
            f"No run was found under {top}: a run is a directory with a config.yaml, which "
            "`gansweep train` and `gansweep sweep` write. Give the directory of a run, of a group "
            "of runs or of a sweep, such as runs/digits."
        )
    return found


def _as_given(directory: Path, top: Path) -> Path:
    """Relative to the working directory if `top` is; a run's path always has its group's name."""
    if top.is_absolute() or not directory.is_relative_to(Path.cwd()):
        return directory
    relative = directory.relative_to(Path.cwd())
    return relative if len(relative.parts) > 1 else directory


def _is_run(directory: Path, found: Container[Path]) -> bool:
    """Whether a directory with a config.yaml is a run.   found: all directories with one."""
    around = next((d for d in directory.parents if d in found), None)
    if around is None:
        return True
    inside = directory.relative_to(around).parts[0]
    marks = ("samples", "checkpoints", "history.jsonl", "result.json")
    return inside not in FOLDERS and any((directory / mark).exists() for mark in marks)
