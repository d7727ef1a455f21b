"""Pictures as files in memory, losslessly; small PNGs without an image library."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from gansweep.errors import UserError
from gansweep.provenance.containers import PNG, png_chunk
from gansweep.provenance.mark import MADE
from gansweep.provenance.marking import Marker

SMALL = 64 * 64  # pixels up to which a PNG's rows are packed as they are, which is fast
MOST_WEBP = 16_383  # pixels on a side
LEVEL = 4  # of zlib


def marked(
    marker: Marker,
    picture: Image.Image | np.ndarray,
    prompt: str,
    form: str = "png",
    source_type: str = MADE,
    parent: bytes | None = None,
) -> bytes:
    """A picture, or its pixels, as the file that leaves.   Others as `Marker.file`."""
    if marker.layers:
        picture = marker.drawn(_as_picture(picture))
    if isinstance(picture, np.ndarray):
        return marker.file(encoded(picture, form), prompt, source_type, parent)
    return marker.file(of_picture(picture, form), prompt, source_type, parent)


def _as_picture(pixels: Image.Image | np.ndarray) -> Image.Image:
    if isinstance(pixels, Image.Image):
        return pixels
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels)


def encoded(pixels: np.ndarray, form: str) -> bytes:
    """(H, W) or (H, W, 1 or 3) uint8 as a "png" or a lossless "webp"."""
    pixels = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    if form == "png" and pixels.shape[0] * pixels.shape[1] <= SMALL:
        return _small_png(pixels)
    return of_picture(Image.fromarray(pixels), form)


def of_picture(picture: Image.Image, form: str) -> bytes:
    """Raises: UserError for a picture that is too large for WebP."""
    if form == "webp" and max(picture.size) > MOST_WEBP:
        raise UserError(
            f"A picture of {picture.width}x{picture.height} pixels is too large for WebP, which "
            f"has {MOST_WEBP} at most on a side. Write a PNG, or fewer images in it."
        )
    content = io.BytesIO()
    lossless = {"lossless": True, "quality": 0, "method": 1} if form == "webp" else {}
    picture.save(content, form, **lossless)
    return content.getvalue()


def _small_png(pixels: np.ndarray) -> bytes:
    """Rows without a filter: where one helps, Pillow's choice costs more than the pixels."""
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + pixels[0].size), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    colour = 2 if pixels.ndim == 3 else 0
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(rows.tobytes(), LEVEL))
    return PNG + png_chunk(b"IHDR", head) + body + png_chunk(b"IEND", b"")
