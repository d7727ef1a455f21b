"""`gansweep ui --play`: the page's server, in this process."""

from __future__ import annotations

import contextlib
import io
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from play_servers import served

from gansweep.callbacks.sheet import grid
from gansweep.inference.editing.codes import Codes, Space
from gansweep.inference.editing.directions import sefa
from gansweep.inference.opened import open_run
from gansweep.inference.play.drawing import Player
from gansweep.inference.request import Use
from gansweep.inference.stream import Stream
from gansweep.provenance.reading import marks_of

Command = Callable[..., Any]


@pytest.fixture(scope="module")
def places(runs: Path) -> Iterator[dict[str, str]]:
    """The address of a page for each run."""
    with contextlib.ExitStack() as open_ones:
        names = ("cgan", "cyclegan", "anomaly", "styled")
        yield {name: open_ones.enter_context(served(runs / name)) for name in names}


def answer(address: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request) as found:
            return found.status, found.read(), found.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("L", (20, 20), 200).save(content, "png")
    return content.getvalue()


def test_the_page_offers_what_the_run_can_do(places: dict[str, str]) -> None:
    status, text, headers = answer(places["cgan"])
    assert status == 200 and text.count(b'type="range"') == 8 and b"<option>7</option>" in text
    assert b'id="file"' not in text and "script-src 'sha256-" in headers["content-security-policy"]
    assert headers["content-security-policy"].count("frame-ancestors 'none'") == 1
    assert b'id="way"' in answer(places["cyclegan"])[1]
    assert b'id="verdict"' in answer(places["anomaly"])[1]


def test_samples_follow_the_sliders_and_are_marked(places: dict[str, str], tmp_path: Path) -> None:
    first, again, moved = (
        answer(f"{places['cgan']}samples?seed=1&n=4&label=7&d0={d}")[1] for d in (0, 0, 5)
    )
    (tmp_path / "a.png").write_bytes(moved)
    marks = marks_of(tmp_path / "a.png")
    assert marks.kind == "machine-made" and "label 7, sliders 5" in marks.says["prompt"]

    def pixels(content: bytes) -> bytes:
        return Image.open(io.BytesIO(content)).tobytes()

    assert pixels(first) == pixels(again) != pixels(moved)


def test_truncation_holds_for_one_answer_and_is_in_the_mark(
    places: dict[str, str], tmp_path: Path
) -> None:
    first, cut, again = (
        answer(f"{places['styled']}samples?n=4&truncation={psi}")[1] for psi in ("", "0.1", "")
    )
    assert Image.open(io.BytesIO(first)).tobytes() == Image.open(io.BytesIO(again)).tobytes()
    assert Image.open(io.BytesIO(first)).tobytes() != Image.open(io.BytesIO(cut)).tobytes()
    (tmp_path / "cut.png").write_bytes(cut)
    assert "psi=0.1" in marks_of(tmp_path / "cut.png").says["prompt"]


def test_sliders_of_a_model_with_styles_move_w(runs: Path) -> None:
    """Its directions are those of the affine maps of w; psi acts before them."""
    opened = open_run(Use(runs / "styled", accelerator="cpu"))
    player = Player(opened)

    def apart(images: torch.Tensor, **sliders: str) -> int:
        """The largest difference of the page's picture, in grey values."""
        answer = player.samples({"seed": "3", "n": "4", "truncation": "0.3", **sliders})
        pictures = Image.open(io.BytesIO(answer)), grid(images, 2).enlarged()
        first, second = (np.asarray(one.convert("RGB"), int) for one in pictures)
        return int(abs(first - second).max())

    opened.module.truncate(0.3)
    (part,) = Stream(opened, 3).parts(4)
    assert apart(part.images) <= 1
    space = Space(opened, "w")
    codes = space.first(3, 4)
    moved = codes.z + 5 * sefa(space, 1)[0][0]
    images = space.pictures(Codes(moved, codes.labels, codes.noise))
    assert apart(images, d0="5") <= 1 < apart(part.images, d0="5")


@pytest.mark.parametrize("asked", ["n=1000", "seed=-1", "label=x", "d0=nan", "d0=99"])
def test_what_is_out_of_range_is_refused_in_words(places: dict[str, str], asked: str) -> None:
    status, text, _ = answer(f"{places['cgan']}samples?{asked}")
    assert status == 400 and asked.partition("=")[0].encode() in text


def test_an_upload_is_translated_or_judged(places: dict[str, str]) -> None:
    status, made, _ = answer(f"{places['cyclegan']}translate?direction=ba", picture())
    assert status == 200 and Image.open(io.BytesIO(made)).width > 100
    status, said, _ = answer(f"{places['anomaly']}detect", picture())
    assert status == 200 and b'"strange":' in said
    assert answer(f"{places['cyclegan']}translate", b"no picture")[0] == 400
    assert answer(f"{places['cgan']}translate", picture())[0] == 400


def test_an_upload_is_judged_by_a_run_that_takes_sources(runs: Path) -> None:
    for name in ("denoising", "colour"):
        said = Player(open_run(Use(runs / name, accelerator="cpu"))).detected(picture())
        assert isinstance(said["score"], float)


def test_strangers_are_refused(places: dict[str, str]) -> None:
    place = places["cgan"]
    assert answer(place.replace("token", "guess"))[0] == 403
    assert answer(place, Host="example.org")[0] == 403
    assert answer(f"{place}samples", Origin="http://example.org")[0] == 403
    assert answer(f"{place}samples", b"body")[0] == 405


def test_play_takes_one_run(command: Command, tmp_path: Path) -> None:
    command("ui", "--play").is_refused_with("--play takes one run")
    (tmp_path / "empty").mkdir()
    command("ui", "--play", "empty").is_refused_with("is not a run")


def test_play_takes_the_options_of_runs(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_with: list[Use] = []
    monkeypatch.setattr(
        "gansweep.inference.play.server.serve", lambda _, use, token: served_with.append(use)
    )
    run = str(runs / "gan")
    words = ("extra_packages=[my_nets]", "checkpoint=last", "accelerator=cpu")
    assert command("ui", "--play", run, *words, "--no-browser").code == 0
    (use,) = served_with
    assert use == Use(runs / "gan", "last", "cpu", ("my_nets",), verb="ui --play")
    command("ui", "--play", run, "n=3").is_refused_with("no option of 'gansweep ui --play'")
