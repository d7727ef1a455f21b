"""The workers of a sweep: a file for each, locked for as long as that worker lives."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gansweep.config.signatures import fields
from gansweep.engine.lease.locks import LEASE_SECONDS, Lease, is_alive, kernel_id, remove_dead
from gansweep.errors import UserError
from gansweep.records.notation import plural
from gansweep.records.plain_values import DamagedError, mapping, parsed
from gansweep.records.record import content_of, replace_atomically

INFO = "gansweep.engine.lease.workers.WorkerInfo"
LOOKS = 3  # at a file that seems taken: a process that looks at a dead one locks it for a moment
LOOK_SECONDS = 0.05
LAUNCHER = "launcher"  # the name of the process of `gansweep sweep`
LAUNCHER_FILE = "launcher.alive"
# what a worker does that has no trial, whose trial needs a GPU, that was asked to save and end
IDLE, WAITS_FOR_GPU, STOPPING = "idle", "waiting for a GPU", "stopping"
CANCELLED = "cancelled"  # the file by which workers on all hosts see `gansweep cancel`

JOB = "GANSWEEP_JOB"  # variable: the id of the Kubernetes Job that this process is in a pod of
JOB_FILE = "job"  # by which the other pods see that the first has begun or continued the sweep
POD_SAVE_SECONDS = 150  # between SIGTERM and SIGKILL of a pod; a worker gives its trial 120
# until a launcher in an earlier pod has ended, and its lease is seen to be dead
FORMER_SECONDS = POD_SAVE_SECONDS + 2 * LEASE_SECONDS


@dataclass(frozen=True)
class WorkerInfo:
    """One process that is at work on a sweep, by its file."""

    path: Path
    worker: str
    pid: int
    kernel: str
    host: str
    job: str | None  # of SLURM, as in 17_3
    gpus: str | None  # as CUDA_VISIBLE_DEVICES names them; None: not restricted
    started: float  # seconds since 1970
    doing: str  # the key of a trial, IDLE, WAITS_FOR_GPU, STOPPING
    since: float

    @classmethod
    def read(cls, path: Path) -> WorkerInfo | None:
        """The content of the file; None if it is missing, empty or damaged."""
        try:
            first, _, second = content_of(path).partition(b"\n")
            fixed = parsed(first)
        except (OSError, DamagedError):
            return None
        try:
            now = parsed(second)
        except DamagedError:  # it is being rewritten
            now = {"doing": "", "since": time.time(), "gpus": None}
        found: dict[str, Any] = {**mapping(fixed), **mapping(now), "path": str(path)}
        kinds = fields(INFO)
        if not all(kind.takes(found.get(name)) for name, kind in kinds.items()):
            return None
        known: dict[str, Any] = {name: found.get(name) for name in kinds}
        return cls(**{**known, "path": path})

    def is_process_of_this_host(self) -> bool:
        """Whether `pid` is at present the process that holds this file open. The number alone may
        belong to another process by now, or to another container."""
        if self.kernel != kernel_id():
            return False
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user
            for link in Path(f"/proc/{self.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if link.samefile(self.path):
                        return True
        return False


class WorkerFile:
    """Announces this process in the sweep's directory until `leave`, or until it dies. If a live
    worker has the name, a number is added: w0, w0-2, w0-3."""

    def __init__(self, directory: Path, name: str) -> None:
        folder = directory / "workers"
        folder.mkdir(exist_ok=True)
        for path in folder.glob("*.alive"):
            remove_dead(path)
        names = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
        self._lease = next(filter(None, (_claimed(folder / f"{n}.alive", n) for n in names)))
        self.name = self._lease.path.stem
        self._noted: tuple[str, str | None] | None = None
        self.note(IDLE)

    def note(self, doing: str) -> None:
        """Say what this worker is at from now on."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        if self._noted == (doing, gpus):
            return
        self._noted = doing, gpus
        with contextlib.suppress(OSError):  # a full disk: the lock shows that it lives
            self._lease.note(doing=doing, since=time.time(), gpus=gpus)

    def leave(self) -> None:
        self._lease.release()


@contextlib.contextmanager
def launching(directory: Path, elsewhere: str = "name=") -> Iterator[None]:
    """Be the only process that keeps a sweep's workers running on its machine.

    elsewhere: as of `refuse_second`.   Raises: UserError if there is another one.
    """
    path = directory / LAUNCHER_FILE
    lease = _claimed(path, LAUNCHER)
    if lease is None:
        refuse_second(directory, elsewhere)
        raise UserError(f"Another process holds {path}. Try again in {LEASE_SECONDS:g} s.")
    try:
        yield
    finally:
        lease.release()


def refuse_second(directory: Path, elsewhere: str = "name=") -> None:
    """Raises: UserError if a process looks after the sweep already; a pod first waits for its end.

    elsewhere: the option that gives another directory.
    """
    launcher = _left_of_former(directory) if JOB in os.environ else launcher_of(directory)
    if launcher is None:
        return
    many, place = plural(len(workers_of(directory)), "worker"), shlex.quote(str(directory))
    raise UserError(
        f"The sweep {directory} is at work already: since {_moment(launcher.started)}, started on "
        f"{launcher.host} by process {launcher.pid}, with {many} now. To "
        f"watch it: `gansweep status {place}`. To add a worker: `gansweep worker {place}`. "
        f"To give it other options, stop it first: `gansweep cancel {place}`. For another sweep "
        f"choose another {elsewhere}."
    )


def _left_of_former(directory: Path) -> WorkerInfo | None:
    """The launcher that is still there when one in an earlier pod has had the time to end."""
    deadline = time.monotonic() + FORMER_SECONDS
    while (launcher := launcher_of(directory)) is not None and time.monotonic() < deadline:
        time.sleep(1.0)
    return launcher


def tell_job(directory: Path) -> None:
    """Let the other pods of our Job, if we are in one, work on the sweep from now on."""
    if job := os.environ.get(JOB):
        directory.mkdir(parents=True, exist_ok=True)
        replace_atomically(directory / JOB_FILE, job.encode())


def others_at_work(directory: Path) -> str:
    """A line about the workers that are already at work on a sweep; "" for none."""
    others = [w for w in workers_of(directory) if w.doing != STOPPING]
    if not others:
        return ""
    since = _moment(min(w.started for w in others))
    shown = ", ".join(w.worker for w in others[:3]) + (", ..." if len(others) > 3 else "")
    workers = "worker is" if len(others) == 1 else "workers are"
    return f"{len(others)} {workers} at work on it since {since}: {shown}\n"


def is_cancelled(directory: Path) -> bool:
    """Whether `gansweep cancel` stopped the sweep, and it was not continued since."""
    return (directory / CANCELLED).exists()


def workers_of(directory: Path) -> list[WorkerInfo]:
    """The workers that live, by name."""
    found = filter(None, map(_present, (directory / "workers").glob("*.alive")))
    return sorted(found, key=lambda w: _in_words(w.worker))


def launcher_of(directory: Path) -> WorkerInfo | None:
    """The `gansweep sweep` that looks after the sweep now."""
    return _present(directory / LAUNCHER_FILE)


def _present(path: Path) -> WorkerInfo | None:
    """The process that announces itself by the file at `path`, if it lives."""
    found = WorkerInfo.read(path)
    return found if found is not None and is_alive(path) else None


def _in_words(name: str) -> list[str | int]:
    """w2 comes before w10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _moment(seconds: float) -> str:
    then = time.localtime(seconds)
    today = time.strftime("%F", then) == time.strftime("%F")
    return time.strftime("%H:%M:%S" if today else "%F %H:%M:%S", then)


def _claimed(path: Path, name: str) -> Lease | None:
    """The lease at `path`; None if another process that lives holds it."""
    for _ in range(LOOKS):
        try:
            # exclusively: of two that come at once, one gets it
            remove_dead(path)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
            return Lease(path, name, **_facts())
        except FileExistsError:
            time.sleep(LOOK_SECONDS)
    return None


def _facts() -> dict[str, Any]:
    job = os.environ.get("SLURM_JOB_ID")
    array, task = (os.environ.get(f"SLURM_ARRAY_{k}") for k in ("JOB_ID", "TASK_ID"))
    return {
        "host": socket.gethostname(),
        "job": f"{array}_{task}" if array and task else job,
        "started": time.time(),
    }
