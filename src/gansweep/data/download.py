"""Fetching a data set: one process at a time, announced first, explained when it fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gansweep.errors import UserError

OFFLINE_ALTERNATIVES = (
    "To train with no download use data=digits, or data=fashion_mnist "
    "data.root=/usr/share/datasets/fashion-mnist with Debian's package dataset-fashion-mnist."
)


@dataclass(frozen=True, slots=True)
class Archive:
    """What a data set's download brings.

    folder: where it lands, below `data.root`.   files: what is read there.
    packed: the archive below `data.root` that is unpacked where `files` are missing, or "".
    download_mb, disk_mb: what is fetched, and what lies on the disk once unpacked.
    """

    folder: str
    files: tuple[str, ...]
    packed: str
    download_mb: int
    disk_mb: int


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the kernel frees it with its holder, however that ends.

    Where the folder cannot be written there is nothing to guard: it is read without a lock.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a")  # noqa: SIM115  closed below, in the other branch there is none
    except OSError:
        yield
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def fetch(name: str, root: Path, archive: Archive, download: Callable[[], object]) -> None:
    """Say what comes, how large and where, then call `download`.

    Raises: UserError naming the files and where they are expected, with the mend.
    """
    folder = (root / archive.folder).absolute()
    packed = f" (or {root.absolute() / archive.packed}, to be unpacked)" if archive.packed else ""
    expected = (
        f"Expected in {folder}: {', '.join(archive.files)}{packed}. Put them there from a machine "
        "that has them, or set data.root= (or GANSWEEP_DATA) to the folder that holds them."
    )
    failed = f"data={name} is not in {root.absolute()} and could not be fetched"
    _require_space(name, root, archive)
    print(
        f"gansweep: data={name} is not in {root.absolute()} yet. Downloading about "
        f"{archive.download_mb:,} MB to {folder} ({archive.disk_mb:,} MB once unpacked; files "
        "already there are kept). data.root= puts it elsewhere.",
        file=sys.stderr,
        flush=True,
    )
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout belongs to the command's results
            download()
    # URLError, RuntimeError, gdown's and requests' own errors: whatever it was, the mend is one
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            mend = "Free some space or set data.root= to another disk."
            raise UserError(f"{failed}: the disk is full. {mend}") from error
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{failed}: {reason}. {expected} {OFFLINE_ALTERNATIVES}") from error


def _require_space(name: str, root: Path, archive: Archive) -> None:
    existing = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise UserError(
            f"data={name} is not in {root.absolute()}, and nothing can be written to {existing}. "
            "Set data.root= (or GANSWEEP_DATA) to a folder of yours, or to the one that holds "
            f"{', '.join(archive.files)}. {OFFLINE_ALTERNATIVES}"
        )
    free_mb = shutil.disk_usage(existing).free // 10**6
    if free_mb < archive.disk_mb:
        raise UserError(
            f"data={name} needs {archive.disk_mb:,} MB in {root.absolute()}, where {free_mb:,} MB "
            "are free. Free some space or set data.root= to another disk."
        )
