"""The digest of a checkpoint: it shows whether the file is damaged.

torch.load does not check the checksums of the ZIP archive that torch.save writes. So the SHA-256
of the file is stored in the archive's comment, and other tools can still read the file.
Source: PKWARE, APPNOTE.TXT 6.3.10, Section 4.3.16 (end of central directory record).
"""

import hashlib
import io
import os
from typing import BinaryIO

from gansweep.records.plain_values import DamagedError as DamagedError

END = b"PK\x05\x06"
END_BYTES = 22  # the end record without its comment; the last 2 bytes are the comment's length
NAME = b"gansweep sha256 "
COMMENT_BYTES = len(NAME) + 64
CHUNK_BYTES = 2**20


def seal(archive: io.BytesIO) -> None:
    """Append the digest of a ZIP archive as its comment.   archive: without a comment."""
    with archive.getbuffer() as content:
        assert content[-END_BYTES:-18] == END and content[-2:] == b"\0\0", "of torch.save"
        digest = hashlib.sha256(content).hexdigest().encode()
        content[-2:] = COMMENT_BYTES.to_bytes(2, "little")
    archive.seek(0, os.SEEK_END)
    archive.write(NAME + digest)


def checked(file: BinaryIO) -> str | None:
    """Check the digest of an archive and return it. Afterwards `file` is at its start.

    Returns: 64 hexadecimal digits; None if the archive has no comment, as older versions wrote it.
    Raises: DamagedError if the digest is missing or does not match the content.
    """
    size = file.seek(0, os.SEEK_END)
    if _read_at(file, size - END_BYTES, END_BYTES).startswith(END):
        if _read_at(file, size - 2, 2) != b"\0\0":
            raise DamagedError("it does not end like an archive")
        file.seek(0)
        return None
    body = size - COMMENT_BYTES - 2  # up to the length of the comment
    comment = _read_at(file, size - COMMENT_BYTES, COMMENT_BYTES)
    length = _read_at(file, body, 2)
    if not comment.startswith(NAME) or length != COMMENT_BYTES.to_bytes(2, "little"):
        raise DamagedError("it has no digest at its end")
    digest = comment[len(NAME) :]
    if digest != _digest(file, body):
        raise DamagedError("its digest does not match its content")
    file.seek(0)
    return digest.decode()


def _digest(file: BinaryIO, size: int) -> bytes:
    """The digest of the first `size` bytes followed by a comment length of 0."""
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
