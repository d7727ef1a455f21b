"""`gansweep sync`: upload the Weights & Biases runs that were made offline."""

import shlex
import subprocess
import sys
from pathlib import Path

from gansweep.cli.arguments import Parser, paths_of
from gansweep.cli.candidates import Directories
from gansweep.config.wandb_login import logged_in_to_wandb
from gansweep.errors import UserError, visible
from gansweep.records.notation import plural
from gansweep.records.writer import is_held

HELP = """Usage: gansweep sync PATH [PATH ...]

Upload the Weights & Biases runs that were made offline at or below each PATH,
such as 'gansweep sync runs'. Log in first with 'wandb login' or WANDB_API_KEY.
What has been uploaded is not uploaded again. A run that is still being written
is left out: the same command uploads it once it has ended. The exit code is 1
if an upload failed.
"""


def parser() -> Parser:
    made = Parser("sync", HELP)
    made.add_words(Directories())
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0, or 1 where an upload failed. A UserError is left to the caller."""
    _, words = parser().read(words)
    paths = paths_of("sync", words)
    found = sorted({d for p in paths for d in p.rglob("offline-run-*") if d.is_dir()})
    if not found:
        raise UserError(
            f"No offline Weights & Biases run was found under {', '.join(words)}: runs made with "
            "tracker=wandb keep theirs in RUN/wandb/offline-run-*."
        )
    missing = [run for run in found if not _is_uploaded(run)]
    # wandb marks what it has read so far as uploaded: the rest of a run would never follow
    written = [run for run in missing if is_held(run.parents[1])]
    waiting = [run for run in missing if run not in written]
    if waiting and not logged_in_to_wandb():
        raise UserError(
            "You are not logged in to Weights & Biases: run 'wandb login' or set WANDB_API_KEY, "
            f"then '{shlex.join(['gansweep', 'sync', *words])}' again. "
            f"{len(waiting)} run(s) wait to be uploaded."
        )
    failed = _upload(waiting)
    print(f"{len(found) - len(written) - len(failed)} of {plural(len(found), 'run')} uploaded.")
    for run in written:
        print(visible(f"still being written: {run}"))
    if written:
        again = shlex.join(["gansweep", "sync", *words])
        print(f"'{again}' uploads what is still being written once it has ended.")
    for run in failed:
        print(visible(f"not uploaded: {run}"))
    return 1 if failed else 0


def _upload(runs: list[Path]) -> list[Path]:
    """Upload the runs.   Returns: those that could not be uploaded."""
    _call_wandb(runs)  # uploads several at a time
    failed = [run for run in runs if not _is_uploaded(run)]
    if len(runs) == 1:
        return failed
    for run in failed:  # where wandb cannot read one of several files, it uploads none
        _call_wandb([run])
    return [run for run in failed if not _is_uploaded(run)]


def _call_wandb(runs: list[Path]) -> None:
    if runs:  # the exit code is 0 where some failed
        subprocess.run([sys.executable, "-m", "wandb", "sync", *map(str, runs)], check=False)


def _is_uploaded(run: Path) -> bool:
    """Whether wandb has left its mark beside the run's file."""
    return any(run.glob("*.wandb.synced"))
