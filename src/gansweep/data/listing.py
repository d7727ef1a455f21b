"""The files below a folder, found without PyTorch."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gansweep.errors import UserError

# of pictures; where the Pillow that is installed cannot decode one of these, the file is refused
PICTURES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".avif", ".jp2"),
)


def files_below(root: Path, endings: Sequence[str], other: str) -> Iterator[Path]:
    """Files with one of the endings, in letters of either case, folder by folder.

    Hidden files and folders are skipped, links are followed, each folder is read once.
    other: what to do instead, for the message.   Raises: UserError for a folder that cannot be
        listed.
    """

    def refuse(error: OSError) -> None:
        raise UserError(
            f"The folder {error.filename} cannot be listed ({error.strerror}). "
            f"Get permission to read it (chmod u+rx), or {other}."
        ) from error

    seen = set()
    for place, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        shown = (name for name in sorted(files) if not name.startswith("."))
        yield from (Path(place, name) for name in shown if name.lower().endswith(tuple(endings)))
