"""`gansweep cancel`: stop a sweep wherever it runs; nothing that it has is lost."""

import json
import os
import shlex
import signal
import socket
import time
from pathlib import Path

from gansweep.cli.arguments import Parser, only_sweep, parser_of_one_sweep
from gansweep.engine.lease.workers import CANCELLED, WorkerInfo, workers_of
from gansweep.engine.storage.disk import writing
from gansweep.errors import UserError, visible
from gansweep.records.notation import plural
from gansweep.records.record import replace_atomically

HELP = """\
Usage: gansweep cancel SWEEP_DIR

Stop a sweep, wherever its workers run.

  gansweep cancel runs/demo-digits

Every worker saves the checkpoint of its trial and stops: those of this machine
at once, those of others within seconds, when they see a file in the sweep's
directory. Where launcher=slurm started them, their jobs are cancelled, also
those that wait. Nothing is lost: the command that started the sweep continues
it from the checkpoints.

To stop one worker alone, send it SIGTERM (Ctrl-C where it runs in a terminal).
A `gansweep sweep` that is still running starts another in its place.
"""
WAIT_SECONDS = 20.0  # for the workers to save


def parser() -> Parser:
    return parser_of_one_sweep("cancel", HELP)


def main(words: list[str]) -> int:
    """The exit code: 0 once all workers have stopped, 1 where some still save."""
    return cancel(only_sweep("cancel", parser().read(words)[1]))


def cancel(directory: Path, wait_seconds: float = WAIT_SECONDS) -> int:
    """Stop the sweep and print what was done; the exit code.

    Raises: UserError where the directory holds no sweep, or cannot be written.
    """
    from gansweep.engine.status import status_of
    from gansweep.search.settings import Settings

    settings = Settings.load(directory)
    launcher = settings.launcher.get("name")
    content = {"at": time.time(), "host": socket.gethostname()}
    unwritten = None
    try:
        with writing(directory, ", then cancel it again: other machines do not know of it yet."):
            replace_atomically(directory / CANCELLED, json.dumps(content).encode())
    except UserError as error:  # what needs no disk is done before it is raised
        unwritten = error
    workers = workers_of(directory)
    here = [worker for worker in workers if _is_signalled(worker)]
    elsewhere = [worker for worker in workers if worker not in here]
    if launcher == "slurm":
        from gansweep.engine.launch import slurm

        try:
            print(slurm.cancel(directory))
        except UserError as error:
            print(f"The jobs of SLURM are not cancelled: {error}")
            print("Workers that run there, or start later, end by themselves.")
    if here:
        print(f"Asked {_counted(here)} of this machine to save and stop.")
    if unwritten is not None:
        raise unwritten
    if elsewhere:
        print(f"{_counted(elsewhere)} elsewhere will see it within seconds, save and stop.")
    deadline = time.monotonic() + wait_seconds
    while (still := workers_of(directory)) and time.monotonic() < deadline:
        time.sleep(0.1)
    if not still and status_of(directory).state == "finished":
        (directory / CANCELLED).unlink(missing_ok=True)
        print(f"The sweep {directory} is finished: there is nothing to cancel.")
        return 0
    if still:
        print(f"Still saving: {_counted(still)}. To see when they have stopped:")
        print(f"  gansweep status {shlex.quote(str(directory))}")
    else:
        print(f"No worker is at work on {directory}.")
    print(f"Nothing is lost. To continue the sweep:\n  {visible(settings.to_continue(directory))}")
    return 1 if still else 0


def _is_signalled(worker: WorkerInfo) -> bool:
    if not worker.is_process_of_this_host():
        return False
    try:
        os.kill(worker.pid, signal.SIGTERM)
    except ProcessLookupError:
        return True  # it ended by itself
    except PermissionError:
        return False  # another user's: it sees the file
    return True


def _counted(workers: list[WorkerInfo]) -> str:
    """As in: 5 workers (w0, w1, w2, ...)"""
    shown = ", ".join(w.worker for w in workers[:3]) + (", ..." if len(workers) > 3 else "")
    return f"{plural(len(workers), 'worker')} ({shown})"
