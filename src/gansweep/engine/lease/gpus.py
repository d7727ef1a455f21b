"""Which GPU each worker computes on, so that no two trials share one by accident.

A worker takes its GPUs when it has a trial to run, by kernel locks on files in one directory of the
machine. It passes the locks on to its children, and gives them back when it is idle. So workers of
other sweeps, users and shells use other GPUs. A killed worker's GPU is free once its last process
has ended. Containers that share a GPU but not the directory do not see each other.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import reduction
from pathlib import Path
from typing import Any

from gansweep.engine.lease import mps
from gansweep.engine.lease.locks import try_lock
from gansweep.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
DIRECTORY = "GANSWEEP_GPU_LOCKS"  # names another one, if /tmp is not shared by the whole machine
HELD = "GANSWEEP_HELD_FILES"  # descriptors that the processes of one trial pass on
WAIT_SECONDS = 2.0  # for another user to share a file that it has just made


@dataclass(frozen=True)
class GpuShare:
    """What one trial takes: one of the `slots` of a GPU, or `per_trial` whole ones.

    mps: whether the trials on a GPU compute under NVIDIA's MPS.
    """

    slots: int = 1
    per_trial: int = 1
    mps: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> GpuShare:
        """The share that a file of conf/launcher/ asks for; with SLURM or Ray, all that a worker
        has, which with Ray may be a part of one.

        Raises: UserError if there is no such share.
        """
        if options.get("name") == "slurm":
            number = str(options.get("gpus") or 1).rpartition(":")[2]
            return cls(per_trial=_positive("gpus", int(number) if number.isdigit() else number))
        if options.get("name") == "ray":
            gpus = options.get("gpus_per_worker", "auto")
            many = 1.0 if gpus == "auto" else float(gpus)
            return cls(max(1, int(1 / many + 1e-6)) if many else 1, max(1, int(many)))
        slots = options.get("slots_per_gpu", 1)
        slots = 1 if slots == "auto" else _positive("slots_per_gpu", slots)
        per_trial = _positive("gpus_per_trial", options.get("gpus_per_trial", 1))
        if slots > 1 and per_trial > 1:
            raise UserError(
                f"launcher.slots_per_gpu={slots} lets trials share a GPU, and "
                f"launcher.gpus_per_trial={per_trial} gives each several. Leave one of them at 1."
            )
        uses_mps = bool(options.get("mps", False))
        if uses_mps and slots == 1 and options.get("slots_per_gpu") != "auto":
            raise UserError(
                "launcher.mps=true is for trials that share a GPU, and with "
                "launcher.slots_per_gpu=1 each has one of its own. Add launcher.slots_per_gpu=4 or "
                "auto, or leave launcher.mps= out."
            )
        return cls(slots, per_trial, uses_mps)

    def fits(self, gpus: int) -> int:
        """How many trials run at a time on so many GPUs."""
        return gpus * self.slots // self.per_trial

    def usable_gpus(self) -> list[Gpu]:
        """The GPUs of this machine that trials can use.

        Raises: UserError if they are too few for one trial.
        """
        gpus = visible_gpus()
        if self.per_trial > 1:
            gpus = [g for g in gpus if not g.name.startswith("MIG-")]  # CUDA cannot join parts
        if self.per_trial > max(1, len(gpus)):
            raise UserError(
                f"Each trial is to have {self.per_trial} GPUs, and {socket.gethostname()} has "
                f"{len(gpus)} (whole ones) for this sweep. Use launcher.gpus_per_trial="
                f"{max(1, len(gpus))}, or make more visible with {VISIBLE}."
            )
        return gpus


def _positive(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f"launcher.{name}={value} is no positive whole number. Use launcher.{name}=1, say."
        )
    return value


@dataclass(frozen=True)
class Gpu:
    """A device that CUDA can be made to use."""

    name: str  # for CUDA_VISIBLE_DEVICES: a UUID where nvidia-smi gives it
    identity: str  # equal for one device on this machine, however it is named


def visible_gpus() -> list[Gpu]:
    """The GPUs that this process may use; a GPU that is divided (MIG) counts as its parts.

    PyTorch is not used: importing it takes seconds and gigabytes. Without nvidia-smi, the names in
    CUDA_VISIBLE_DEVICES are taken as they are.
    """
    listed = _listed()
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return [_gpu(part) for parts in listed.values() for part in parts]
    found: list[Gpu] = []
    for word in map(str.strip, visible.split(",")):
        named = _named(word, listed) if listed else _unlisted(word)
        if not named:
            break  # as CUDA, which reads up to the first name that it does not know
        found += [gpu for gpu in named if gpu not in found]
    return found


def _listed() -> dict[str, list[str]]:
    """UUID of each GPU -> the UUIDs of its parts; of an undivided one, its own."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    found: dict[str, list[str]] = {}
    for line in listing.splitlines():
        uuid = re.search(r"\(UUID: ([^)]+)\)", line)
        if uuid and line.startswith("GPU "):
            found[uuid[1]] = []
        elif uuid and found:  # "  MIG 1g.10gb Device 0: ..." below its GPU
            found[list(found)[-1]].append(uuid[1])
    return {gpu: parts or [gpu] for gpu, parts in found.items()}


def _gpu(uuid: str) -> Gpu:
    return Gpu(uuid, uuid.replace("/", "_"))  # older drivers: MIG-GPU-.../1/0


def _named(word: str, listed: Mapping[str, list[str]]) -> list[Gpu]:
    """What a word of CUDA_VISIBLE_DEVICES stands for: an index, or the beginning of a UUID."""
    if word.isdigit():
        found = list(listed.values())[int(word) : int(word) + 1]
    else:
        whole = [parts for gpu, parts in listed.items() if word and gpu.startswith(word)]
        parts = [[p] for parts in listed.values() for p in parts if word and p.startswith(word)]
        found = whole or parts
    return [_gpu(part) for part in found[0]] if len(found) == 1 else []


def _unlisted(word: str) -> list[Gpu]:
    if word.isdigit():
        host = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        return [Gpu(word, f"{host}-{word}")]
    return [_gpu(word)] if word.startswith(("GPU-", "MIG-")) else []


class HeldGpus:
    """GPUs that this process holds, and each child of multiprocessing that gets this object. They
    are free once all of these processes have ended."""

    def __init__(
        self,
        names: Sequence[str],
        descriptors: Sequence[int],
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """variables: of a process that computes on them, beside CUDA_VISIBLE_DEVICES."""
        self.names = list(names)
        self._descriptors = list(descriptors)
        self._variables = dict(variables or {})

    def __reduce__(self) -> tuple[Any, ...]:
        descriptors = [reduction.DupFd(d) for d in self._descriptors]
        return _inherited, (self.names, descriptors, self._variables)

    @property
    def variables(self) -> dict[str, str]:
        """Of a process that computes on them."""
        return {**self._variables, VISIBLE: ",".join(self.names)}

    def join_mps(self) -> None:
        """Compute under MPS.   Raises: UserError if its daemon does not start."""
        descriptor, self._variables = mps.joined(self.names[0])
        self._descriptors += [] if descriptor is None else [descriptor]

    def touch(self) -> None:
        """Keep the locks' files from programs that clean /tmp by age."""
        for descriptor in self._descriptors:
            os.utime(descriptor)

    def pass_on(self) -> None:
        """Make this process compute on these GPUs, and the other processes of a data-parallel trial
        hold them too. Call it before CUDA is used."""
        os.environ |= self.variables
        os.environ[HELD] = ",".join(map(str, self._descriptors))

    def release(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()


def _inherited(names: list[str], descriptors: list[Any], variables: dict[str, str]) -> HeldGpus:
    return HeldGpus(names, [d.detach() for d in descriptors], variables)


def take_gpus(gpus: Sequence[Gpu], share: GpuShare, sweep: Path) -> HeldGpus | None:
    """As many of these GPUs as a trial of `sweep` needs, the least used first; None if too few are
    free.

    Raises: UserError if the locks cannot be kept.
    """
    with _allocation() as folder:
        used = {gpu: sum((s.part for s in _seats(folder, gpu)), Fraction(0)) for gpu in gpus}
        room = [gpu for gpu in gpus if used[gpu] + Fraction(1, share.slots) <= 1]
        chosen = sorted(room, key=lambda gpu: used[gpu])[: share.per_trial]
        if len(chosen) < share.per_trial:
            return None
        note = {"slots": share.slots, "pid": os.getpid(), "sweep": str(sweep.resolve())}
        return HeldGpus([g.name for g in chosen], [_sit(folder, gpu, note) for gpu in chosen])


class GpuTurns:
    """The GPUs of a worker: taken for its trials, and given back while it has none."""

    def __init__(self, share: GpuShare, sweep: Path, *, uses_gpus: bool) -> None:
        """Raises: UserError if there are GPUs, but too few for one trial."""
        self._share, self._sweep = share, sweep
        self.gpus = share.usable_gpus() if uses_gpus else []
        self._visible = os.environ.get(VISIBLE)
        self.held: HeldGpus | None = None

    def take(self) -> bool:
        """Take what a trial needs, if it is free. Whether it is held; True if nothing is needed.

        Raises: UserError if the locks cannot be kept, or MPS does not start.
        """
        if self.gpus and self.held is None:
            self.held = take_gpus(self.gpus, self._share, self._sweep)
            if self.held is not None:
                os.environ[VISIBLE] = ",".join(self.held.names)
                if self._share.mps:
                    self.held.join_mps()
        return not self.gpus or self.held is not None

    def give_back(self) -> None:
        """Release them, with CUDA_VISIBLE_DEVICES as it was before they were taken."""
        if self.held is None:
            return
        self.held.release()
        self.held = None
        if self._visible is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = self._visible


def holders_in_words(gpus: Sequence[Gpu]) -> str:
    """Which processes hold these GPUs, in words."""
    with _allocation() as folder:
        held = [(gpu.name, seat) for gpu in gpus for seat in _seats(folder, gpu)]
    words = [f"{name} by process {s.pid} of {s.sweep}" for name, s in held]
    return ", ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")


@dataclass(frozen=True)
class _Seat:
    """A place on a GPU that is taken, by the note in its file."""

    part: Fraction  # of the GPU
    pid: int | str
    sweep: str


def _seats(folder: int, gpu: Gpu) -> list[_Seat]:
    taken = []
    for name in _seat_files(folder, gpu):
        with open(_open(folder, name), "rb") as file:
            if not try_lock(file.fileno()):
                taken.append(_read(file.fileno()))
    return taken


def _seat_files(folder: int, gpu: Gpu) -> list[str]:
    pattern = re.compile(re.escape(gpu.identity) + r"\.seat\d+")
    return sorted(name for name in os.listdir(folder) if pattern.fullmatch(name))


def _read(descriptor: int) -> _Seat:
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        return _Seat(Fraction(1, int(note["slots"])), int(note["pid"]), str(note["sweep"]))
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        return _Seat(Fraction(1), "?", "another sweep")  # the safe choice: the whole GPU is taken


def _sit(folder: int, gpu: Gpu, note: Mapping[str, Any]) -> int:
    """Take a free seat of a GPU, or a new one; its locked descriptor."""
    known = _seat_files(folder, gpu)
    for name in [*known, f"{gpu.identity}.seat{len(known)}"]:
        descriptor = _open(folder, name)
        if try_lock(descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(note).encode(), 0)
            return descriptor
        os.close(descriptor)
    raise AssertionError("no other process takes a seat while the allocation is locked")


@contextlib.contextmanager
def _allocation() -> Iterator[int]:
    """The directory of the locks, as a descriptor, while no other process takes a GPU.

    Raises: UserError in place of an OSError.
    """
    path = Path(os.environ.get(DIRECTORY) or "/tmp/gansweep-gpus")
    with contextlib.ExitStack() as opened:
        try:
            folder = _folder(path)
            opened.callback(os.close, folder)
            descriptor = _open(folder, "allocation")
            opened.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
        except OSError as error:
            raise UserError(
                f"The locks that keep two trials off one GPU cannot be held in {path} "
                f"({error.filename or 'there'}: {error.strerror}). Repair or remove that "
                f"directory, or name another in {DIRECTORY}, the same for every user of this "
                "machine."
            ) from error


def _folder(path: Path) -> int:
    made = False
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        made = True
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    if made:
        os.fchmod(folder, 0o1777)  # for every user, as /tmp is
    return folder


def _open(folder: int, name: str) -> int:
    """A file that all users share; never the target of another user's link."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            descriptor = _opened(folder, name)
        except PermissionError:  # another user has just made it and will share it
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            return descriptor
        os.close(descriptor)
        if found.st_nlink > 0:  # else it was removed in between
            raise OSError(errno.EPERM, "not a plain file", name)


def _opened(folder: int, name: str) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        # one after the other: Linux refuses O_CREAT for other users' files in a directory like
        # /tmp (fs.protected_regular)
        with contextlib.suppress(FileNotFoundError):
            return os.open(name, flags, dir_fd=folder)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
            os.fchmod(descriptor, 0o666)
            return descriptor
