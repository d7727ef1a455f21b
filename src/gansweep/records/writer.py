"""The writer of a run's directory: only the process that took the newest number may write.

RUN/.writer       the newest number and the process that took it; that process keeps a lock on the
                  file until it ends
RUN/.writer.lock  locked for a moment, while a number is taken or a file is written

The lock on .writer refuses a second writer on every machine that can see the lock. The number also
works where locks do not reach other machines: a writer that was suspended and then replaced finds a
newer number and stops writing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from gansweep.errors import UserError

FILE, LOCK = ".writer", ".writer.lock"
MOST, MOST_SECONDS = 2**63, 1e11  # limits of a number and a time
SIZE = 512  # bytes of FILE; one write in place that always has the same size is never partial
# How long to wait for a process that was suspended while it held LOCK. Its unfinished write is
# lost: see RunRecord.claimed.
LOCK_SECONDS = 30.0
LOOK_SECONDS = 0.005
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

_held: dict[tuple[int, int], Claim] = {}  # claims of this process: (device, inode) of the run


class SupersededError(UserError):
    """Another process has taken the run over. This process must not write to it any more."""


@dataclass(frozen=True)
class Holder:
    """The process that took a number.   started: seconds since 1970."""

    number: int
    host: str
    pid: int
    started: float

    @classmethod
    def parse(cls, content: bytes) -> Holder | None:
        """The holder in the content of FILE; None if it is empty or not valid."""
        try:
            found = json.loads(content)
            number, started = int(found["number"]), float(found["started"])
            host, pid = "".join(filter(str.isprintable, str(found["host"]))), int(found["pid"])
        except (ValueError, TypeError, KeyError, OverflowError):
            return None
        if not 0 < number < MOST or not 0 <= started < MOST_SECONDS:
            return None
        return cls(number, host, pid, started)

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode().ljust(SIZE - 1) + b"\n"

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        return f"process {self.pid} on {self.host}, started at {since}"


class Claim:
    """The right of this process to write one run: `with claim(directory): ...`."""

    def __init__(self, directory: Path, descriptor: int, holder: Holder) -> None:
        self.directory = directory
        self.number = holder.number
        self._line = holder.line()
        self._descriptor = descriptor
        self._key = _key(directory)
        self._depth = 1
        _held[self._key] = self

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let others write. The lock files are removed if nothing else is in the directory."""
        self._depth -= 1
        if self._depth:
            return
        del _held[self._key]
        try:
            with contextlib.suppress(OSError), locked(self.directory):
                if self._is_newest() and holds_nothing(self.directory):
                    _remove_traces(self.directory)
        finally:
            os.close(self._descriptor)

    def discard(self) -> None:
        """Remove the directory, unless another process has taken it over."""
        with contextlib.suppress(OSError), locked(self.directory):
            if self._is_newest():
                shutil.rmtree(self.directory, ignore_errors=True)

    def check(self) -> None:
        """Raises: SupersededError if another process took a newer number."""
        # the process before us may have kept the lock: take it as soon as that process ends
        _lock_at_once(self._descriptor)
        if not self._is_newest():
            raise _superseded(self.directory)

    def _is_newest(self) -> bool:
        return _read(self.directory) == self._line


def holds_nothing(directory: Path) -> bool:
    """Whether the directory contains nothing but the lock files."""
    return {path.name for path in directory.iterdir()} <= {FILE, LOCK}


def _remove_traces(directory: Path) -> None:
    (directory / FILE).unlink(missing_ok=True)
    (directory / LOCK).unlink(missing_ok=True)


def claim(directory: Path, *, take: bool = False, after: int | None = None) -> Claim:
    """Take the next number of a run's directory, which must exist, for this process.

    take: even if the present holder is alive; only for a caller that was given its work.
    after: the newest number must still be this one.
    Raises: UserError if another process writes the run; SupersededError if the newest number is
        not `after`; OSError (no permission, no such directory).
    """
    held = _held.get(_key(directory))
    if held is not None:
        held._depth += 1
        return held
    with locked(directory):
        descriptor = _opened(directory / FILE)
        try:
            free = _lock_at_once(descriptor)
            before = Holder.parse(os.pread(descriptor, SIZE, 0))
            if after is not None and after != (before.number if before else 0):
                raise _superseded(directory)
            if not free and not take:
                raise _refusal(directory, before)
            return Claim(directory, descriptor, _took_next(descriptor))
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError) and holds_nothing(directory):
                _remove_traces(directory)  # the disk is full
            raise


def refuse_held(directory: Path) -> None:
    """Raises: UserError if another process is writing the run now."""
    with contextlib.suppress(OSError), locked(directory):
        descriptor = os.open(directory / FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not _lock_at_once(descriptor):
                raise _refusal(directory, Holder.parse(os.pread(descriptor, SIZE, 0)))
        finally:
            os.close(descriptor)


def is_held(directory: Path, recent_seconds: float = 120.0) -> bool:
    """Whether a process writes the run now. Nothing is written: the run may be somebody else's.

    recent_seconds: a holder on another host, whose lock may not reach this one, and one whose lock
        may not be read, count as alive for so long after the last row of the history.
    """
    try:
        with _looking(directory / LOCK) as look:
            # nobody can take a number meanwhile, so nobody is refused because of this lock
            if look is None:
                return True  # it is being written at this moment
            with _looking(directory / FILE) as free:
                if free is None:
                    return True
                holder = Holder.parse(os.pread(free, SIZE, 0))
        if holder is None or holder.host == socket.gethostname():
            return False
    except FileNotFoundError:
        return False
    except OSError:
        pass
    with contextlib.suppress(OSError):
        return time.time() - (directory / "history.jsonl").stat().st_mtime < recent_seconds
    return False


@contextlib.contextmanager
def _looking(path: Path) -> Iterator[int | None]:
    """An existing file with a shared lock, opened to read; None where somebody has its lock."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield descriptor if _lock_at_once(descriptor, fcntl.LOCK_SH) else None
    finally:
        os.close(descriptor)


def _refusal(directory: Path, holder: Holder | None) -> UserError:
    return UserError(
        f"{directory} is being written by {holder or 'another process'}. Wait until that process "
        "has ended, or stop it. To start another run, choose another name=."
    )


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """In this context the process may write to a run's directory.

    Without a claim it takes the next number, so that an earlier writer stops writing.
    Raises: SupersededError if another process took a newer number than this process's claim.
    """
    held = _held.get(_key(directory))
    with locked(directory):
        if held is not None:
            held.check()
        else:
            descriptor = _opened(directory / FILE)
            try:
                _took_next(descriptor)
            finally:
                os.close(descriptor)
        yield


@contextlib.contextmanager
def adding(directory: Path, number: int) -> Iterator[None]:
    """In this context the process may add results to a run that it does not own.

    number: the newest number at the time when the run was read.
    Raises: SupersededError if there is a newer number now.
    """
    with locked(directory):
        if newest(directory) != number:
            raise SupersededError(
                f"{directory} was continued or trained again in the meantime, so these results do "
                "not belong to its present content. Give the same command again."
            )
        yield


def newest(directory: Path) -> int:
    """The newest number of a run; 0 if no process has taken one."""
    holder = Holder.parse(_read(directory))
    return 0 if holder is None else holder.number


def _took_next(descriptor: int) -> Holder:
    """This process, as it now stands in the open FILE with the next number."""
    before = Holder.parse(os.pread(descriptor, SIZE, 0))
    number = 1 if before is None else before.number + 1
    holder = Holder(number, socket.gethostname(), os.getpid(), time.time())
    os.pwrite(descriptor, holder.line(), 0)
    return holder


def _superseded(directory: Path) -> SupersededError:
    holder = Holder.parse(_read(directory))
    return SupersededError(
        f"{directory} was taken over by {holder or 'another process'}. This process has stopped "
        "and does not write to it any more. Nothing needs to be done: the other process continues "
        "the run."
    )


def _read(directory: Path) -> bytes:
    """The content of FILE. A network file system asks its server, because it is opened anew."""
    try:
        descriptor = os.open(directory / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, SIZE, 0) if _is_file(descriptor) else b""
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    """Open or make a regular file. Links, pipes and devices are refused: the run may be foreign."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o666)
    if not _is_file(descriptor):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _key(directory: Path) -> tuple[int, int]:
    place = os.stat(directory)
    return place.st_dev, place.st_ino


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """In this context nobody else takes a number of the run or writes to it."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        descriptor = _opened(directory / LOCK)
        try:
            while not _lock_at_once(descriptor) and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
            if os.fstat(descriptor).st_nlink > 0:  # else another process has removed the file
                yield
                return
        finally:
            os.close(descriptor)


def _lock_at_once(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether this process has the lock of an open file, or the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True
