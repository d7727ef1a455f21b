"""`gansweep translate`, `detect`, `classify` and `retrieve` on runs trained for a moment."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import KEEPER

from gansweep.config.compose import compose
from gansweep.data.folders import ImageFolder
from gansweep.inference.pictures.judge import above_share
from gansweep.inference.pictures.picture_files import pictures_in
from gansweep.inference.pictures.tiles import OVERLAP, starts, through
from gansweep.provenance.reading import files_in, marks_of
from gansweep.run.train import train

Command = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of every awkward kind, of 20 x 12 pixels, and three that cannot be read."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    ramp = np.linspace(0, 255, 240).reshape(12, 20).astype(np.uint8)
    grey = Image.fromarray(ramp)
    grey.save(folder / "grey.png")
    grey.convert("RGB").save(folder / "below" / "colour.jpg")
    grey.convert("RGBA").save(folder / "alpha.webp")
    grey.convert("P").save(folder / "palette.gif")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    grey.save(folder / "turned.jpg", exif=exif)
    frames = [grey.point(lambda x, k=k: x // k) for k in (1, 2)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    (folder / "cut.png").write_bytes((folder / "grey.png").read_bytes()[:70])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("not looked at")
    return folder


GOOD = ("alpha", "below/colour", "deep", "film", "grey", "palette", "turned")


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix", "hole", "colour"])
def test_folders_are_translated_under_their_names(
    command: Command, runs: Path, tmp_path: Path, photos: Path, name: str
) -> None:
    done = command("translate", str(runs / name), str(photos), "-o", "out")
    assert done.code == 1 and "wrote 7 pictures to out" in done.out
    assert all(f"{bad} was left out" in done.err for bad in ("cut.png", "empty.png", "text.jpg"))
    written = sorted(path.relative_to(tmp_path / "out") for path in files_in([tmp_path / "out"]))
    assert written == [Path(f"{name}.png") for name in GOOD]
    assert {one.kind for one in map(marks_of, files_in([tmp_path / "out"]))} == {
        "machine-made in part"
    }
    again = command("translate", str(runs / name), str(photos / "grey.png"), "-o", "out")
    again.is_refused_with("grey.png exists", "--force")
    words = [str(photos / "grey.png"), "-o", "out", "--force"]
    assert command("translate", str(runs / name), *words).code == 0


def test_a_picture_is_turned_upright(
    command: Command, runs: Path, tmp_path: Path, photos: Path
) -> None:
    words = [str(photos / "turned.jpg"), str(photos / "grey.png"), "size=own", "-o", "out"]
    assert command("translate", str(runs / "cyclegan"), *words).code == 0
    with Image.open(tmp_path / "out" / "turned.png") as turned:
        assert turned.size == (12, 20)
    with Image.open(tmp_path / "out" / "grey.png") as grey:
        assert grey.size == (20, 12)


def test_the_way_back_has_the_channels_of_the_sources(
    command: Command, runs: Path, tmp_path: Path, photos: Path
) -> None:
    for way in ("ab", "ba"):
        words = [str(photos / "grey.png"), f"direction={way}", "-o", way]
        assert command("translate", str(runs / "cyclegan"), *words).code == 0
    pixels = []
    for way in ("ab", "ba"):
        with Image.open(tmp_path / way / "grey.png") as picture:
            pixels.append(picture.tobytes())
    assert pixels[0] != pixels[1]


def test_what_the_context_encoder_sees_stays(command: Command, runs: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / "a.png")
    assert command("translate", str(runs / "hole"), "a.png", "-o", "out").code == 0
    with Image.open(tmp_path / "a.png") as old, Image.open(tmp_path / "out" / "a.png") as new:
        apart = np.asarray(old).astype(int) - np.asarray(new)
    changed = apart != 0
    assert changed[2:6, 2:6].any()
    changed[2:6, 2:6] = False
    assert not changed.any()


def test_tiles_meet_without_a_seam() -> None:
    """A network that looks one pixel around gives the same whole and in tiles, but at the border
    of the picture."""
    kernel = torch.ones(1, 1, 3, 3) / 9

    def network(part: torch.Tensor) -> torch.Tensor:
        assert part.shape[2] % 4 == part.shape[3] % 4 == 0
        return torch.nn.functional.conv2d(part, kernel, padding=1)

    image = torch.rand(1, 150, 230, generator=torch.Generator().manual_seed(0))
    whole, tiled = through(network, image, 4, 4096), through(network, image, 4, 64)
    assert whole.shape == tiled.shape == image.shape
    apart = (whole - tiled).abs()[:, 2:-2, 2:-2]
    assert float(apart.max()) < 0.03  # the tile's own border, faded out
    assert float(apart.mean()) < 1e-3


def test_tiles_cover_everything_and_overlap() -> None:
    for length in (64, 65, 96, 100, 500):
        found = starts(length, 64)
        ends = [start + min(64, length) for start in found]
        assert found[0] == 0 and ends[-1] == length
        assert all(end - start >= OVERLAP for start, end in zip(found[1:], ends, strict=False))


def test_strange_pictures_are_told_by_a_threshold(
    command: Command, runs: Path, tmp_path: Path, photos: Path
) -> None:
    run = str(runs / "anomaly")
    done = command("detect", run, str(photos), "false_alarms=0.1", "-o", "a.csv")
    said = re.search(r"(\d+) of (\d+) normal held-out images are above it, at most 10%", done.out)
    assert done.code == 1 and said is not None
    assert int(said[1]) == int(said[2]) // 10  # no two scores are alike
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["reconstruction"]) for row in rows]
    assert len(rows) == 7 and scores == sorted(scores, reverse=True)
    assert {row["verdict"] for row in rows} <= {"anomaly", "normal"}
    command("detect", run, str(photos), "-o", "a.csv").is_refused_with("--force")
    command("detect", run, str(photos), "criterion=mood").is_refused_with("reconstruction")


def test_a_threshold_holds_its_share_of_false_alarms() -> None:
    scores = torch.arange(100).float()
    assert above_share(scores, 0.05) == 94 and above_share(scores, 0) == 99
    assert int((scores > above_share(scores, 0.05)).sum()) == 5
    assert above_share(torch.tensor([3.0]), 0.05) == 3
    assert above_share(torch.zeros(10), 0.1) == 0


def test_classes_are_told_with_their_probabilities(
    command: Command, runs: Path, tmp_path: Path, photos: Path
) -> None:
    words = [str(photos / "grey.png"), str(photos / "deep.png"), "-o", "a.csv"]
    done = command("classify", str(runs / "sgan"), *words)
    assert done.code == 0
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        chances = [float(row[str(k)]) for k in range(10)]
        assert sum(chances) == pytest.approx(1, abs=1e-3)
        assert float(row["probability"]) == max(chances) == chances[int(row["class"])]


def test_a_picture_is_nearest_to_itself(
    command: Command, runs: Path, tmp_path: Path, photos: Path
) -> None:
    good = [str(photos / name) for name in ("grey.png", "alpha.webp", "film.gif")]
    (tmp_path / "among").mkdir()
    for k in range(4):
        stripes = np.zeros((8, 8), np.uint8)
        stripes[:, k :: k + 2] = 255
        Image.fromarray(stripes).save(tmp_path / "among" / f"{k}.png")
    words = ["among/2.png", "among", *good, "n=3", "-o", "a.png"]
    done = command("retrieve", str(runs / "anomaly"), *words)
    assert done.code == 0, done
    name, place, distance = done.out.splitlines()[3].split()
    assert (place, name) == ("1", "among/2.png") and float(distance) < 1e-4
    done = command("retrieve", str(runs / "anomaly"), "among/2.png", "-o", "b.png")
    assert done.code == 0 and "training image" in done.out
    done = command("retrieve", str(runs / "anomaly"), "among/2.png", str(photos), "-o", "c.png")
    assert done.code == 1 and (tmp_path / "c.png").exists()
    assert all(f"{bad} was left out" in done.err for bad in ("cut.png", "empty.png", "text.jpg"))


@pytest.mark.parametrize(
    ("verb", "name", "words", "message"),
    [
        ("translate", "gan", ["photos", "-o", "out"], "Use a run of model=cyclegan"),
        ("translate", "pix2pix", ["photos", "-o", "out", "direction=ba"], "one way only"),
        ("translate", "hole", ["photos", "-o", "out", "size=own"], "size=network"),
        ("translate", "pix2pix", ["photos", "-o", "photos/out"], "lies inside photos"),
        ("translate", "pix2pix", ["photos", "-o", "photos"], "lies inside photos"),
        ("translate", "pix2pix", ["photos"], "where the results go with -o"),
        ("translate", "pix2pix", ["-o", "out"], "a picture or a folder"),
        ("translate", "pix2pix", ["absent", "-o", "out"], "absent does not exist"),
        ("translate", "pix2pix", ["photos/text.jpg", "-o", "out"], "None of 1 picture can be read"),
        ("translate", "pix2pix", ["photos", "-o", "photos/notes.txt/x"], "photos"),
        ("translate", "pix2pix", ["twice", "-o", "out"], "would both become"),
        ("detect", "gan", ["photos"], "model=autoencoder"),
        ("detect", "anomaly", ["photos", "false_alarms=2"], "from 0 to 1"),
        ("detect", "anomaly", [], "Name a picture"),
        ("classify", "gan", ["photos"], "model=sgan"),
        ("retrieve", "gan", ["photos/grey.png"], "gives pictures no codes"),
        ("retrieve", "anomaly", ["photos"], "Name one picture"),
        ("retrieve", "anomaly", ["photos/grey.png", "photos/cut.png"], "None of 1 picture"),
        ("retrieve", "anomaly", ["photos/cut.png"], "None of 1 picture can be read"),
        ("classify", "sgan", ["nothing"], "has no pictures"),
        ("classify", "sgan", ["photos", "mark=none"], "is no option of 'gansweep classify'"),
        ("detect", "anomaly", ["photos", "mark.c2pa=true"], "is no option of 'gansweep detect'"),
        ("retrieve", "anomaly", ["photos", "mark.profile=cn"], "no option of 'gansweep retrieve'"),
    ],
)
def test_mistakes_with_pictures_name_the_fix(
    command: Command,
    runs: Path,
    tmp_path: Path,
    photos: Path,
    verb: str,
    name: str,
    words: list[str],
    message: str,
) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "twice").mkdir()
    for ending in ("png", "bmp"):
        Image.new("L", (8, 8)).save(tmp_path / "twice" / f"a.{ending}")
    command(verb, str(runs / name), *words).is_refused_with(message, after="was left out")


def test_a_huge_picture_is_left_out(
    command: Command, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansweep.inference.pictures.inputs.MOST_PIXELS", 100)
    Image.new("L", (8, 8)).save(tmp_path / "small.png")
    Image.new("L", (200, 20)).save(tmp_path / "huge.png")
    words = ["small.png", "huge.png", "-o", "out"]
    done = command("translate", str(runs / "pix2pix"), *words)
    assert done.code == 1 and "huge.png was left out: it has 200x20 pixels" in done.err


@pytest.mark.parametrize("verb", ["translate", "project", "detect", "classify", "retrieve"])
def test_pictures_are_looked_for_before_pytorch_is_imported(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Opening a run would import it: it must not come so far."""
    monkeypatch.setattr("gansweep.inference.opened.open_run", None)
    ending = {"detect": "a.csv", "classify": "a.csv"}.get(verb, "a.png")
    done = command(verb, str(runs / "gan"), "absent.png", "-o", ending)
    done.is_refused_with("absent.png does not exist")


def test_names_that_are_no_utf8_or_steer_a_terminal_are_read(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    (tmp_path / "odd").mkdir()
    for name in ("caf\udce9.png", "bell\x07.png"):
        Image.new("L", (16, 16)).save(tmp_path / "odd" / name)
    assert command("translate", str(runs / "pix2pix"), "odd", "-o", "out").code == 0
    (bell, cafe) = sorted((tmp_path / "out").iterdir())
    assert (bell.name, cafe.name) == ("bell\x07.png", "caf\udce9.png")
    assert [marks_of(one).says["prompt"] for one in (bell, cafe)] == [
        f"translation of {name}.png, direction ab" for name in ("bell\\x07", "caf\\udce9")
    ]
    words = ("odd", "-o", "odd.csv")
    assert command("detect", str(runs / "anomaly"), *words).code in (0, 1)
    with open("odd.csv", newline="", encoding="utf-8") as file:
        assert "odd/caf\\udce9.png" in {row["file"] for row in csv.DictReader(file)}


def test_a_picture_is_cut_as_those_of_the_data(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short side is that of data.resize before the middle is cut out."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (24, 30), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{number}.png")
    options = {"root": tmp_path / "pets", "image_size": 8, "resize": 20, "workers": 0}
    words = ["data=one_class", "data@data.base=image_folder", "data.normal=0", "model=autoencoder"]
    words += [f"data.base.{key}={value}" for key, value in options.items()]
    words += ["batch_size=8", "metrics=none", "budget_kimg=0.03", "callbacks=none"]
    words += ["tracker=none", "trainer=cpu", "data.base.test_every=4", *KEEPER]
    train(compose(words), run_dir=tmp_path / "run", progress=False)
    data = ImageFolder(**options, test_every=4)
    held_out = data._squares("test")
    normal = [str(p) for p, k in zip(held_out.paths, held_out.labels, strict=True) if k == 0]
    done = command("detect", str(tmp_path / "run"), *normal, "false_alarms=0", "-o", "a.csv")
    with open(tmp_path / "a.csv", newline="") as file:
        scores = [float(row["reconstruction"]) for row in csv.DictReader(file)]
    threshold = float(done.out.partition("threshold ")[2].partition(":")[0])
    assert max(scores) == pytest.approx(threshold, rel=1e-4)
    assert f"0 of {len(normal)} normal held-out images" in done.out
    first = data._squares("train").paths[data._squares("train").labels.index(0)]
    done = command("retrieve", str(tmp_path / "run"), str(first), "n=1")
    *_, distance = done.out.split("training image")[1].splitlines()[0].split()
    assert done.code == 0 and float(distance) < 1e-3


def test_linked_folders_are_read_as_those_of_the_training(photos: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "deep").symlink_to(photos)
    (linked / "loop").symlink_to(linked)
    found = pictures_in([linked])
    assert len(found) == 10 and found[0].name == Path("deep/alpha.webp")


def test_several_files_are_not_written_to_the_standard_output(
    command: Command, runs: Path, tmp_path: Path, photos: Path
) -> None:
    done = command("translate", str(runs / "pix2pix"), str(photos), "-o", "-")
    done.is_refused_with("-o FOLDER/")
    assert not (tmp_path / "-").exists()
