"""The digest that a checkpoint carries, so that a damaged one is never taken for a whole one.

torch.save writes a ZIP archive, and torch.load reads it without its checksums. The SHA-256 of the
file as torch.save wrote it stands in the archive's comment, so that every tool still reads it.
Source: PKWARE, APPNOTE.TXT 6.3.10, Section 4.3.16 (end of central directory record).
"""

from __future__ import annotations

import hashlib
import io
import os
from typing import BinaryIO

END = b"PK\x05\x06"
END_BYTES = 22  # of the end record without its comment, the length of which is its last 2 bytes
NAME = b"gansweep sha256 "
COMMENT_BYTES = len(NAME) + 64
CHUNK_BYTES = 2**20


class DamagedError(ValueError):
    """A file does not hold what was written into it."""


def seal(archive: io.BytesIO) -> None:
    """Give a ZIP archive without a comment its digest as the comment."""
    with archive.getbuffer() as content:
        assert content[-END_BYTES:-18] == END and content[-2:] == b"\0\0", "of torch.save"
        digest = hashlib.sha256(content).hexdigest().encode()
        content[-2:] = COMMENT_BYTES.to_bytes(2, "little")
    archive.seek(0, os.SEEK_END)
    archive.write(NAME + digest)


def is_sealed(file: BinaryIO) -> bool:
    """Whether an archive carries its digest, which is then found to be right.

    file: at its start when this returns.   False: it has no comment, as one of an older version.
    Raises: DamagedError.
    """
    size = file.seek(0, os.SEEK_END)
    if _read_at(file, size - END_BYTES, END_BYTES).startswith(END):
        if _read_at(file, size - 2, 2) != b"\0\0":
            raise DamagedError("its end is not that of an archive")
        file.seek(0)
        return False
    body = size - COMMENT_BYTES - 2  # up to the length of the comment
    comment = _read_at(file, size - COMMENT_BYTES, COMMENT_BYTES)
    length = _read_at(file, body, 2)
    if not comment.startswith(NAME) or length != COMMENT_BYTES.to_bytes(2, "little"):
        raise DamagedError("it has no digest at its end")
    if comment[len(NAME) :] != _digest(file, body):
        raise DamagedError("its digest is not that of its content")
    file.seek(0)
    return True


def _digest(file: BinaryIO, size: int) -> bytes:
    """Of the first `size` bytes, and the length of no comment."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
        digest.update(chunk)
        size -= len(chunk)
    digest.update(b"\0\0")
    return digest.hexdigest().encode()


def _read_at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(max(0, place))
    return file.read(size)
