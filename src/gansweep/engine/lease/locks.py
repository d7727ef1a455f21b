"""Locks that the kernel releases with their holder, so that a killed process blocks no other."""

import contextlib
import errno
import fcntl
import json
import os
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from gansweep.records.plain_values import mapping

# An attempt of another host is dead if its lease was not touched for so long. On the same host the
# kernel says so at once.
LEASE_SECONDS = 30.0
TOUCH_SECONDS = 1.0
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

# (device, inode) of a lease touched in the future -> (that touch, when we first saw it by our
# monotonic clock)
_touches: dict[tuple[int, int], tuple[int, float]] = {}


class KernelLock:
    """An exclusive lock on a file, held by one process at a time: `with KernelLock(path): ...`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def __enter__(self) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        self._descriptor = descriptor

    def __exit__(self, *error: object) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class Lease:
    """The claim of a worker, and of its child, on one attempt.

    Both hold a shared lock on a file: as long as one of them lives, no other process can lock it.
    Other hosts, whose kernel may not see that lock, use the time of its last touch.
    """

    def __init__(self, path: Path, worker: str, **more: Any) -> None:
        """more: further facts about the worker for the file's first line."""
        self.path = path
        path.parent.mkdir(exist_ok=True)
        self._descriptor, locked = _opened(path, os.O_RDWR | os.O_CREAT)
        kernel = kernel_id() if locked else ""  # "": only its touches decide
        content = {"worker": worker, "pid": os.getpid(), "kernel": kernel, **more}
        self._first = json.dumps(content).encode() + b"\n"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, self._first, 0)
        self._ended, self._lost = threading.Event(), threading.Event()
        threading.Thread(target=self._touch_until_ended, daemon=True).start()

    def note(self, **now: Any) -> None:
        """Write the second line, which may change: what the worker does."""
        line = json.dumps(now).encode() + b"\n"
        os.pwrite(self._descriptor, line, len(self._first))
        os.ftruncate(self._descriptor, len(self._first) + len(line))

    def release(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):  # a file without a lock is dead anyway
            self.path.unlink()
        os.close(self._descriptor)

    @property
    def is_lost(self) -> bool:
        """Whether another host took us for dead, for example after a suspension."""
        return self._lost.is_set()

    def _touch_until_ended(self) -> None:
        while not self._ended.wait(TOUCH_SECONDS):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                self._lost.set()
                return
            except OSError:  # a file system that is away or full may be back in a moment
                continue


def share_lease(path: Path) -> int | None:
    """Hold the lease of our worker until this process ends; None if it was removed."""
    try:
        return _opened(path, os.O_RDWR)[0]
    except FileNotFoundError:
        return None


def is_alive(path: Path) -> bool:
    """Whether some process still works under the lease at `path`. Reading rights are enough."""
    try:
        descriptor = _opened_to_look(path)
    except (FileNotFoundError, IsADirectoryError):
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and _is_held(path, descriptor)
    finally:
        os.close(descriptor)


def remove_dead(path: Path) -> None:
    """Remove the lease at `path` if no process works under it any more."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        # if another process has removed it already, a new one may be at `path`
        if not _is_held(path, descriptor) and os.fstat(descriptor).st_nlink > 0:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def kernel_id() -> str:
    """Equal for two processes of one running kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _is_held(path: Path, descriptor: int) -> bool:
    if _kernel_of(os.pread(descriptor, 4096, 0)) == kernel_id():
        return not try_lock(descriptor)
    untouched = _now_of(path.parent) - os.fstat(descriptor).st_mtime
    if untouched > -LEASE_SECONDS:
        return untouched < LEASE_SECONDS
    return _is_touched_anew(descriptor)


def _kernel_of(content: bytes) -> str | None:
    """The kernel that keeps the lock of a lease; None if the lease does not say: then its touches
    decide."""
    try:
        kernel = mapping(json.loads(content.split(b"\n")[0])).get("kernel")
    except (ValueError, RecursionError):
        return None
    return kernel if isinstance(kernel, str) else None


def _opened(path: Path, flags: int) -> tuple[int, bool]:
    """(descriptor of the lease at `path`, whether it is locked for us and others)."""
    while True:
        descriptor = os.open(path, flags, 0o666)
        locked = _share(descriptor)
        if os.fstat(descriptor).st_nlink > 0:
            return descriptor, locked
        os.close(descriptor)  # it was removed while we waited: a lock on it would be useless


def _opened_to_look(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)  # NFS locks only files open for writing
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def _share(descriptor: int) -> bool:
    """Hold a shared lock; False if the file system has none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def try_lock(descriptor: int) -> bool:
    """Take an exclusive lock; False if another process holds one, or if that is not known."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno != errno.EBADF:  # not known: on NFS, if we may only read
            raise
        return False
    return True


def _now_of(folder: Path) -> float:
    """The time by the clock of the file system, or by ours if we cannot write to it."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-") as probe:
            probe.write(b".")
            probe.flush()
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()


def _is_touched_anew(descriptor: int) -> bool:
    """Whether a lease whose last touch is in the future may live: the file system's clock was set
    back. It lives as long as its touches change while we watch."""
    file = os.fstat(descriptor)
    now, key = time.monotonic(), (file.st_dev, file.st_ino)
    touch, seen = _touches.get(key, (-1, 0.0))
    if touch == file.st_mtime_ns:
        return now - seen < LEASE_SECONDS
    _touches[key] = file.st_mtime_ns, now
    return True
