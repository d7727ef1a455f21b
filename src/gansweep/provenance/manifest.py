"""A mark as JSON, for what is no picture: archives, arrays and models.

It stands in a zip as `mark.json`, in an npz as the array `mark`, in ONNX and safetensors under the
key `gansweep.mark` of their metadata, in a torch.export archive as the extra file `mark.json`.
"""

import json
import struct
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gansweep.errors import visible
from gansweep.provenance.containers import DamagedFileError
from gansweep.provenance.mark import Mark

KEY = "gansweep.mark"
FILE = "mark.json"
MOST = 10_000_000  # bytes of a header or a manifest that is read
ONNX_KEY = b"\x0a" + bytes([len(KEY)]) + KEY.encode() + b"\x12"  # fields 1 and 2 of an entry


def manifest(mark: Mark, **more: Any) -> str:
    """The fields of the mark that say something, and what else is known of the whole."""
    said = {key: visible(value) for key, value in asdict(mark).items() if value}
    return json.dumps({**said, **more}, ensure_ascii=False, indent=1)


def manifest_of(path: Path) -> dict[str, str] | None:
    """The mark of an archive or a model; None where it has none.

    Raises: DamagedFileError; OSError.
    """
    readers = {".onnx": _of_onnx, ".safetensors": _of_safetensors}
    text = readers.get(path.suffix.lower(), _of_zip)(path)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DamagedFileError(f"its mark is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise DamagedFileError("its mark is no object of JSON")
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _of_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if Path(name).name in (FILE, "mark.npy"):
                    if archive.getinfo(name).file_size > MOST:
                        raise DamagedFileError("its mark is too large")
                    content = archive.read(name)
                    return _array_text(content) if name.endswith(".npy") else content.decode()
    except (zipfile.BadZipFile, EOFError, UnicodeDecodeError, RuntimeError) as error:
        raise DamagedFileError(f"it is no whole archive ({error})") from error
    return None


def _array_text(content: bytes) -> str:
    import io

    import numpy as np

    try:
        return str(np.load(io.BytesIO(content), allow_pickle=False))
    except ValueError as error:
        raise DamagedFileError(f"its mark cannot be read ({error})") from error


def _of_safetensors(path: Path) -> str | None:
    with open(path, "rb") as file:
        head = file.read(8)
        size = struct.unpack("<Q", head)[0] if len(head) == 8 else MOST + 1
        if size > MOST:
            raise DamagedFileError("its header is damaged")
        text = file.read(size)
    try:
        facts = json.loads(text).get("__metadata__", {})
    except (ValueError, AttributeError) as error:
        raise DamagedFileError(f"its header is damaged ({error})") from error
    found = facts.get(KEY) if isinstance(facts, dict) else None
    return found if isinstance(found, str) else None


def _of_onnx(path: Path) -> str | None:
    """Of the metadata at the end of the file, which needs no package for ONNX."""
    content = path.read_bytes()
    at = content.rfind(ONNX_KEY)
    if at < 0:
        return None
    at += len(ONNX_KEY)
    size = shift = 0
    for byte in content[at : at + 5]:  # a varint
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return content[at : at + size].decode(errors="replace")
