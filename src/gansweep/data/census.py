"""Examine a folder of images: which files it has, which of them can be read, and their hashes."""

import contextlib
import hashlib
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import PIL

from gansweep.data.decode import UnreadableImageError, open_image
from gansweep.data.download import locked
from gansweep.data.listing import PICTURES, files_below
from gansweep.errors import UserError
from gansweep.records.drafts import drafted, remove_drafts

RULES = 2  # of what can be read; counted up when decode.py changes them


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file of the folder.

    name: path below the folder, with "/".   content: hash of its bytes, 16 hex digits.
    stamp: (size in bytes, time of change in ns); while it is the same, the file is not read again.
    grey: it has one channel.   fault: why it cannot be read, or "".
    """

    name: str
    content: str
    stamp: tuple[int, int]
    grey: bool
    fault: str


def examine(root: Path) -> list[ImageFile]:
    """Decode every image below `root` once. A later call decodes only new and changed files.

    Hidden files and folders are skipped, links are followed.
    Returns: the files in the order of a hash of their names, which mixes the classes.
    Raises: UserError for a folder that is missing, empty or cannot be listed.
    """
    names = _list(root)
    words = f"{root.resolve()} {PIL.__version__} {RULES}"
    key = hashlib.blake2b(os.fsencode(words), digest_size=8)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    store = home / "gansweep" / "folders" / f"{key.hexdigest()}.json"
    with locked(store.with_suffix(".lock")):
        known = _load(store)
        files = list(_examine_all(root, names, known))
        if files != list(known.values()):
            _save(store, files)
    return files


def _list(root: Path) -> list[str]:
    if not root.is_dir():
        problem = "is a file" if root.exists() else "does not exist"
        raise UserError(
            f"data.root={root} {problem}. Set data.root= to a folder of images (an absolute path, "
            "or relative to the current directory)."
        )
    found = files_below(root, PICTURES, "set data.root= to another folder")
    names = [path.relative_to(root).as_posix() for path in found]
    if not names:
        raise UserError(
            f"data.root={root} contains no image: no file in it or in its folders ends in "
            f"{', '.join(one[1:] for one in PICTURES)}. Set data.root= to a folder of images."
        )
    return sorted(names, key=lambda name: hashlib.blake2b(os.fsencode(name)).digest())


def _examine_all(root: Path, names: list[str], known: dict[str, ImageFile]) -> Iterator[ImageFile]:
    reported = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        files = pool.map(lambda name: _examine(root, name, known.get(name)), names)
        for number, file in enumerate(files):
            yield file
            if time.monotonic() - reported > 5:
                reported = time.monotonic()
                print(f"gansweep: checking the images of {root} (only once): {number + 1:,} of "
                      f"{len(names):,}", file=sys.stderr, flush=True)  # fmt: skip


def _examine(root: Path, name: str, known: ImageFile | None) -> ImageFile:
    path = root / name
    try:
        name.encode()
        status = path.stat()  # follows links
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or /dev/zero would never end
            return ImageFile(name, "", (-1, -1), False, "it is not a regular file")
        stamp = (status.st_size, status.st_mtime_ns)
        if known is not None and known.stamp == stamp:
            return known
        content = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        return ImageFile(name, content, stamp, open_image(path).mode == "L", "")
    except UnreadableImageError as error:
        return ImageFile(name, content, stamp, False, str(error))
    except UnicodeEncodeError:
        return ImageFile(name, "", (-1, -1), False, "its name is not UTF-8")
    # a dead link, no permission: stamp (-1, -1), so that the next run looks again
    except OSError as error:
        return ImageFile(name, "", (-1, -1), False, error.strerror or str(error))


def _load(store: Path) -> dict[str, ImageFile]:
    try:
        rows = json.loads(store.read_bytes())
        return {row["name"]: ImageFile(**{**row, "stamp": tuple(row["stamp"])}) for row in rows}
    except (OSError, ValueError, TypeError, KeyError):  # missing, or from another version
        return {}


def _save(store: Path, files: list[ImageFile]) -> None:
    remove_drafts(store.parent)
    # if it cannot be stored, the next run examines the folder again
    with contextlib.suppress(OSError), drafted(store) as draft:
        draft.write_text(json.dumps([asdict(file) for file in files]))
