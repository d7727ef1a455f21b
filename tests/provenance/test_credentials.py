"""Signed manifests: c2pa's own reader accepts them, and tampering shows."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gansweep.errors import UserError
from gansweep.provenance.containers import packets
from gansweep.provenance.credentials import (
    Key,
    Signer,
    made_up_certificate,
    read_credentials,
)
from gansweep.provenance.mark import COMPOSITE, MADE
from gansweep.provenance.marking import Marker, Marking
from gansweep.provenance.reading import marks_of

c2pa = pytest.importorskip("c2pa")
pytest.importorskip("cryptography")
Command = Callable[..., Any]
FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif"}


def picture(form: str) -> bytes:
    content = io.BytesIO()
    pixels = np.arange(28 * 28, dtype=np.uint8).reshape(28, 28)
    Image.fromarray(pixels).convert("RGB").save(content, form)
    return content.getvalue()


@pytest.fixture(scope="module")
def marker() -> Marker:
    return Marker(Marking(key=Key()), "digits/cgan last.pt", "cgan")


@pytest.mark.parametrize("form", FORMATS)
def test_the_packages_own_reader_accepts_what_is_signed(marker: Marker, form: str) -> None:
    signed = marker.file(picture(form), "seed 1")
    with c2pa.Reader(FORMATS[form], io.BytesIO(signed)) as reader:
        assert reader.get_validation_state() == "Valid"
        whole = json.loads(reader.json())
    manifest = whole["manifests"][whole["active_manifest"]]
    (action,) = manifest["assertions"][0]["data"]["actions"]
    assert action["action"] == "c2pa.created" and action["digitalSourceType"] == MADE
    assert action["softwareAgent"]["name"] == "gansweep"
    assert "test certificate" in manifest["signature_info"]["issuer"]
    assert len(signed) < len(picture(form)) + 8000, "no thumbnail"
    assert len(packets(signed)) == 1, "the packet is kept beside the manifest"


@pytest.mark.parametrize("form", FORMATS)
def test_a_changed_file_is_broken_and_a_stripped_one_has_none(
    marker: Marker, form: str, tmp_path: Path
) -> None:
    whole = marker.file(picture(form), "seed 1")
    assert read_credentials(whole, form).state == "valid, signer unknown"
    signed = bytearray(whole)
    place = signed.find(b"AISystemUsed>gansweep")
    signed[place + 14] ^= 1  # in the packet, which the manifest covers
    assert read_credentials(bytes(signed), form).state == "broken"
    again = io.BytesIO()
    with Image.open(io.BytesIO(whole)) as image:
        image.save(again, form)
    assert read_credentials(again.getvalue(), form) is None


def test_a_trusted_root_makes_the_signature_trusted(tmp_path: Path, command: Command) -> None:
    chain, key = made_up_certificate()
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    given = {"mark.c2pa": "true", "mark.certificate": "chain.pem", "mark.key": "key.pem"}
    marker = Marker(Marking.asked({k: v for k, v in given.items()}), "run", "gan")
    (tmp_path / "a.png").write_bytes(marker.file(picture("png"), "seed 1"))
    root = b"-----BEGIN" + chain.split(b"-----BEGIN")[2]
    (tmp_path / "root.pem").write_bytes(root)
    assert marks_of(tmp_path / "a.png", root.decode()).credentials.state == "trusted"
    done = command("inspect", "a.png", "--trust", "root.pem", "--full")
    assert done.code == 0 and "manifest     trusted" in done.out


def test_a_manifest_alone_marks_a_file(marker: Marker, tmp_path: Path) -> None:
    assert marker.signer is not None
    (tmp_path / "a.png").write_bytes(marker.signer.signed(picture("png"), "png", MADE, ""))
    found = marks_of(tmp_path / "a.png")
    assert found.says == {} and found.kind == "machine-made"


def test_the_manifest_of_a_picture_that_was_edited_is_kept(marker: Marker) -> None:
    parent = marker.file(picture("png"), "seed 1")
    edited = marker.file(picture("jpeg"), "translation", COMPOSITE, parent=parent)
    found = read_credentials(edited, "jpeg")
    assert found is not None and found.ingredients == 1 and found.source_type == COMPOSITE
    assert found.state == "valid, signer unknown"
    bare = marker.file(picture("jpeg"), "translation", COMPOSITE, parent=picture("png"))
    assert read_credentials(bare, "jpeg").ingredients == 0


def test_archives_carry_a_manifest_and_still_load(marker: Marker, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.arange(9))
    marker.sign_archive(tmp_path / "a.npz", "seed 1")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["images"].tolist() == list(range(9))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert archive.testzip() is None
    assert marks_of(tmp_path / "a.npz").credentials.state == "valid, signer unknown"


def test_a_model_has_its_manifest_beside_it(marker: Marker, tmp_path: Path) -> None:
    content = b"any bytes of a model" * 10
    (tmp_path / "a.onnx").write_bytes(content)
    (tmp_path / "a.onnx.c2pa").write_bytes(marker.beside(content) or b"")
    assert marks_of(tmp_path / "a.onnx").credentials.state == "valid, signer unknown"
    (tmp_path / "a.onnx").write_bytes(content + b"!")
    assert marks_of(tmp_path / "a.onnx").credentials.state == "broken"


def test_a_dead_time_stamp_server_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    signer = Signer(Key(timestamp="http://127.0.0.1:9/"))
    for _ in range(2):
        signed = signer.signed(picture("png"), "png", MADE, "")
        assert read_credentials(signed, "png").state == "valid, signer unknown"
    assert capsys.readouterr().err.count("gives no time stamp") == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mark.certificate": "a.pem"}, "add mark.c2pa=true"),
        ({"mark.c2pa": "true", "mark.certificate": "a.pem"}, "Give both"),
        ({"mark.visible": "true"}, "mark.font=FILE"),
        ({"mark": "none", "mark.c2pa": "true"}, "contradict"),
    ],
)
def test_options_that_do_not_fit_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Marking.asked(given)


def test_a_key_that_cannot_sign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        Signer(Key(tmp_path / "absent.pem", tmp_path / "absent.pem"))
    (tmp_path / "a.pem").write_text("no certificate")
    with pytest.raises(UserError, match="cannot"):
        Signer(Key(tmp_path / "a.pem", tmp_path / "a.pem")).signed(picture("png"), "png", MADE, "")


def test_a_stream_that_cannot_be_signed_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    done = command("generate", ".", "-o", "-", "mark.c2pa=true")
    done.is_refused_with("mark.c2pa=true signs", "-o FILE.zip")


def test_a_prompt_that_is_no_utf8_is_signed_escaped(marker: Marker, tmp_path: Path) -> None:
    place = tmp_path / "a.png"
    place.write_bytes(marker.file(picture("png"), "translation of caf\udce9.png"))
    found = marks_of(place)
    assert found.credentials is not None and not found.problem
    assert b"translation of caf\\udce9.png" in place.read_bytes()
