"""Errors of the disk that a sweep is written to, each with its fix."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from gansweep.errors import UserError

SPACE = "Free some space"
PERMISSIONS = "Correct the permissions"
IN_THE_WAY = "Move away the file in the place of a directory"
FIXES = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EACCES: PERMISSIONS,
    errno.EPERM: PERMISSIONS,
    errno.EROFS: "Mount that file system for writing",
    errno.EISDIR: "Move that away",
    errno.ENOENT: "Check that its directory exists",
    errno.ENOTDIR: IN_THE_WAY,
    errno.EEXIST: IN_THE_WAY,
    errno.ENAMETOOLONG: "Choose a shorter name=",
}


@contextlib.contextmanager
def writing(directory: Path, otherwise: str) -> Iterator[None]:
    """Within it the sweep's directory is written.

    otherwise: what follows the fix.
    Raises: UserError in place of an OSError of FIXES.
    """
    try:
        yield
    except OSError as error:
        fix = FIXES.get(error.errno or 0)
        if fix is None:
            raise
        place = error.filename or directory
        raise UserError(
            f"{place} cannot be written ({error.strerror}). {fix}{otherwise}"
        ) from error
