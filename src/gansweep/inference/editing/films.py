"""Pictures in a row: a strip, or a film as GIF, WebP or MP4."""

import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from PIL import Image

from gansweep.records.sheets import ENLARGED_SIDE

FILMS = (".gif", ".webp", ".mp4")


def frames_of(pixels: np.ndarray) -> list[Image.Image]:
    """(N, H, W, C) uint8 -> pictures; small ones are enlarged by an integer factor."""
    return [_enlarged(one) for one in pixels]


def film(frames: Sequence[Image.Image], ending: str, seconds: float) -> bytes:
    """A film that repeats.   seconds: of one picture; ending: of FILMS."""
    if ending == ".mp4":
        return _mp4(frames, seconds)
    how = (
        {"lossless": True, "quality": 0, "method": 1} if ending == ".webp" else {"optimize": False}
    )
    content = io.BytesIO()
    milliseconds = max(20, round(1000 * seconds))
    frames[0].save(
        content, ending[1:], save_all=True, append_images=frames[1:], duration=milliseconds,
        loop=0, **how,
    )  # fmt: skip
    return content.getvalue()


def _enlarged(pixels: np.ndarray) -> Image.Image:
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    factor = max(1, ENLARGED_SIDE // 2 // max(picture.size))
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.NEAREST)


def _mp4(frames: Sequence[Image.Image], seconds: float) -> bytes:
    """H.264; sides are made even, as it needs."""
    import av  # the command line has looked for it

    content = io.BytesIO()
    width, height = (side + side % 2 for side in frames[0].size)
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(1000, max(20, round(1000 * seconds)))
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            whole = Image.new("RGB", (width, height))
            whole.paste(frame)
            container.mux(stream.encode(av.VideoFrame.from_image(whole)))
        container.mux(stream.encode())
    return content.getvalue()
