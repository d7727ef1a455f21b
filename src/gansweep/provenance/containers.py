"""An XMP packet in the file formats of pictures: put in, and taken out, of whole files in memory.

PNG: an iTXt chunk behind the header.   JPEG: an APP1 segment.   WebP: a chunk "XMP " of an extended
file.   GIF: an application extension.   MP4: a box "uuid" at the end.   AVIF: read only, by Pillow.
Source: XMP Specification Part 3 (2020), Storage in Files; WebP Container Specification.
"""

import io
import struct
import zlib
from collections.abc import Iterator

PNG = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = len(PNG) + 25  # with the chunk IHDR
ITXT = b"XML:com.adobe.xmp\0\0\0\0\0"  # keyword; not compressed; no language, no translation
JPEG_NAME = b"http://ns.adobe.com/xap/1.0/\0"
JPEG_MOST = 65_533 - len(JPEG_NAME)  # bytes of a packet that one segment holds
GIF_NAME = b"!\xff\x0bXMP DataXMP"
# the "magic trailer": a reader that takes the packet for sub-blocks comes out at its end
GIF_END = bytes([1, *range(255, -1, -1), 0])
MP4_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
STILL = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix")  # brands of pictures, not of films
ANIMATED, WITH_XMP, WITH_ALPHA = 0x02, 0x04, 0x10  # flags of a WebP's VP8X


class DamagedFileError(ValueError):
    """A file that ends too early or is not laid out as its format says. The message is why."""


def format_of(content: bytes) -> str | None:
    """ "png", "jpeg", "webp", "gif", "mp4" or "avif" by the first bytes; None for another."""
    if content.startswith(PNG):
        return "png"
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if content[4:8] != b"ftyp":
        return None
    brands = content[8 : int.from_bytes(content[:4], "big")]
    if brands[:4] in STILL:
        return "avif" if b"avif" in brands or b"avis" in brands else None
    return "mp4"


def embed(content: bytes, packet: bytes) -> bytes:
    """The file with the packet, in place of one that it had.

    Raises: ValueError for another format; DamagedFileError.
    """
    kind = format_of(content)
    if kind not in EMBED:
        raise ValueError("the format is not one that takes XMP here")
    return EMBED[kind](content, packet)


def packets(content: bytes) -> list[bytes]:
    """The packets of a file, mostly none or one.   Raises: as `embed`."""
    kind = format_of(content)
    if kind is None:
        raise ValueError("the format is not one that takes XMP here")
    return list(EXTRACT[kind](content))


# ---- PNG


def png_chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, where the chunk starts, where it ends) of each.   Raises: DamagedFileError."""
    start = len(PNG)
    while start < len(content):
        if start + 12 > len(content):
            raise DamagedFileError("it is cut off")
        size, name = struct.unpack_from(">I4s", content, start)
        end = start + 12 + size
        if end > len(content):
            raise DamagedFileError("it is cut off")
        yield name, start, end
        if name == b"IEND":
            return
        start = end
    raise DamagedFileError("it is cut off")


def _is_png_packet(content: bytes, name: bytes, start: int) -> bool:
    return name == b"iTXt" and content.startswith(ITXT[:18], start + 8)


def _embed_png(content: bytes, packet: bytes) -> bytes:
    kept = b"".join(
        content[start:end]
        for name, start, end in png_chunks(content)
        if not _is_png_packet(content, name, start)
    )
    head = PNG_HEADER - len(PNG)
    return PNG + kept[:head] + png_chunk(b"iTXt", ITXT + packet) + kept[head:]


def _png_packets(content: bytes) -> Iterator[bytes]:
    for name, start, end in png_chunks(content):
        if _is_png_packet(content, name, start):
            is_packed = content[start + 8 + 18] == 1
            text = content[start + 8 + 20 : end - 4].split(b"\0", 2)[-1]
            yield _inflated(text) if is_packed else text


def _inflated(text: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(text, 1_000_000)
    except zlib.error as error:
        raise DamagedFileError(f"its text cannot be unpacked ({error})") from error


# ---- JPEG


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the segments before the pixels."""
    start = 2
    while start + 4 <= len(content):
        lead, marker, size = struct.unpack_from(">BBH", content, start)
        if lead != 0xFF:
            raise DamagedFileError("its segments are broken")
        if marker == 0xFF:  # a fill byte
            start += 1
            continue
        if marker in (0xD9, 0xDA):
            return
        end = start + 2 + size
        if end > len(content):
            raise DamagedFileError("it is cut off")
        yield marker, start, end
        start = end
    raise DamagedFileError("it is cut off")


def _is_jpeg_packet(content: bytes, marker: int, start: int) -> bool:
    return marker == 0xE1 and content.startswith(JPEG_NAME, start + 4)


def _embed_jpeg(content: bytes, packet: bytes) -> bytes:
    if len(packet) > JPEG_MOST:
        raise ValueError(f"a JPEG takes {JPEG_MOST} bytes of XMP, not {len(packet)}")
    body = JPEG_NAME + packet
    own = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    head, kept, last = b"\xff\xd8", b"", 2
    for marker, start, end in _segments(content):
        last = end
        if _is_jpeg_packet(content, marker, start):
            continue
        if marker == 0xE0 and not kept:  # JFIF comes first
            head += content[start:end]
        else:
            kept += content[start:end]
    return head + own + kept + content[last:]


def _jpeg_packets(content: bytes) -> Iterator[bytes]:
    for marker, start, end in _segments(content):
        if _is_jpeg_packet(content, marker, start):
            yield content[start + 4 + len(JPEG_NAME) : end]


# ---- WebP


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    end = 8 + int.from_bytes(content[4:8], "little")
    if end > len(content):
        raise DamagedFileError("it is cut off")
    start = 12
    while start + 8 <= end:
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        if start + 8 + size > end:
            raise DamagedFileError("it is cut off")
        yield content[start : start + 4], content[start + 8 : start + 8 + size]
        start += 8 + size + size % 2


def _webp_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _embed_webp(content: bytes, packet: bytes) -> bytes:
    chunks = [chunk for chunk in _webp_chunks(content) if chunk[0] != b"XMP "]
    if not chunks:
        raise DamagedFileError("it has no picture")
    own = chunks.pop(0)[1] if chunks[0][0] == b"VP8X" else None
    extended = own or _extended(content, chunks[0])
    extended = bytes([extended[0] | WITH_XMP]) + extended[1:]
    body = b"WEBP" + _webp_chunk(b"VP8X", extended)
    body += b"".join(_webp_chunk(*chunk) for chunk in chunks) + _webp_chunk(b"XMP ", packet)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended(content: bytes, picture: tuple[bytes, bytes]) -> bytes:
    """The header of the extended form of a simple file."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    # bit 28 of a lossless picture says that its alpha is used
    alpha = picture[0] == b"VP8L" and len(picture[1]) > 4 and picture[1][4] & 0x10
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes([WITH_ALPHA if alpha else 0, 0, 0, 0]) + sides


def _webp_packets(content: bytes) -> Iterator[bytes]:
    yield from (chunk for name, chunk in _webp_chunks(content) if name == b"XMP ")


# ---- GIF


def _gif_start(content: bytes) -> int:
    """Where the blocks start, behind the global colours."""
    if len(content) < 14:
        raise DamagedFileError("it is cut off")
    flags = content[10]
    return 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _embed_gif(content: bytes, packet: bytes) -> bytes:
    if b"\0" in packet:
        raise ValueError("the packet has a zero byte, at which a GIF's block would end")
    start = _gif_start(content)
    rest = content[start:]
    for own in _gif_blocks(content):
        rest = rest.replace(content[own[0] : own[2]], b"", 1)
    return b"GIF89a" + content[6:start] + GIF_NAME + packet + GIF_END + rest


def _gif_blocks(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(start of the extension, end of its packet, end of the extension) of each packet."""
    start = content.find(GIF_NAME, _gif_start(content))
    while start >= 0:
        end = content.find(GIF_END, start)
        if end < 0:
            raise DamagedFileError("its XMP has no end")
        yield start, end, end + len(GIF_END)
        start = content.find(GIF_NAME, end)


def _gif_packets(content: bytes) -> Iterator[bytes]:
    for start, end, _ in _gif_blocks(content):
        yield content[start + len(GIF_NAME) : end]


# ---- MP4


def _boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the boxes at the top."""
    start = 0
    while start < len(content):
        if start + 8 > len(content):
            raise DamagedFileError("it is cut off")
        size, name = struct.unpack_from(">I4s", content, start)
        if size == 1 and start + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, start + 8)
        end = len(content) if size == 0 else start + size
        if end > len(content) or size in range(1, 8):
            raise DamagedFileError("it is cut off")
        yield name, start, end
        start = end


def _is_mp4_packet(content: bytes, name: bytes, start: int) -> bool:
    return name == b"uuid" and content.startswith(MP4_UUID, start + 8)


def _embed_mp4(content: bytes, packet: bytes) -> bytes:
    kept = bytearray(content)
    for name, start, _ in _boxes(content):
        if _is_mp4_packet(content, name, start):
            kept[start + 4 : start + 8] = b"free"  # taken out, it would move what others point to
    return bytes(kept) + struct.pack(">I4s", 24 + len(packet), b"uuid") + MP4_UUID + packet


def _mp4_packets(content: bytes) -> Iterator[bytes]:
    for name, start, end in _boxes(content):
        if _is_mp4_packet(content, name, start):
            yield content[start + 24 : end]


# ---- AVIF


def _avif_packets(content: bytes) -> Iterator[bytes]:
    """The packet is an item among others, to which a decoder of the format leads."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            packet = picture.info.get("xmp")
    except Exception as error:  # Pillow raises many kinds for bad files
        raise DamagedFileError("Pillow cannot read it as AVIF") from error
    if packet:
        yield packet


EMBED = {
    "png": _embed_png,
    "jpeg": _embed_jpeg,
    "webp": _embed_webp,
    "gif": _embed_gif,
    "mp4": _embed_mp4,
}
EXTRACT = {
    "png": _png_packets,
    "jpeg": _jpeg_packets,
    "webp": _webp_packets,
    "gif": _gif_packets,
    "mp4": _mp4_packets,
    "avif": _avif_packets,
}
