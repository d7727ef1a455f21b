"""Sheets of images as files: lossless WebP with a description of its layout; PNG of older runs.

The description is JSON inside the file's XMP packet, so a copied sheet keeps it. Reading it needs
no image library.
"""

from __future__ import annotations

import dataclasses
import html
import io
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gansweep.provenance.containers import embed
from gansweep.provenance.mark import COMPOSITE, IPTC, MADE, Mark
from gansweep.records.plain_values import DamagedError, parsed

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".webp", ".png")  # the first is what runs write
KINDS = (
    *("samples", "classes", "translations", "reconstructions", "retrieval", "anomalies"),
    *("points", "neighbours"),
)
MADE_ALONE = ("samples", "classes", "points")  # kinds without real images
PNG = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
ENLARGED_SIDE = 512  # pixels: smaller sheets are enlarged for people
MOST_CELLS = 1_000_000
MOST_PIXELS = 65_535
MOST_RANKS = 4  # of real images beside the nearest
NAMESPACE = "urn:gansweep:sheet"
PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    f'<rdf:Description rdf:about="" xmlns:gansweep="{NAMESPACE}" xmlns:Iptc4xmpExt="{IPTC}">'
    "<Iptc4xmpExt:DigitalSourceType>%s</Iptc4xmpExt:DigitalSourceType>"
    "<Iptc4xmpExt:AISystemUsed>gansweep</Iptc4xmpExt:AISystemUsed>"
    "<gansweep:layout>%s</gansweep:layout></rdf:Description></rdf:RDF></x:xmpmeta>"
)
FIELD = re.compile(r"<gansweep:layout>(.*?)</gansweep:layout>", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Samples above their nearest real images, all at places counted in pixels of the sheet.

    top: of the samples.   real: the top of each row of real images.
    distances: of each sample to its nearest real image; None if it is not finite.
    further: those to the second nearest, the third, ..., for each of `real`; () in older runs.
    """

    title: str
    top: int
    real: tuple[int, ...]
    distances: tuple[float | None, ...]
    further: tuple[tuple[float | None, ...], ...] = ()

    def moved(self, down: int) -> Block:
        """The same block, so many pixels further down."""
        real = tuple(top + down for top in self.real)
        return dataclasses.replace(self, top=self.top + down, real=real)


@dataclass(frozen=True)
class Rank:
    """The second nearest real images, or the third: the top of the first, and one distance each."""

    top: int
    distances: tuple[float | None, ...]


@dataclass(frozen=True)
class Twins:
    """The real image nearest to each generated image of the sample sheet of the same moment.

    They stand in rows of `columns`.   top: of the first, in pixels.   cells: of the sample sheet.
    distances: one for each; None if it is not finite.
    further: the second nearest, the third, ..., in the same rows further down; () in older runs.
    """

    top: int
    columns: int
    cells: tuple[int, ...]
    distances: tuple[float | None, ...]
    further: tuple[Rank, ...] = ()


@dataclass(frozen=True)
class Layout:
    """What stands where on a sheet: `rows` x `columns` cells of (width, height) = `cell` pixels.

    kind: one of KINDS.   gap: pixels around each cell.   count: cells that hold an image.
    classes: the name of each column, where a column is a class or a value of a code.
    roles: what the columns show, repeated to the right: ("source", "made", "true").
    noise: numbers of noise behind each sample, drawn from the fixed seed; None: not from noise.
    For kind "neighbours" (rows and columns count the samples):
    scale: how much each pixel of an image is enlarged.   left: of the first cell.
    blocks: see Block.   twins: see Twins.   notes: sentences below the sheet.
    """

    kind: str
    columns: int
    rows: int
    cell: tuple[int, int]
    gap: int = 1
    count: int = 0
    classes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    noise: int | None = None
    scale: int = 1
    left: int = 0
    blocks: tuple[Block, ...] = ()
    twins: Twins | None = None
    notes: tuple[str, ...] = ()

    def showing(self, role: str) -> list[int]:
        """The cells that show a role; all cells of a sheet without roles."""
        roles, columns = self.roles, self.columns
        cells = range(self.count)
        return [k for k in cells if not roles or roles[k % columns % len(roles)] == role]

    def corner(self, cell: int) -> tuple[int, int]:
        """(left, top) of a cell in pixels."""
        (width, height), gap = self.cell, self.gap
        row, column = divmod(cell, self.columns)
        return gap + column * (width + gap), gap + row * (height + gap)

    def plain(self) -> dict[str, Any]:
        """The fields that differ from their defaults, for JSON."""
        found = dataclasses.asdict(self)
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        return {key: value for key, value in found.items() if value != defaults[key]}


def enlarged(picture: Image.Image) -> Image.Image:
    """The picture for people, enlarged by an integer factor without smoothing."""
    from PIL.Image import Resampling

    factor = max(1, ENLARGED_SIDE // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Resampling.NEAREST)


def as_webp(picture: Image.Image, layout: Layout) -> bytes:
    """A sheet as lossless WebP that carries its layout, and says that a machine made it."""
    text = json.dumps(layout.plain(), separators=(",", ":"))
    packet = (PACKET % (_source_type(layout.kind), html.escape(text, quote=False))).encode()
    content = io.BytesIO()
    # method 1 takes a third of a PNG's time; method 4 gains 1 % and takes ten times as long
    picture.save(content, "WEBP", lossless=True, method=1, quality=0, xmp=packet)
    return content.getvalue()


def as_png(picture: Image.Image, kind: str) -> bytes:
    """A picture of a sheet for people, which says that a machine made it.   kind: of the sheet."""
    content = io.BytesIO()
    picture.save(content, "PNG")
    mark = Mark(run="", model="", source_type=_source_type(kind))
    return embed(content.getvalue(), mark.packet())


def _source_type(kind: str) -> str:
    return MADE if kind in MADE_ALONE else COMPOSITE


def media_type(content: bytes) -> str | None:
    """ "image/webp" or "image/png" of a whole file; None if it is another or is cut off."""
    if content.startswith(PNG):
        return "image/png" if content.rstrip().endswith(PNG_END) else None
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        whole = len(content) >= 8 + int.from_bytes(content[4:8], "little")
        return "image/webp" if whole else None
    return None


def layout_of(content: bytes) -> Layout | None:
    """The layout that a WebP carries; None if it has none or it is not as `as_webp` writes it."""
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return None
    packet = next((chunk for name, chunk in _chunks(content) if name == b"XMP "), b"")
    return _layout_in(packet)


@lru_cache(1024)  # most sheets of a run have one layout
def _layout_in(packet: bytes) -> Layout | None:
    found = FIELD.search(packet.decode(errors="replace"))
    if found is None:
        return None
    try:
        return _checked(parsed(html.unescape(found[1]).encode()))
    except (DamagedError, TypeError, ValueError, KeyError):
        return None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 12
    while start + 8 <= len(content):
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        yield content[start : start + 4], content[start + 8 : start + 8 + size]
        start += 8 + size + size % 2


def _checked(found: Any) -> Layout:
    """Raises: TypeError, ValueError or KeyError if a field is not as the class says."""
    columns, rows = _whole(found["columns"], 1), _whole(found["rows"], 1)
    width, height = (_whole(side, 1) for side in found["cell"])
    if found["kind"] not in KINDS or columns * rows > MOST_CELLS:
        raise ValueError(found["kind"])
    noise = found.get("noise")
    return Layout(
        kind=found["kind"],
        columns=columns,
        rows=rows,
        cell=(width, height),
        gap=_whole(found.get("gap", 1), 0),
        count=min(_whole(found.get("count", 0), 0), columns * rows),
        classes=_words(found.get("classes", ()), columns),
        roles=_words(found.get("roles", ()), columns),
        noise=None if noise is None else _whole(noise, 1),
        scale=_whole(found.get("scale", 1), 1),
        left=_whole(found.get("left", 0), 0),
        blocks=tuple(_block(block, columns) for block in found.get("blocks", ())[:2]),
        twins=None if found.get("twins") is None else _twins(found["twins"]),
        notes=_words(found.get("notes", ()), 4),
    )


def _twins(found: Any) -> Twins:
    cells = tuple(_whole(cell, 0) for cell in found["cells"])
    first, *further = (
        Rank(_whole(rank["top"], 0), _distances(rank["distances"]))
        for rank in (found, *found.get("further", ())[:MOST_RANKS])
    )
    if any(len(rank.distances) != len(cells) for rank in (first, *further)):
        raise ValueError(len(cells))
    columns = _whole(found["columns"], 1)
    return Twins(first.top, columns, cells, first.distances, tuple(further))


def _distances(found: Any) -> tuple[float | None, ...]:
    numbers = [None if distance is None else float(distance) for distance in found]
    return tuple(d if d is None or math.isfinite(d) else None for d in numbers)


def _block(found: Any, columns: int) -> Block:
    return Block(
        title=_words([found["title"]], 1)[0],
        top=_whole(found["top"], 0),
        real=tuple(_whole(top, 0) for top in found["real"]),
        distances=_distances(found["distances"][:columns]),
        further=tuple(_distances(d[:columns]) for d in found.get("further", ())[:MOST_RANKS]),
    )


def _whole(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST_PIXELS:
        raise ValueError(value)
    return value


def _words(value: Any, most: int) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise TypeError(value)
    return tuple(value[:most])
