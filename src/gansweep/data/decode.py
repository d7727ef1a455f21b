"""Decode image files into squares of uint8 pixels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F


class UnreadableImageError(ValueError):
    """A file is not a complete image. The message is only the reason."""


def open_image(path: Path) -> Image.Image:
    """The image as "L" (grey) or "RGB", rotated by its EXIF tag, transparent parts on white.

    16-bit grey images keep their upper 8 bits.
    Raises: UnreadableImageError if the image cannot be decoded completely.
    """
    try:
        if not path.is_file():
            raise UnreadableImageError("it is not a regular file")
        with Image.open(path) as image:
            image.load()
            if image.mode == "I" and image.format == "TIFF":
                raise UnreadableImageError("its pixels are 32-bit integers of unknown range")
            return _plain(ImageOps.exif_transpose(image))
    # for bad files Pillow raises OSError, SyntaxError, struct.error, zlib.error and more
    except Exception as error:
        reason = str(error).replace(str(path), path.name) or type(error).__name__
        raise UnreadableImageError(reason) from error


def _plain(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadableImageError("its pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype("u1"))
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        grey = image.mode in ("1", "L", "LA")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("L" if grey else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def square(
    image: Image.Image,
    size: int,
    channels: int,
    *,
    resize: int | None = None,
    top: float = 0.5,
    left: float = 0.5,
) -> Tensor:
    """Resize the image so that its short side is `resize` (default `size`), then crop a square.

    Bicubic, with antialias if it shrinks.
    top, left: position of the crop, in [0, 1]; 0.5 is the centre.
    Returns: (channels, size, size) uint8.
    """
    short = resize or size
    scale = short / min(image.size)
    width, height = (max(short, round(side * scale)) for side in image.size)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    x, y = round((width - size) * left), round((height - size) * top)
    pixels = np.array(image.crop((x, y, x + size, y + size)))
    return torch.from_numpy(pixels.reshape(size, size, channels)).permute(2, 0, 1).contiguous()


def resize_all(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) uint8 -> (N, C, size, size) uint8. Bicubic, with antialias if it shrinks."""
    if images.shape[-2:] == (size, size):
        return images
    resized = images.new_empty(*images.shape[:2], size, size)
    for rows in torch.arange(len(images)).split(1000):
        part = F.interpolate(images[rows].float(), (size, size), mode="bicubic", antialias=True)
        resized[rows] = part.round_().clamp_(0, 255).to(torch.uint8)
    return resized
