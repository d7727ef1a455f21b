"""Atomic writes: a file is written under a temporary name and renamed when it is complete."""

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

RANDOM_BYTES = 8
# hidden files of others have shorter endings: .config.yaml.swp of vim, .last.pt.Xa81kQ of rsync
DRAFT = re.compile(rf"\..+\.(yaml|jsonl?|pt|png|webp|txt|npy|html)\.[0-9a-f]{{{2 * RANDOM_BYTES}}}")
ABANDONED_SECONDS = 86_400.0  # since the last write: its writer was killed


@contextlib.contextmanager
def drafted(
    path: Path, allowed: contextlib.AbstractContextManager[None] | None = None
) -> Iterator[Path]:
    """Yields a temporary path to write to; at the end it is renamed to `path`.

    On an error the old file stays. The name is random, so that nobody can put a link there first.
    allowed: a context in which the file is renamed; if it raises, the old file stays.
    Raises: OSError, also if `path` is a device or a pipe, which must not be replaced.
    """
    refuse_special(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(RANDOM_BYTES)}")
    try:
        yield draft
        with allowed or contextlib.nullcontext():
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def refuse_special(path: Path) -> None:
    """Raises: OSError if `path` is a device, a pipe or a socket, or a link to one."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", str(path))


def remove_drafts(folder: Path, older_than: float = ABANDONED_SECONDS) -> None:
    """Remove temporary files that killed writers have left in a folder.

    older_than: seconds since the last write; use 0 if no other process writes there.
    """
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if DRAFT.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    if time.time() - path.lstat().st_mtime >= older_than:
                        path.unlink()
