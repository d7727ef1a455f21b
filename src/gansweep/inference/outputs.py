"""Where pictures go: a file, a folder, a zip, an npz. What stands there is whole, and marked.

Nothing is overwritten unless the user asks. A single file and an archive appear when they are
complete; of a folder each file does.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from gansweep.errors import UserError, tell
from gansweep.provenance.manifest import FILE
from gansweep.records.drafts import drafted, refuse_special
from gansweep.records.record import FULL, replace_atomically

STDOUT = Path("-")
WHEN = (1980, 1, 1, 0, 0, 0)  # of files inside an archive: the same samples are the same bytes


def refuse_existing(path: Path, force: bool) -> None:
    """Raises: UserError for a device, and for what has content that would be changed."""
    if path == STDOUT:
        return
    with explained(path):
        refuse_special(path)
    if force:
        return
    is_there = any(path.iterdir()) if path.is_dir() else path.exists() or path.is_symlink()
    if is_there:
        what = "has files in it" if path.is_dir() else "exists"
        raise UserError(f"{path} {what}. Give another name with -o, or overwrite with --force.")


@contextlib.contextmanager
def explained(path: Path, done: str = "") -> Iterator[None]:
    """Raises: UserError for what cannot be written.   done: what is whole, for the message."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        fix = "Free some space" if error.errno in FULL else "Name another place with -o"
        raise UserError(
            f"{path} cannot be written ({error.strerror}). {fix}.{done and f' {done}'}"
        ) from error


def write_file(path: Path, content: bytes, force: bool) -> None:
    """Raises: UserError if it exists or cannot be written."""
    with explained(path):
        refuse_existing(path, force)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(path, content)


class Folder:
    """Files in a folder, each of which appears when it is whole.   written: how many."""

    def __init__(self, path: Path, force: bool) -> None:
        self.path, self.force = path, force
        self.written = 0
        if path == STDOUT:
            raise UserError("-o -: several files are written, which need a folder: -o FOLDER/.")
        with explained(path):
            refuse_existing(path, force)
            if path.exists() and not path.is_dir():
                raise UserError(f"{path} is a file: name a folder with -o.")
            path.mkdir(parents=True, exist_ok=True)
            self._before = set(os.listdir(path))

    def add(self, name: str, content: bytes) -> None:
        done = f"{self.written} files are whole and marked." if self.written else ""
        with explained(self.path / name, done):
            if "/" in name:
                (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            self._write(f"{self.path}/{name}", content)
        self.written += 1
        self._before.discard(name)

    def tell_others(self) -> None:
        """Say that files of an earlier request are still there."""
        if self._before:
            files = "file was" if len(self._before) == 1 else "files were"
            tell(f"gansweep: {len(self._before):,} other {files} in {self.path} before, and stay.")

    def _write(self, place: str, content: bytes) -> None:
        if self.force and os.path.lexists(place):
            replace_atomically(Path(place), content)
            return
        # one write of a new file: no full disk leaves half of it in place. A draft that is linked
        # to its name would cost a third more.
        try:
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with open(descriptor, "wb", buffering=0) as file:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
        except FileExistsError:
            raise
        except BaseException:
            # also an interrupt right after the opening, before Python knows the descriptor
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)
            raise


@dataclass(frozen=True)
class Archive:
    """Where an archive goes, and its mark.

    path: "-" for the standard output.   manifest: the mark of the whole; None for none.
    sign: called with the finished file before it appears.
    """

    path: Path
    force: bool
    manifest: str | None
    sign: Callable[[Path], None]


class Zip:
    """Files in an archive that is written as a stream; with the manifest of the whole."""

    def __init__(self, archive: zipfile.ZipFile, manifest: str | None) -> None:
        self._archive = archive
        self.written = 0
        if manifest is not None:
            self._archive.writestr(_entry(FILE), manifest)

    def add(self, name: str, content: bytes) -> None:
        self._archive.writestr(_entry(name), content)
        self.written += 1


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, WHEN)


@contextlib.contextmanager
def zip_at(place: Archive) -> Iterator[Zip]:
    """A zip of files."""
    with _zip(place) as archive:
        yield Zip(archive, place.manifest)


@contextlib.contextmanager
def _zip(place: Archive) -> Iterator[zipfile.ZipFile]:
    with explained(place.path, "No archive was written."), _stream(place) as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            yield archive
        stream.flush()


@contextlib.contextmanager
def _stream(place: Archive) -> Iterator[IO[bytes]]:
    if place.path == STDOUT:
        yield sys.stdout.buffer
        return
    refuse_existing(place.path, place.force)
    place.path.parent.mkdir(parents=True, exist_ok=True)
    with drafted(place.path) as draft:
        with open(draft, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        place.sign(draft)


@contextlib.contextmanager
def npz_at(place: Archive, name: str, shape: tuple[int, ...], dtype: str) -> Iterator[Npz]:
    """An npz whose array NAME of a known shape is written row by row; its mark is "mark".

    Raises: ValueError, and no file appears, where the rows are not those of the shape.
    """
    with _zip(place) as archive:
        if place.manifest is not None:
            _add_array(archive, "mark", np.array(place.manifest))
        made = Npz()
        with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as rows:
            np.lib.format.write_array_header_1_0(
                rows, {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
            )
            made.rows = rows
            yield made
            wanted = math.prod(shape) * np.dtype(dtype).itemsize
            if made.written != wanted:
                raise ValueError(
                    f"{made.written:,} bytes of {name} were made, and {shape} {dtype} are "
                    f"{wanted:,}: what the model makes is not of its data's shape. Report this."
                )
        for key, array in made.others.items():
            _add_array(archive, key, array)


class Npz:
    """rows: where the rows of the array go.   written: bytes of them.

    others: arrays that follow it.
    """

    rows: IO[bytes]

    def __init__(self) -> None:
        self.written = 0
        self.others: dict[str, np.ndarray] = {}

    def add(self, rows: np.ndarray) -> None:
        self.written += self.rows.write(rows.tobytes())


def _add_array(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(_entry(f"{name}.npy"), "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)
