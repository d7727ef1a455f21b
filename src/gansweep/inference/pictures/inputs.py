"""Pictures of the user, read for a network: files and folders, checked before PyTorch is needed."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gansweep.data.decode import UnreadableImageError, open_image, square
from gansweep.errors import UserError, tell
from gansweep.inference.pictures.picture_files import Found
from gansweep.records.notation import plural

MOST_PIXELS = 100_000_000  # of a picture that is decoded: about 300 MB


@dataclass(frozen=True)
class Picture:
    """A picture that was read.   image: "L" or "RGB", upright."""

    found: Found
    image: Image.Image


def read_picture(found: Found) -> Picture:
    """Decoded, turned upright by its EXIF tag, transparent parts on white.

    Raises: UnreadableImageError; also for one of more pixels than memory should be given to.
    """
    path = found.path
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
    except Exception as error:  # Pillow raises many kinds for bad files
        raise UnreadableImageError(str(error).replace(str(path), path.name)) from error
    if width * height > MOST_PIXELS:
        raise UnreadableImageError(
            f"it has {width}x{height} pixels, and at most {MOST_PIXELS:,} are read"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Picture(found, open_image(path))


class Reading:
    """Pictures that are read one after the other; stderr names those that cannot be.

    failed: how many.
    """

    def __init__(self, found: Sequence[Found]) -> None:
        self.found = found
        self.failed = 0

    def good(self) -> Iterator[Picture]:
        for one in self.found:
            try:
                picture = read_picture(one)
            except UnreadableImageError as error:
                tell(f"gansweep: {one.path} was left out: {error}.")
                self.failed += 1
            else:
                yield picture

    def refuse_none(self) -> None:
        """Raises: UserError where not one could be read."""
        if self.failed == len(self.found):
            raise UserError(
                f"None of {plural(len(self.found), 'picture')} can be read: {self.found[0].path} "
                "is the first. Give pictures such as PNG, JPEG or WebP."
            )


def read_all(found: Sequence[Found]) -> tuple[list[Picture], int]:
    """Those that can be read, and how many cannot.   Raises: UserError where none can."""
    reading = Reading(found)
    pictures = list(reading.good())
    reading.refuse_none()
    return pictures, reading.failed


def whole_picture(picture: Picture, channels: int) -> Tensor:
    """(C, H, W) float in [-1, 1], at its own size."""
    pixels = np.array(picture.image.convert("L" if channels == 1 else "RGB"))
    rows = torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels))
    return rows.permute(2, 0, 1).float().div(127.5).sub(1)


def as_input(
    pictures: Iterable[Picture], shape: Sequence[int], resize: int | None = None
) -> Tensor:
    """(N, C, H, W) float in [-1, 1]: resized by the short side and cut to the middle square.

    shape: (C, H, W) of the network, H and W alike.   resize: the short side, as that of the data
        where pictures are compared with them; None: H.
    """
    channels, height, width = shape
    if height != width:
        raise UserError(f"This run's images are {height}x{width}; only square ones can be given.")
    pixels = [square(one.image, height, channels, resize=resize) for one in pictures]
    return torch.stack(pixels).float().div(127.5).sub(1)
