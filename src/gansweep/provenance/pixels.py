"""Marks in the pixels themselves: a label that people see, and a watermark that they do not."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gansweep.errors import UserError

LABEL = "AI\u751f\u6210"  # "made by AI", in the words of GB 45438-2025
LEAST_SIDE = 64  # pixels: below it no label can be read
LABEL_SHARE = 0.05  # of the shorter side: the least height of the label's letters
WATERMARK_SIDE = 256  # pixels on both sides that TrustMark needs
WORD = "gansweep"  # what the watermark says: 8 letters of 7 bits


class Label:
    """Draws the visible label of GB 45438-2025.   font: a file with Chinese letters."""

    def __init__(self, font: Path) -> None:
        self.font = font
        try:
            ImageFont.truetype(font, 12)
        except OSError as error:
            raise UserError(
                f"mark.font={font} is no font that can be read ({error}). Give a TrueType or "
                "OpenType file with Chinese letters, such as Noto Sans CJK."
            ) from error

    def drawn(self, picture: Image.Image) -> Image.Image:
        """The picture with the label at the lower right, white with a dark rim."""
        short = min(picture.size)
        if short < LEAST_SIDE:
            raise UserError(
                f"mark.visible=true: a picture of {picture.width}x{picture.height} is too small "
                f"for a label that can be read. Its sides need {LEAST_SIDE} pixels."
            )
        size = max(12, round(LABEL_SHARE * short))
        font = ImageFont.truetype(self.font, size)
        drawn = picture.convert("RGB")
        place = (picture.width - size // 2, picture.height - size // 2)
        ImageDraw.Draw(drawn).text(
            place, LABEL, "white", font, anchor="rd", stroke_width=max(1, size // 12),
            stroke_fill="black",
        )  # fmt: skip
        return drawn


class Watermark:
    """An invisible watermark by TrustMark (Bui et al. 2023, arXiv:2311.18297).

    Departure: none; the package fetches its weights when it is first used.
    """

    def __init__(self) -> None:
        try:
            module = import_module("trustmark")
        except ImportError as error:
            raise UserError(
                "TrustMark's watermarks need the package trustmark: pip install trustmark. It "
                "fetches its weights when it is first used."
            ) from error
        try:
            self._network = module.TrustMark(verbose=False, model_type="Q")
        except Exception as error:
            raise UserError(
                f"TrustMark cannot be loaded ({error}): it fetches its weights when it is first "
                "used, so this machine must reach the network once. Or do without the watermark."
            ) from error

    def drawn(self, picture: Image.Image) -> Image.Image:
        if min(picture.size) < WATERMARK_SIDE:
            raise UserError(
                f"mark.watermark=trustmark: a picture of {picture.width}x{picture.height} cannot "
                f"carry it. Both sides need {WATERMARK_SIDE} pixels."
            )
        marked: Image.Image = self._network.encode(picture.convert("RGB"), WORD)
        return marked

    def read(self, picture: Image.Image) -> str:
        """The word of a picture's watermark; "" for none, and for pictures too small for one."""
        if min(picture.size) < WATERMARK_SIDE:
            return ""
        word, there, _ = self._network.decode(picture.convert("RGB"))
        return str(word) if there else ""
