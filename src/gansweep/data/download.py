"""Download a data set: in one process at a time, with a message before, and clear errors."""

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
from gansweep.records.writer import NO_LOCKS

OFFLINE_ALTERNATIVES = (
    "To train without a download use data=digits, or data=fashion_mnist "
    "data.root=/usr/share/datasets/fashion-mnist with Debian's package dataset-fashion-mnist."
)


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of a data set's download.

    folder: below `data.root`.   files: the needed files in it.
    packed: the archive below `data.root` that is unpacked if `files` are missing, or "".
    download_mb, disk_mb: size before and after unpacking.
    """

    folder: str
    files: tuple[str, ...]
    packed: str
    download_mb: int
    disk_mb: int


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on the file `path`, unless its folder can only be read or has no locks.

    The kernel frees the lock when the process ends in any way.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open(path, "a")  # noqa: SIM115  closed below
    except OSError:
        yield
        return
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield


def fetch(name: str, root: Path, archive: Archive, download: Callable[[], object]) -> None:
    """Print what is downloaded, its size and its place, then call `download`.

    Raises: UserError that names the missing files and their place.
    """
    folder = (root / archive.folder).absolute()
    packed = f" (or the archive {root.absolute() / archive.packed})" if archive.packed else ""
    expected = (
        f"Expected in {folder}: {', '.join(archive.files)}{packed}. Copy them there from another "
        "machine, or set data.root= (or GANSWEEP_DATA) to the folder that contains them."
    )
    failed = f"data={name} is not in {root.absolute()} and could not be downloaded"
    _require_space(name, root, archive)
    print(
        f"gansweep: data={name} is not in {root.absolute()} yet. Downloading about "
        f"{archive.download_mb:,} MB to {folder} ({archive.disk_mb:,} MB after unpacking; existing "
        "files are kept). To use another folder, set data.root=.",
        file=sys.stderr,
        flush=True,
    )
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the command's results
            download()
    # URLError, RuntimeError, errors of gdown and requests: the fix is the same for all
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            fix = "Free some space or set data.root= to another disk."
            raise UserError(f"{failed}: the disk is full. {fix}") from error
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(f"{failed}: {reason}. {expected} {OFFLINE_ALTERNATIVES}") from error


def _require_space(name: str, root: Path, archive: Archive) -> None:
    existing = next(p for p in (root.absolute(), *root.absolute().parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise UserError(
            f"data={name} is not in {root.absolute()}, and {existing} cannot be written to. Set "
            "data.root= (or GANSWEEP_DATA) to a folder that you can write to, or that contains "
            f"{', '.join(archive.files)}. {OFFLINE_ALTERNATIVES}"
        )
    free_mb = shutil.disk_usage(existing).free // 10**6
    if free_mb < archive.disk_mb:
        raise UserError(
            f"data={name} needs {archive.disk_mb:,} MB in {root.absolute()}, but only "
            f"{free_mb:,} MB are free. Free some space or set data.root= to another disk."
        )
