"""`gansweep cancel`: stop a sweep wherever it runs; what it has is kept."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import time
from pathlib import Path

from gansweep.engine.lease.workers import CANCELLED, WorkerInfo, workers_of
from gansweep.errors import UserError
from gansweep.records.notation import plural
from gansweep.records.record import disk_error, replace_atomically
from gansweep.search.settings import Settings, only_sweep

HELP = """\
gansweep cancel: stop a sweep, wherever its workers run.

  gansweep cancel runs/demo-digits

Every worker saves the checkpoint of its trial and stops: those of this machine
at once, those of others within seconds, by a file in the sweep's directory.
Where launcher=slurm started them, their jobs are cancelled, the waiting ones
too. Nothing is lost: the same `gansweep sweep` command goes on from the
checkpoints.

To end one worker alone, send it SIGTERM (Ctrl-C where it runs in a terminal).
A `gansweep sweep` that is still there starts one that is its own again.
"""
WAIT_SECONDS = 20.0  # for the workers to save


def main(words: list[str]) -> int:
    """The exit code: 0 once all workers have stopped, 1 where some still save."""
    if {"-h", "--help"} & {*words}:
        print(HELP, end="")
        return 0
    return cancel(only_sweep("cancel", words))


def cancel(directory: Path, wait_seconds: float = WAIT_SECONDS) -> int:
    """Stop the sweep, and say what was done; the exit code.

    Raises: UserError where the directory holds no sweep, or cannot be written.
    """
    launcher = Settings.load(directory).launcher.get("name")
    _write_mark(directory)
    here: list[WorkerInfo] = []
    elsewhere: list[WorkerInfo] = []
    for worker in workers_of(directory):
        (here if _told_by_signal(worker) else elsewhere).append(worker)
    if launcher == "slurm":
        from gansweep.engine.launch import slurm

        try:
            print(slurm.cancel(directory))
        except UserError as error:
            print(f"The jobs of SLURM are not cancelled: {error}")
            print("Workers that run there, or start later, end by themselves.")
    if here:
        print(f"Asked {_counted(here)} of this machine to save and stop.")
    if elsewhere:
        print(f"{_counted(elsewhere)} elsewhere will see it within seconds, save and stop.")
    still = _wait(directory, wait_seconds)
    if still:
        print(f"Still saving: {_counted(still)}. To see when it ended:")
        print(f"  gansweep status {shlex.quote(str(directory))}")
    else:
        print(f"No worker is at work on {directory}.")
    print("Nothing is lost: the same `gansweep sweep` command continues the sweep.")
    return 1 if still else 0


def _write_mark(directory: Path) -> None:
    content = {"at": time.time(), "host": socket.gethostname()}
    try:
        replace_atomically(directory / CANCELLED, json.dumps(content).encode())
    except OSError as error:
        raise disk_error(error, directory) or error from None


def _told_by_signal(worker: WorkerInfo) -> bool:
    if not worker.is_process_of_this_host():
        return False
    try:
        os.kill(worker.pid, signal.SIGTERM)
    except ProcessLookupError:
        return True  # it ended by itself
    except PermissionError:
        return False  # another user's: the file tells it
    return True


def _wait(directory: Path, seconds: float) -> list[WorkerInfo]:
    """The workers that still live after that time."""
    deadline = time.monotonic() + seconds
    while (still := workers_of(directory)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return still


def _counted(workers: list[WorkerInfo]) -> str:
    """As in: 5 workers (w0, w1, w2, ...)"""
    shown = ", ".join(w.worker for w in workers[:3]) + (", ..." if len(workers) > 3 else "")
    return f"{plural(len(workers), 'worker')} ({shown})"
