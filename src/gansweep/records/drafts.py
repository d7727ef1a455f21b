"""Files that are written beside their place, and take it once they are whole."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

DRAFT = re.compile(r"\..+\.(yaml|jsonl?|pt|png|txt|npy|html)\.[^.]+")
ABANDONED_SECONDS = 86_400.0  # without a byte more: who wrote it was killed


@contextlib.contextmanager
def drafted(
    path: Path, allowed: contextlib.AbstractContextManager[None] | None = None
) -> Iterator[Path]:
    """Where to write what becomes `path` at the end; on an error the old file stays as it is.

    The name cannot be foreseen, so nobody has put a link there.
    allowed: within it the file takes its place.
    Raises: OSError also where a device or a pipe is at `path`, which a file must not replace.
    """
    refuse_special(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        yield draft
        with allowed or contextlib.nullcontext():
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def refuse_special(path: Path) -> None:
    """Raises: OSError where `path` is a device, a pipe or a socket, or a link to one."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.EINVAL, "it is a device or a pipe, no file", str(path))


def remove_drafts(folder: Path, older_than: float = ABANDONED_SECONDS) -> None:
    """Remove what killed writers have left in a folder.

    older_than: seconds since its last byte; 0 where no other process writes there.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if DRAFT.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    if time.time() - path.lstat().st_mtime >= older_than:
                        path.unlink()
