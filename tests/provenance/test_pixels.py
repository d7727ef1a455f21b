"""Marks in the pixels: the visible label, and what a watermark asks for."""

from pathlib import Path

import pytest
from PIL import Image, ImageFont

from gansweep.cli.main import main
from gansweep.errors import UserError
from gansweep.inference.encoding import marked
from gansweep.provenance import pixels
from gansweep.provenance.marking import Marker, Marking


class TrustMark:
    """A white pixel at the upper left is its watermark."""

    def __init__(self, **_: object) -> None: ...

    def encode(self, picture: Image.Image, word: str) -> Image.Image:
        assert word == pixels.WORD
        return picture.point(lambda value: 255 - value)

    def decode(self, picture: Image.Image) -> tuple[str, bool, int]:
        there = picture.getpixel((0, 0)) == (255, 255, 255)
        return (pixels.WORD if there else "noise"), there, 1


def fake_package(name: str) -> object:
    return type(name, (), {"TrustMark": TrustMark})


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

    monkeypatch.setattr(pixels, "import_module", fake_package)
    marker = Marker(Marking(watermark=True), "run", "gan")
    with pytest.raises(UserError, match="Both sides need 256"):
        marker.drawn(Image.new("L", (28, 28)))
    assert marker.drawn(Image.new("L", (256, 256))).getpixel((0, 0)) == (255, 255, 255)


def test_a_watermark_is_read_back_where_the_metadata_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pixels, "import_module", fake_package)
    marked_picture = pixels.Watermark().drawn(Image.new("L", (256, 256)))
    marked_picture.save(tmp_path / "marked.png")
    Image.new("L", (256, 256)).save(tmp_path / "bare.png")
    Image.new("L", (28, 28), 255).save(tmp_path / "small.png")
    assert main(["inspect", str(tmp_path / "marked.png")]) == 1
    assert main(["inspect", str(tmp_path / "marked.png"), "--watermark"]) == 0
    assert "machine-made, watermark 'gansweep'" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path), "--watermark"]) == 1
    assert "3 files: 1 marked, 2 not" in capsys.readouterr().out


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no font"):
        Marker(Marking(font=tmp_path / "absent.ttf"), "run", "gan")

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(pixels, "import_module", absent)
    with pytest.raises(UserError, match="pip install trustmark"):
        Marker(Marking(watermark=True), "run", "gan")
