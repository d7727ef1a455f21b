"""Marks in every format: written, read back by us and by exiftool, and what they survive."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from gansweep.errors import visible
from gansweep.provenance.containers import DamagedFileError, embed, packets
from gansweep.provenance.manifest import manifest
from gansweep.provenance.mark import COMPOSITE, MADE, Mark, Packets, china_record, fields_of
from gansweep.provenance.marking import Marker, Marking
from gansweep.provenance.reading import exit_code, files_in, marks_of

Command = Callable[..., Any]
MARK = Mark(
    "digits/cgan last.pt 0123", "cgan", "seed 1, label <7> & 8", date="2026-01-02T03:04:05Z"
)
MP4 = b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\x10mdat12345678"
FORMATS = ("png", "jpeg", "webp", "gif")


def picture(form: str, mode: str = "RGB", frames: int = 1, **how: Any) -> bytes:
    """A small picture with noise as a file."""
    rng = np.random.default_rng(1)
    shape = (24, 32) if mode == "L" else (24, 32, len(mode))
    images = [Image.fromarray(rng.integers(0, 255, shape, np.uint8)) for _ in range(frames)]
    content = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(content, form, **more, **how)
    return content.getvalue()


EVERY = {
    **{form: picture(form) for form in FORMATS},
    "grey png": picture("png", "L"),
    "lossless webp": picture("webp", lossless=True),
    "webp with alpha": picture("webp", "RGBA", lossless=True),
    "animated webp": picture("webp", frames=3),
    "animated gif": picture("gif", frames=3),
    "jpeg with exif": picture("jpeg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
}


def frames_of(content: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(content)) as image:
        found = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append(image.convert("RGBA").tobytes())
        return found


@pytest.mark.parametrize("name", EVERY)
def test_a_mark_is_read_back_and_changes_no_pixel(name: str) -> None:
    plain = EVERY[name]
    marked = embed(plain, MARK.packet())
    assert frames_of(marked) == frames_of(plain)
    assert [fields_of(one) for one in packets(marked)] == [
        {key: value for key, value in vars(MARK).items() if value}
    ]
    again = embed(marked, Mark("other", "gan").packet())
    (one,) = packets(again)
    assert fields_of(one)["run"] == "other" and frames_of(again) == frames_of(plain)


def test_a_film_takes_its_mark_behind_what_it_has() -> None:
    marked = embed(MP4, MARK.packet())
    assert marked.startswith(MP4) and fields_of(packets(marked)[0])["model"] == "cgan"
    assert len(packets(embed(marked, MARK.packet()))) == 1


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_the_mark_of_an_avif_is_read_and_a_heic_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a.avif").write_bytes(picture("avif", xmp=MARK.packet()))
    (tmp_path / "b.avif").write_bytes(picture("avif"))
    (tmp_path / "c.avif").write_bytes(picture("avif")[:200])
    (tmp_path / "d.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    found = [marks_of(place) for place in sorted(tmp_path.iterdir())]
    assert [one.kind for one in found] == ["machine-made", "", "", ""]
    assert [bool(one.problem) for one in found] == [False, False, True, True]
    with pytest.raises(ValueError, match="takes XMP"):
        embed(picture("avif"), MARK.packet())


def test_many_packets_of_one_mark_differ_in_their_prompt_alone() -> None:
    many = Packets(MARK)
    assert many.of(MARK.prompt) == MARK.packet()
    assert fields_of(many.of("seed 2"))["prompt"] == "seed 2"
    with_china = Packets(Mark("run", "gan", china=china_record("me")))
    ids = {json.loads(fields_of(with_china.of(""))["china"])["ProduceID"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("bad", ["caf\udce9.png", "a\x07b", "a\x9fb", "a\uffffb"])
def test_a_mark_escapes_what_is_no_utf8_or_no_xml(bad: str) -> None:
    mark = Mark(f"digits/{bad}", "cgan", bad, china=china_record(bad))
    for packet in (mark.packet(), Packets(mark).of(bad)):
        said = fields_of(packet)
        assert said["prompt"] == visible(bad) and said["run"] == f"digits/{visible(bad)}"
        assert json.loads(said["china"])["ContentProducer"] == visible(bad)
    assert json.loads(manifest(mark).encode())["prompt"] == visible(bad)


def test_other_programs_packets_are_read() -> None:
    """Attributes in place of elements, another prefix, a language alternative."""
    packet = """<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF
      xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about=''
      xmlns:i='http://iptc.org/std/Iptc4xmpExt/2008-02-29/' i:DigitalSourceType='%s'>
      <i:AISystemUsed><rdf:Alt><rdf:li xml:lang='x-default'>Painter</rdf:li></rdf:Alt>
      </i:AISystemUsed></rdf:Description></rdf:RDF></x:xmpmeta>"""
    assert fields_of((packet % MADE).encode()) == {"source_type": MADE, "system": "Painter"}


@pytest.mark.parametrize(
    "bad", [b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", b"<open>", b"\0" * 2_000_000]
)
def test_a_packet_that_is_none_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError):
        fields_of(bad)


@pytest.mark.parametrize("name", EVERY)
def test_a_file_that_is_cut_off_is_unreadable_and_not_a_crash(name: str, tmp_path: Path) -> None:
    marked = embed(EVERY[name], MARK.packet())
    for cut in range(1, len(marked), max(1, len(marked) // 60)):
        (tmp_path / "a.png").write_bytes(marked[:cut])
        found = marks_of(tmp_path / "a.png")
        assert found.problem or found.kind or "webp" not in name


NO_EXIFTOOL = "no exiftool on PATH (Debian: apt install libimage-exiftool-perl)"


@pytest.mark.skipif(not shutil.which("exiftool"), reason=NO_EXIFTOOL)
def test_exiftool_reads_what_we_write(tmp_path: Path) -> None:
    files = {**EVERY, "film": MP4}
    places = [tmp_path / name.replace(" ", "_") for name in files]
    for place, content in zip(places, files.values(), strict=True):
        place.write_bytes(embed(content, MARK.packet()))
    words = ["exiftool", "-j", "-XMP:all", *map(str, places)]
    found = json.loads(subprocess.check_output(words, stderr=subprocess.DEVNULL))
    assert len(found) == len(files)
    for one in found:
        assert one["DigitalSourceType"] == MADE, one
        assert (one["AISystemUsed"], one["AISystemVersionUsed"]) == ("gansweep", MARK.version)
        assert one["AIPromptInformation"] == MARK.prompt
        assert one["CreateDate"] == "2026:01:02 03:04:05Z" and one["Run"] == MARK.run


# what happens to a picture on its way -> whether the mark is still there; docs/marks.md says so
SURVIVAL = {
    "copied": True,
    "saved again by Pillow": False,
    "resized": False,
    "saved again with its XMP": True,
    "turned into another format": False,
    "a screenshot": False,
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("way", SURVIVAL)
def test_what_a_mark_survives(form: str, way: str, tmp_path: Path) -> None:
    marked = embed(EVERY[form], MARK.packet())
    after = io.BytesIO()
    with Image.open(io.BytesIO(marked)) as image:
        if way == "copied":
            after.write(marked)
        elif way == "resized":
            image.resize((12, 16)).save(after, form)
        elif way == "saved again with its XMP":
            after.write(embed(picture(form), packets(marked)[0]))
        elif way == "turned into another format":
            image.convert("RGB").save(after, "bmp" if form == "png" else "png")
        elif way == "a screenshot":
            Image.frombytes("RGB", image.size, image.convert("RGB").tobytes()).save(after, "png")
        else:
            image.save(after, form)
    (tmp_path / "a.png").write_bytes(after.getvalue())
    assert bool(marks_of(tmp_path / "a.png").kind) is SURVIVAL[way]


def test_a_marker_marks_composites_as_such_and_can_be_off() -> None:
    marker = Marker(Marking(), "digits/cgan", "cgan")
    (packet,) = packets(marker.file(EVERY["png"], "seed 3", COMPOSITE))
    assert fields_of(packet)["source_type"] == COMPOSITE
    assert json.loads(marker.manifest("seed 3") or "")["prompt"] == "seed 3"
    off = Marker(Marking(on=False), "digits/cgan", "cgan")
    assert off.file(EVERY["png"], "seed 3") == EVERY["png"] and off.manifest("") is None


def test_inspect_tells_marked_from_bare_from_broken(command: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.png").write_bytes(embed(EVERY["png"], MARK.packet()))
    done = command("inspect", "in")
    assert done.code == 0 and "machine-made" in done.out and MARK.prompt in done.out
    (tmp_path / "in" / "bare.JPG").write_bytes(EVERY["jpeg"])
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    done = command("inspect", "in")
    assert done.code == 1 and "2 files: 1 marked, 1 not" in done.out
    (tmp_path / "in" / "cut.webp").write_bytes(EVERY["webp"][:50])
    done = command("inspect", "in", "--full")
    assert done.code == 2 and "cut.webp: unreadable: it is cut off" in done.out
    assert f"run          {MARK.run}" in done.out
    assert command("inspect", "in/absent.png").code == 2
    command("inspect").is_refused_with("Name a file or a folder")
    (tmp_path / "empty").mkdir()
    command("inspect", "empty").is_refused_with("There is no picture")


def test_inspect_names_files_whole_within_the_width_of_a_terminal(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    names = [f"in/{'long-name-' * 6}{number}.png" for number in range(2)]
    for name in names:
        Image.new("L", (4, 4)).save(tmp_path / name)
    lines = command("inspect", "in").out.splitlines()
    assert {*names} <= {*lines} and max(map(len, lines)) <= 80


def test_inspect_reads_any_bytes_without_a_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.npz", "a.zip", "a.onnx", "a.safetensors", "a.png", "a.gif", "a.mp4"):
        heads = (b"", *(EVERY[form][:12] for form in FORMATS), MP4[:12], b"PK\x03\x04")
        for head in heads:
            (tmp_path / name).write_bytes(head + rng.bytes(200))
            marks_of(tmp_path / name)
    assert exit_code(map(marks_of, files_in([tmp_path]))) in (1, 2)


def test_a_wrong_segment_is_named() -> None:
    with pytest.raises(DamagedFileError, match="segments"):
        embed(b"\xff\xd8\xff\xe0\0\x02\0\0\0\0\0\0", MARK.packet())
    with pytest.raises(ValueError, match="format"):
        embed(b"BM" + bytes(60), MARK.packet())
    with pytest.raises(ValueError, match="65"):
        embed(EVERY["jpeg"], b"a" * 70_000)
