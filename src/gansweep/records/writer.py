"""Who may write a run's directory: one process, the one that took the newest number.

RUN/.writer       the number and its holder, who locks the file for as long as it lives
RUN/.writer.lock  held for a moment, while a number is taken and while something is written

The lock of the holder refuses a second writer on every machine that sees it. The number needs no
lock that reaches other machines: a writer who was suspended, and whose work somebody else has
taken over, finds a newer number and writes nothing more.
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
MOST, MOST_SECONDS = 2**63, 1e11  # what a number and a time may be
SIZE = 512  # of FILE, which is written in place: one write of always as many bytes is never torn
# A process that is suspended while it holds LOCK is waited for so long. What it was about to write
# goes nowhere: see RunRecord.claimed.
LOCK_SECONDS = 30.0
LOOK_SECONDS = 0.005
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

_held: dict[tuple[int, int], Claim] = {}  # by this process: (device, inode) of a run's directory


class SupersededError(UserError):
    """Another process has taken a run over: this one must write nothing more of it."""


@dataclass(frozen=True)
class Holder:
    """Who took a number.   started: seconds since 1970."""

    number: int
    host: str
    pid: int
    started: float

    @classmethod
    def parse(cls, content: bytes) -> Holder | None:
        """None where nobody took a number, or what stands there is none of ours."""
        try:
            found = json.loads(content)
            number, started = int(found["number"]), float(found["started"])
            host = "".join(filter(str.isprintable, str(found["host"])))
            pid = int(found["pid"])
        except (ValueError, TypeError, KeyError, OverflowError):
            return None
        if not 0 < number < MOST or not 0 <= started < MOST_SECONDS:
            return None
        return cls(number, host, pid, started)

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode().ljust(SIZE - 1) + b"\n"

    def told(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.started))
        return f"process {self.pid} on {self.host}, which began at {since}"


class Claim:
    """This process's right to write one run: `with claim(directory): ...`."""

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
        """Let others write. A directory in which nothing was written is left as it was found."""
        self._depth -= 1
        if self._depth:
            return
        del _held[self._key]
        try:
            with contextlib.suppress(OSError), _locked(self.directory):
                if self._is_newest() and holds_nothing(self.directory):
                    _remove_traces(self.directory)
        finally:
            os.close(self._descriptor)

    def discard(self) -> None:
        """Remove the directory, unless somebody else has taken it over."""
        with contextlib.suppress(OSError), _locked(self.directory):
            if self._is_newest():
                shutil.rmtree(self.directory, ignore_errors=True)

    def check(self) -> None:
        """Raises: SupersededError where somebody took a newer number."""
        # where it was held by one who was taken for dead, we get the lock once he is
        _lock_at_once(self._descriptor)
        if not self._is_newest():
            raise _superseded(self.directory)

    def _is_newest(self) -> bool:
        return _read(self.directory) == self._line


def holds_nothing(directory: Path) -> bool:
    """Whether there is nothing of a run in its directory."""
    return {path.name for path in directory.iterdir()} <= {FILE, LOCK}


def _remove_traces(directory: Path) -> None:
    (directory / FILE).unlink(missing_ok=True)
    (directory / LOCK).unlink(missing_ok=True)


def claim(directory: Path, *, take: bool = False, after: int | None = None) -> Claim:
    """Take the next number of a run's directory, which is there, for this process.

    take: from a holder that lives too; for who knows that its work was given to us.
    after: the number that must be the newest still.
    Raises: UserError where another process writes the run; SupersededError where the newest number
        is not `after`; OSError (no permission, no such directory).
    """
    held = _held.get(_key(directory))
    if held is not None:
        held._depth += 1
        return held
    with _locked(directory):
        descriptor = _opened(directory / FILE)
        try:
            free = _lock_at_once(descriptor)
            before = Holder.parse(os.pread(descriptor, SIZE, 0))
            number = 0 if before is None else before.number
            if after is not None and number != after:
                raise _superseded(directory)
            if not free and not take:
                raise _refusal(directory, before)
            holder = _ourselves(number + 1)
            os.pwrite(descriptor, holder.line(), 0)
            return Claim(directory, descriptor, holder)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError) and holds_nothing(directory):
                _remove_traces(directory)  # a full disk
            raise


def refuse_held(directory: Path) -> None:
    """Raises: UserError where another process writes the run now."""
    with contextlib.suppress(OSError), _locked(directory):
        descriptor = os.open(directory / FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not _lock_at_once(descriptor):
                raise _refusal(directory, Holder.parse(os.pread(descriptor, SIZE, 0)))
        finally:
            os.close(descriptor)


def _refusal(directory: Path, holder: Holder | None) -> UserError:
    by = "another process" if holder is None else holder.told()
    return UserError(
        f"{directory} is being written by {by}. Wait until it has ended, or stop it; for a run "
        "beside it choose another name=."
    )


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Within it this process may write to a run's directory.

    By its claim; without one it takes the next number for what it writes, and who held the one
    before writes nothing more.
    Raises: SupersededError.
    """
    held = _held.get(_key(directory))
    with _locked(directory):
        if held is None:
            _take_for_once(directory)
        else:
            held.check()
        yield


@contextlib.contextmanager
def adding(directory: Path, number: int) -> Iterator[None]:
    """Within it this process may add to a run that another may be writing.

    number: the newest when what is to be added was read.
    Raises: SupersededError where it is the newest no more.
    """
    with _locked(directory):
        if newest(directory) != number:
            raise SupersededError(
                f"{directory} was continued or trained anew meanwhile, so this says nothing of "
                "what it holds now. Give the same command again."
            )
        yield


def newest(directory: Path) -> int:
    """The number of who wrote the run last, or does; 0 where nobody took one."""
    holder = Holder.parse(_read(directory))
    return 0 if holder is None else holder.number


def _take_for_once(directory: Path) -> None:
    descriptor = _opened(directory / FILE)
    try:
        before = Holder.parse(os.pread(descriptor, SIZE, 0))
        holder = _ourselves(1 if before is None else before.number + 1)
        os.pwrite(descriptor, holder.line(), 0)
    finally:
        os.close(descriptor)


def _ourselves(number: int) -> Holder:
    return Holder(number, socket.gethostname(), os.getpid(), time.time())


def _superseded(directory: Path) -> SupersededError:
    holder = Holder.parse(_read(directory))
    by = "another process" if holder is None else holder.told()
    return SupersededError(
        f"{directory} was taken over by {by}: this process has stopped and writes nothing more "
        "of it. Nothing is to be done; the record goes on there."
    )


def _read(directory: Path) -> bytes:
    """Opened anew each time: a network file system then asks its server."""
    try:
        descriptor = os.open(directory / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, SIZE, 0) if _is_file(descriptor) else b""
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    """Neither a link is followed nor a pipe or a device used, in a directory from somebody else."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o666)
    if not _is_file(descriptor):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _key(directory: Path) -> tuple[int, int]:
    place = os.stat(directory)
    return place.st_dev, place.st_ino


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = _opened_and_locked(directory / LOCK)
    try:
        yield
    finally:
        os.close(descriptor)


def _opened_and_locked(path: Path) -> int:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        descriptor = _opened(path)
        try:
            while not _lock_at_once(descriptor) and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
            if os.fstat(descriptor).st_nlink > 0:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # removed while we waited: a lock on it protects nothing


def _lock_at_once(descriptor: int) -> bool:
    """Whether we hold the lock of an open file, or its file system knows none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True
