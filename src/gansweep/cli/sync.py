"""`gansweep sync`: upload the Weights & Biases runs that were made offline."""

import shlex
import subprocess
import sys
from pathlib import Path

from gansweep.cli.arguments import Parser, paths_of
from gansweep.cli.candidates import Directories
from gansweep.config.wandb_login import logged_in_to_wandb
from gansweep.errors import UserError
from gansweep.records.notation import plural

HELP = """Usage: gansweep sync PATH [PATH ...]

Upload the Weights & Biases runs that were made offline at or below each PATH,
such as 'gansweep sync runs'. Log in first with 'wandb login' or WANDB_API_KEY.
What has been uploaded is not uploaded again.
"""


def parser() -> Parser:
    made = Parser("sync", HELP)
    made.add_words(Directories())
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0, or 1 where a run was not uploaded. A UserError is left to the caller."""
    _, words = parser().read(words)
    paths = paths_of("sync", words)
    found = sorted({d for p in paths for d in p.rglob("offline-run-*") if d.is_dir()})
    if not found:
        raise UserError(
            f"No offline Weights & Biases run was found under {', '.join(words)}: runs made with "
            "tracker=wandb keep theirs in RUN/wandb/offline-run-*."
        )
    waiting = [run for run in found if not _is_uploaded(run)]
    if waiting and not logged_in_to_wandb():
        raise UserError(
            "You are not logged in to Weights & Biases: run 'wandb login' or set WANDB_API_KEY, "
            f"then '{shlex.join(['gansweep', 'sync', *words])}' again. "
            f"{len(waiting)} run(s) wait to be uploaded."
        )
    if waiting:  # wandb uploads several at a time; its exit code is 0 where some failed
        subprocess.run([sys.executable, "-m", "wandb", "sync", *map(str, waiting)], check=False)
    left = [run for run in waiting if not _is_uploaded(run)]
    print(f"{len(found) - len(left)} of {plural(len(found), 'run')} uploaded.")
    for run in left:
        print(f"not uploaded: {run}")
    return 1 if left else 0


def _is_uploaded(run: Path) -> bool:
    """Whether wandb has left its mark beside the run's file."""
    return any(run.glob("*.wandb.synced"))
