"""Marks in the pixels: the visible label, and what a watermark asks for."""

from pathlib import Path

import pytest
from PIL import Image, ImageFont

from gansweep.errors import UserError
from gansweep.inference.encoding import marked
from gansweep.provenance import pixels
from gansweep.provenance.marking import Marker, Marking


@pytest.fixture
def font(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pillow's own letters stand in for Chinese ones."""
    own = ImageFont.load_default(12)
    monkeypatch.setattr(pixels.ImageFont, "truetype", lambda path, size: own)
    return Path("letters.ttf")


def test_a_label_is_drawn_at_the_lower_right(font: Path) -> None:
    marker = Marker(Marking(font=font), "run", "gan")
    plain = Image.new("L", (200, 100), 128)
    drawn = marker.drawn(plain)
    changed = [
        (x, y) for x in range(200) for y in range(100) if drawn.getpixel((x, y)) != (128,) * 3
    ]
    assert changed and min(x for x, _ in changed) > 120 and min(y for _, y in changed) > 70
    assert len(marked(marker, plain, "seed 1")) > 800


def test_small_pictures_are_refused(font: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = Marker(Marking(font=font), "run", "gan")
    with pytest.raises(UserError, match="28x28 is too small"):
        marker.drawn(Image.new("L", (28, 28)))

    class TrustMark:
        def __init__(self, **_: object) -> None: ...

        def encode(self, picture: Image.Image, word: str) -> Image.Image:
            return picture.point(lambda value: 255 - value)

    monkeypatch.setattr(
        pixels, "import_module", lambda name: type(name, (), {"TrustMark": TrustMark})
    )
    marker = Marker(Marking(watermark=True), "run", "gan")
    with pytest.raises(UserError, match="Both sides need 256"):
        marker.drawn(Image.new("L", (28, 28)))
    assert marker.drawn(Image.new("L", (256, 256))).getpixel((0, 0)) == (255, 255, 255)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no font"):
        Marker(Marking(font=tmp_path / "absent.ttf"), "run", "gan")

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(pixels, "import_module", absent)
    with pytest.raises(UserError, match="pip install trustmark"):
        Marker(Marking(watermark=True), "run", "gan")
