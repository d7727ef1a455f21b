"""Read the marks of files back, whoever wrote them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from gansweep.provenance import manifest
from gansweep.provenance.containers import DamagedFileError, format_of, packets
from gansweep.provenance.credentials import ENDING, GOOD, Credentials, read_credentials
from gansweep.provenance.mark import SOURCE_TYPES, fields_of
from gansweep.provenance.pixels import WORD, Watermark

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".mp4")
OTHERS = (".npz", ".zip", ".onnx", ".safetensors", ".pt2")
# of IPTC's source types those of what a machine made, wholly or in part
MACHINE = {
    "trainedAlgorithmicMedia": "machine-made",
    "compositeWithTrainedAlgorithmicMedia": "machine-made in part",
    "algorithmicMedia": "machine-made",
    "compositeSynthetic": "machine-made in part",
}
MOST_BYTES = 2_000_000_000  # of a picture that is read


@dataclass(frozen=True)
class Marks:
    """What one file says.

    says: in the words of `Mark`.   china: how many Chinese records.
    credentials: the signed manifest; None for none.
    watermark: the word of the watermark in the pixels; "" for none, and where none was looked for.
    problem: why it cannot be read; "" where it can.
    """

    path: Path
    says: dict[str, str] = field(default_factory=dict)
    china: int = 0
    problem: str = ""
    credentials: Credentials | None = None
    watermark: str = ""

    @property
    def kind(self) -> str:
        """ "machine-made", "machine-made in part", or "" for what says nothing like it."""
        found = [self.says.get("source_type", "")]
        if self.credentials is not None and self.credentials.state in GOOD:
            found.append(self.credentials.source_type)
        kinds = [MACHINE.get(one.removeprefix(SOURCE_TYPES), "") for one in found]
        kinds.append("machine-made" if self.watermark == WORD else "")
        return next(filter(None, kinds), "")


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The files named, and those of the folders named that can carry a mark, sorted."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, below, names in os.walk(path):
            below.sort()
            for name in sorted(names):
                if not name.startswith(".") and Path(name).suffix.lower() in PICTURES + OTHERS:
                    yield Path(folder, name)


def marks_of(path: Path, trust: str = "", watermark: Watermark | None = None) -> Marks:
    """The marks of one file; a file that cannot be read has a problem.

    trust: certificates (PEM) whose signatures are trusted.   watermark: reads those in the pixels.
    """
    try:
        if path.suffix.lower() in OTHERS:
            says = manifest.manifest_of(path) or {}
            return Marks(path, says, credentials=_of_other(path, trust))
        if not path.is_file():
            raise DamagedFileError("it is not a file" if path.exists() else "it does not exist")
        if path.stat().st_size > MOST_BYTES:
            raise DamagedFileError("it is larger than 2 GB")
        content = path.read_bytes()
        if format_of(content) is None:
            raise DamagedFileError("its content is no known picture")
        marks = _of_picture(path, content, trust)
        if watermark is None or path.suffix.lower() == ".mp4":
            return marks
        with Image.open(path) as picture:
            return replace(marks, watermark=watermark.read(picture))
    except DamagedFileError as error:
        return Marks(path, problem=str(error))
    except OSError as error:
        return Marks(path, problem=error.strerror or type(error).__name__)


def _of_other(path: Path, trust: str) -> Credentials | None:
    """The manifest inside an archive, or beside a model."""
    beside = path.with_name(path.name + ENDING)
    if beside.is_file():
        return read_credentials(path.read_bytes(), "", trust, beside.read_bytes())
    if path.suffix.lower() in (".zip", ".npz") and path.stat().st_size <= MOST_BYTES:
        return read_credentials(path.read_bytes(), "zip", trust)
    return None


def _of_picture(path: Path, content: bytes, trust: str) -> Marks:
    says: dict[str, str] = {}
    china = 0
    for packet in packets(content):
        try:
            found = fields_of(packet)
        except ValueError as error:
            raise DamagedFileError(str(error)) from error
        china += "china" in found
        says = {**found, **says}
    credentials = read_credentials(content, format_of(content) or "", trust)
    return Marks(path, says, china, credentials=credentials)


def exit_code(found: Iterable[Marks]) -> int:
    """0: all are marked.   1: some are not.   2: some cannot be read."""
    counts = Counter("broken" if m.problem else "marked" if m.kind else "bare" for m in found)
    return 2 if counts["broken"] else 1 if counts["bare"] else 0
