"""Locks that the kernel releases with their holder, so that no killed process blocks the others."""

from __future__ import annotations

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

# An attempt of another host is dead when its lease was not touched for so long. On one host the
# kernel says it at once.
LEASE_SECONDS = 30.0
TOUCH_SECONDS = 1.0
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

# (device, inode) of a lease touched in the future -> (that touch, when we saw it first by our own
# clock, which nobody sets)
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

    A file that both hold a shared lock on: as long as one of them lives, nobody else can lock it.
    Other hosts, whose kernel may not see that lock, go by the time of its last touch.
    """

    def __init__(self, path: Path, worker: str, **more: Any) -> None:
        """more: what else the file's first line says of the worker."""
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
        """Write the second line, which may change: what the worker is at."""
        line = json.dumps(now).encode() + b"\n"
        os.pwrite(self._descriptor, line, len(self._first))
        os.ftruncate(self._descriptor, len(self._first) + len(line))

    def release(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):  # not locked, it counts for nobody
            self.path.unlink()
        os.close(self._descriptor)

    @property
    def is_lost(self) -> bool:
        """Whether another host took us for dead, as after a suspension, and removed the file."""
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
    """Hold the lease of one's worker until this process ends; None where it was taken away."""
    try:
        return _opened(path, os.O_RDWR)[0]
    except FileNotFoundError:
        return None


def is_alive(path: Path) -> bool:
    """Whether some process still works under the lease at `path`; who may only read it can ask."""
    try:
        descriptor = _opened_to_look(path)
    except (FileNotFoundError, IsADirectoryError):
        return False
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode) and _is_held(path, descriptor)
    finally:
        os.close(descriptor)


def remove_dead(path: Path) -> None:
    """Remove the lease at `path` where nobody works under it any more."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        # who came before us has removed it, and a new one may stand at `path`
        if not _is_held(path, descriptor) and os.fstat(descriptor).st_nlink > 0:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def kernel_id() -> str:
    """Equal in two processes whose locks are kept by one kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _is_held(path: Path, descriptor: int) -> bool:
    if _kernel_of(os.pread(descriptor, 4096, 0)) == kernel_id():
        return not _can_lock(descriptor)
    untouched = _seconds_untouched(path, descriptor)
    if untouched > -LEASE_SECONDS:
        return untouched < LEASE_SECONDS
    return _is_touched_anew(descriptor)


def _kernel_of(content: bytes) -> str | None:
    """Whose kernel keeps the lock of a lease; None where that is not said: its touches decide."""
    try:
        holder = json.loads(content.split(b"\n")[0] or b"{}")
    except (ValueError, RecursionError):
        return None
    kernel = holder.get("kernel") if isinstance(holder, dict) else None
    return kernel if isinstance(kernel, str) else None


def _opened(path: Path, flags: int) -> tuple[int, bool]:
    """(descriptor of the lease at `path`, whether it is locked for us and others)."""
    while True:
        descriptor = os.open(path, flags, 0o666)
        locked = _share(descriptor)
        if os.fstat(descriptor).st_nlink > 0:
            return descriptor, locked
        os.close(descriptor)  # removed while we waited: a lock on it protects nothing


def _opened_to_look(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)  # NFS locks nothing else
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def _share(descriptor: int) -> bool:
    """Hold a shared lock; False where the file system knows none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno != errno.EBADF:  # of NFS, where we may only read: not known
            raise
        return False
    return True


def _seconds_untouched(path: Path, descriptor: int) -> float:
    return _now_of(path.parent) - os.fstat(descriptor).st_mtime


def _now_of(folder: Path) -> float:
    """The time by the clock of the file system, or by ours where nothing may be written to it."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".clock-") as probe:
            probe.write(b".")
            probe.flush()
            return os.fstat(probe.fileno()).st_mtime
    except OSError:
        return time.time()


def _is_touched_anew(descriptor: int) -> bool:
    """Whether a lease whose touch lies in the future may live: the file system's clock was set
    back. Then it lives for as long as its touches change while we look on."""
    file = os.fstat(descriptor)
    now, key = time.monotonic(), (file.st_dev, file.st_ino)
    touch, seen = _touches.get(key, (-1, 0.0))
    if touch == file.st_mtime_ns:
        return now - seen < LEASE_SECONDS
    _touches[key] = file.st_mtime_ns, now
    return True
