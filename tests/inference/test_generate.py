"""`gansweep generate`: pictures from trained runs."""

from __future__ import annotations

import errno
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from idx_files import write_idx_files
from PIL import Image
from tiny_runs import KEEPER, KINDS, TINY

from gansweep.config.compose import compose
from gansweep.errors import UserError
from gansweep.inference import outputs
from gansweep.inference.encoding import encoded
from gansweep.inference.opened import open_run
from gansweep.inference.request import Use
from gansweep.inference.stream import Stream, as_pixels
from gansweep.models.evaluating import evaluating
from gansweep.models.progan import ProGAN
from gansweep.provenance.reading import files_in, marks_of
from gansweep.records.record import RunRecord
from gansweep.records.remarks import remarks_of
from gansweep.run.build import load_run
from gansweep.run.train import train

Command = Callable[..., Any]


def images_in(path: Path) -> tuple[int, int]:
    """Rows and columns of a grid of 8x8 images."""
    with Image.open(path) as picture:
        width, height = picture.size
    sizes = {(r, c) for r in range(1, 40) for c in range(1, 40)
             if width * (9 * r + 1) == height * (9 * c + 1)
             and width == max(1, 512 // (9 * max(r, c) + 1)) * (9 * c + 1)}  # fmt: skip
    assert len(sizes) == 1, (width, height)
    return sizes.pop()


def test_sevens_are_drawn_on_request(command: Command, runs: Path, tmp_path: Path) -> None:
    done = command("generate", str(runs / "cgan"), "label=7", "n=9", "-o", "new/sevens.png")
    assert done.code == 0, done
    assert f"wrote {Path('new/sevens.png')}" in done.out
    assert "read" in done.out and "last.pt" in done.out, "no score chose a best one"
    assert images_in(tmp_path / "new" / "sevens.png") == (3, 3)


def test_a_label_and_a_seed_decide_the_samples(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    def drawn(*words: str) -> bytes:
        assert command("generate", str(runs / "cgan"), *words, "-o", "a.png", "--force").code == 0
        with Image.open(tmp_path / "a.png") as picture:
            return picture.tobytes()

    assert drawn("label=7") == drawn("label=7", "seed=0")
    assert len({drawn("label=7"), drawn("label=8"), drawn("label=7", "seed=1")}) == 3


def test_without_a_label_there_is_a_column_for_each_class(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    assert command("generate", str(runs / "cgan"), "n=40").code == 0
    assert images_in(tmp_path / "cgan.png") == (4, 10)
    assert command("generate", str(runs / "infogan"), "n=20").code == 0
    assert images_in(tmp_path / "infogan.png") == (2, 10)


@pytest.mark.parametrize(("n", "rows"), [(14, 2), (16, 2), (20, 2), (8, 3)])
def test_a_grid_holds_as_many_images_as_asked_and_its_mark_says_so(
    command: Command, runs: Path, tmp_path: Path, n: int, rows: int
) -> None:
    """With fewer images than classes there is a square of them."""
    assert command("generate", str(runs / "cgan"), f"n={n}", "-o", "a.png").code == 0
    columns = 10 if n >= 10 else 3
    assert images_in(tmp_path / "a.png") == (rows, columns)
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture)
    step = pixels.shape[1] // columns
    cells = [pixels[r * step :, c * step :] for r in range(rows) for c in range(columns)]
    assert [bool(cell[: step - 1, : step - 1].any()) for cell in cells].count(True) == n
    assert marks_of(tmp_path / "a.png").says["prompt"].endswith(f"images {n}")


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("ring", ["n=3"], "points 30"),
        ("ring", ["n=3", "label=1"], "points 30"),
        ("autoencoder", ["n=9"], "images 8"),
        ("hole", ["n=10"], "images 9"),
    ],
)
def test_the_mark_counts_what_a_sheet_shows(
    command: Command, runs: Path, tmp_path: Path, name: str, words: list[str], said: str
) -> None:
    assert command("generate", str(runs / name), *words, "-o", "a.png").code == 0
    assert marks_of(tmp_path / "a.png").says["prompt"].endswith(said)


def test_points_of_an_array_are_counted(command: Command, runs: Path, tmp_path: Path) -> None:
    assert command("generate", str(runs / "ring"), "n=3", "-o", "a.npz").code == 0
    assert marks_of(tmp_path / "a.npz").says["prompt"].endswith("points 3")


def test_a_value_of_a_learnt_code_can_be_generated(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    assert command("generate", str(runs / "infogan"), "code=3", "n=4").code == 0
    assert images_in(tmp_path / "infogan-3.png") == (2, 2)


def test_truncated_samples_say_how_far(command: Command, runs: Path, tmp_path: Path) -> None:
    described = {}
    for psi in ("1", "0.5"):
        done = command("generate", str(runs / "styled"), f"truncation={psi}", "-o", f"{psi}.png")
        assert done.code == 0 and f"truncated to psi={psi} in w" in done.out
        with Image.open(tmp_path / f"{psi}.png") as picture:
            described[psi] = picture.info["XML:com.adobe.xmp"]
    assert command("generate", str(runs / "styled"), "seed=0", "-o", "plain.png").code == 0
    with Image.open(tmp_path / "plain.png") as plain, Image.open(tmp_path / "1.png") as whole:
        assert plain.tobytes() == whole.tobytes()
        assert "truncation" not in plain.info["XML:com.adobe.xmp"]
        with Image.open(tmp_path / "0.5.png") as half:
            assert half.tobytes() != whole.tobytes()
    assert ">seed 0, truncation psi=0.5 in w, images 16<" in described["0.5"]


@pytest.mark.parametrize("name", ["gan", "ring"])
def test_any_run_gives_a_picture(command: Command, runs: Path, tmp_path: Path, name: str) -> None:
    assert command("generate", str(runs / name), "n=16", "--output=a.png").code == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == ((512, 512) if name == "ring" else (37 * 13, 37 * 13))
        assert len(picture.getcolors(1 << 16) or []) > 2


def test_points_of_one_component_lie_on_a_map(command: Command, runs: Path, tmp_path: Path) -> None:
    assert command("generate", str(runs / "ring"), "label=3", "n=50", "-o", "a.png").code == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (512, 512) and len(picture.getcolors(1 << 16) or []) == 3


@pytest.mark.parametrize(
    ("run", "words", "message"),
    [
        ("cgan", ["label=12"], "label=12 is not a class of data=digits. Its classes are: 0, 1, 2"),
        ("cgan", ["code=1"], "Use label="),
        ("gan", ["label=7"], "gansweep train model=cgan"),
        ("infogan", ["label=7"], "or use code=, which it has learnt"),
        ("infogan", ["code=10"], "code=10 is not a whole number from 0 to 9"),
        ("gan", ["code=1"], "gansweep train model=infogan"),
        ("cgan", ["label=7", "code=1"], "give one"),
        ("cgan", ["n=0"], "n=0 is not a whole number from 1"),
        ("cgan", ["n=many"], "n=many is not a whole number"),
        ("gan", ["truncation=0.7"], "use a run of model=stylegan2"),
        ("styled", ["truncation=2"], "from 0 (all alike) to 1"),
        ("styled", ["truncation=half"], "truncation=half is not a number from 0"),
        ("cgan", ["lable=7"], "Did you mean 'label'"),
        ("cgan", ["checkpoint=bets"], "Did you mean 'best'"),
        ("cgan", ["--out"], "Did you mean '--output'"),
        ("cgan", ["-o"], "needs the name of a file"),
        ("cgan", ["-o", "/proc/nowhere/a.png"], "cannot be written"),
        ("cgan", ["another"], "2 runs were named"),
        ("cgan", ["n=9999"], "n=9999 is not a whole number from 1 to 4096"),
        ("cgan", ["-o", "a.npz", "format=webp"], "-o a.npz is none"),
        ("cgan", ["mark.profile=cn"], "mark.profile=cn mark.producer="),
        ("cgan", ["mark=none", "mark.profile=cn"], "contradict"),
        ("cgan", ["-o", "a.npz", "mark.visible=true", "mark.font=a"], "mark.visible=true changes"),
        ("cgan", ["-o", "a.npz", "mark.watermark=trustmark"], "-o FILE.zip or -o FOLDER/"),
        ("ring", ["-o", "folder"], "this run makes points"),
        ("absent", [], "is not a run"),
        (".", [], "is a group of runs. Give one of them, such as"),
    ],
)
def test_mistakes_name_the_fix(
    command: Command, runs: Path, run: str, words: list[str], message: str
) -> None:
    command("generate", str(runs / run), *words).is_refused_with(message)


@pytest.mark.parametrize("word", ["n=abc", "seed=-1", "--output=x.txt"])
def test_values_are_checked_before_pytorch_is_imported(tmp_path: Path, word: str) -> None:
    (tmp_path / "config.yaml").touch()
    code = "import sys; from gansweep.cli.main import main; main(sys.argv[1:])"
    code = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    words = [sys.executable, "-c", code, "generate", str(tmp_path), word]
    done = subprocess.run(words, capture_output=True, text=True)
    assert word.partition("=")[2] in done.stderr
    assert done.stdout.strip() == "False"


def test_help_works_without_a_run(command: Command) -> None:
    done = command("generate", "--help")
    assert done.code == 0 and "label=7 n=16 -o sevens.png" in done.out
    assert command("generate").code == 2


def pixels_of(place: Path) -> list[bytes]:
    found = []
    for path in sorted(place.iterdir()):
        with Image.open(path) as picture:
            found.append(picture.tobytes())
    return found


def test_samples_depend_on_the_seed_and_their_number_alone(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    """Whatever the batch and the place: a folder, other formats, an npz, a zip."""
    run = str(runs / "cgan")
    for place, *words in (
        *(["all", "n=100"], ["few", "n=70", "batch_size=7"], ["other", "n=70", "seed=1"]),
        *(["webp", "n=70", "format=webp", "batch_size=100"], ["a.npz", "n=70"], ["a.zip", "n=70"]),
    ):
        done = command("generate", run, "-o", place, *words)
        assert done.code == 0 and f"wrote {place}" in done.out
    every = pixels_of(tmp_path / "all")
    assert len(every) == 100 and len(set(every)) > 90
    few = pixels_of(tmp_path / "few")
    for k, one in enumerate(few):  # sums in another order may round to the next grey value
        apart = np.frombuffer(one, np.uint8).astype(int) - np.frombuffer(every[k], np.uint8)
        assert abs(apart).max() <= 1
    assert pixels_of(tmp_path / "other")[0] != every[0]
    with Image.open(tmp_path / "webp" / "000003.webp") as picture:
        assert picture.convert("L").tobytes() in (every[3], few[3])
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["images"].shape == (70, 8, 8, 1) and arrays["labels"].shape == (70,)
        assert [one.tobytes() for one in arrays["images"]] == every[:70]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None and len(archive.namelist()) == 71
        with archive.open("000003.png") as file, Image.open(file) as picture:
            assert picture.tobytes() == every[3]


def test_every_file_is_marked_unless_asked_otherwise(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    run = str(runs / "cgan")
    for words in (["-o", "a.png"], ["-o", "a"], ["-o", "a.npz"], ["-o", "a.zip"], ["-o", "a.webp"]):
        assert command("generate", run, "n=4", *words).code == 0
    said = [marks_of(path) for path in files_in([tmp_path])]
    assert len(said) == 8 and {one.kind for one in said} == {"machine-made"}
    assert {one.says["model"] for one in said} == {"cgan"}
    assert all(re.fullmatch(r"\S+/cgan last.pt [0-9a-f]{12}", one.says["run"]) for one in said)
    assert "seed 0, image 2, label " in marks_of(tmp_path / "a" / "000002.png").says["prompt"]
    assert remarks_of(RunRecord(run)).unmarked == ()
    assert command("generate", run, "n=4", "-o", "bare.png", "mark=none").code == 0
    assert marks_of(tmp_path / "bare.png").says == {}
    assert "wrote 4 samples to bare.png" in remarks_of(RunRecord(run)).unmarked[0]


def test_the_chinese_record_stands_once_in_a_file_and_has_its_own_id(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    words = ["n=3", "-o", "a", "mark.profile=cn", "mark.producer=<Acme & Co>"]
    assert command("generate", str(runs / "cgan"), *words).code == 0
    said = [marks_of(path) for path in files_in([tmp_path / "a"])]
    records = [json.loads(one.says["china"]) for one in said]
    assert [one.china for one in said] == [1, 1, 1]
    assert {one["ContentProducer"] for one in records} == {"<Acme & Co>"}
    assert len({one["ProduceID"] for one in records}) == 3 and records[0]["Label"] == "1"


def test_nothing_is_overwritten_unless_asked(command: Command, runs: Path, tmp_path: Path) -> None:
    run = str(runs / "cgan")
    (tmp_path / "a.png").write_text("mine")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "000001.png").write_text("mine")
    for place in ("a.png", "a"):
        command("generate", run, "n=4", "-o", place).is_refused_with("--force")
    assert (tmp_path / "a.png").read_text() == "mine" and len(list((tmp_path / "a").iterdir())) == 1
    for place in ("a.png", "a"):
        assert command("generate", run, "n=4", "-o", place, "--force").code == 0
    assert all(one.kind for one in map(marks_of, files_in([tmp_path])))


@pytest.mark.parametrize("place", ["a", "a.npz", "a.zip"])
@pytest.mark.parametrize(
    ("error", "most"),
    [
        (OSError(errno.ENOSPC, "No space left"), 40),
        (KeyboardInterrupt(), 40),
        (KeyboardInterrupt(), 0),
    ],
)
def test_what_a_full_disk_or_ctrl_c_leaves_is_whole_and_marked(
    command: Command,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: BaseException,
    most: int,
) -> None:
    """most: bytes of the sixth file that are written."""
    made = iter(range(9))

    def full(pixels: np.ndarray, form: str) -> bytes:
        if next(made) == 5:
            monkeypatch.setattr(outputs, "open", Cut, raising=False)
        return encoded(pixels, form)

    class Cut(io.FileIO):
        def __init__(self, descriptor: int, mode: str, buffering: int) -> None:
            super().__init__(descriptor, mode)
            if not most:
                raise error

        def write(self, content: Any) -> int:
            super().write(content[:most])
            raise error

    def broken(self: object, rows: np.ndarray) -> None:
        raise error

    monkeypatch.setattr("gansweep.inference.encoding.encoded", full)
    monkeypatch.setattr(outputs.Npz, "add", broken)
    if place == "a.zip":
        monkeypatch.setattr(outputs.Zip, "add", lambda *_: broken(*_[:2]))
    done = command("generate", str(runs / "cgan"), "n=9", "-o", place)
    if isinstance(error, OSError):
        done.is_refused_with("No space left", "Free some space")
    else:
        assert done.code == 130
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) == (5 if place == "a" else 0)
    assert all(marks_of(path).kind for path in left)


def test_a_run_alone_generates_where_its_data_is_not(command: Command, tmp_path: Path) -> None:
    data = tmp_path / "images"
    write_idx_files(data, 250)
    words = [
        *KINDS["cgan"],
        "data=mnist",
        f"data.root={data}",
        "data.n_validation=0",
        *TINY,
        *KEEPER,
    ]
    run = tmp_path / "run"
    train(compose(words), run_dir=run, progress=False)
    expected = command("generate", str(run), "label=7", "n=4", "-o", "with.png")
    shutil.rmtree(data)
    done = command("generate", str(run), "label=7", "n=4", "-o", "without.png")
    assert (expected.code, done.code) == (0, 0), done
    pictures = [Image.open(tmp_path / f"{name}.png").tobytes() for name in ("with", "without")]
    assert pictures[0] == pictures[1]
    module, _ = load_run(run)
    assert module.conditional


@pytest.mark.parametrize("name", ["grown", "fading"])
def test_a_network_that_has_not_grown_up_makes_whole_images(
    command: Command, runs: Path, tmp_path: Path, name: str
) -> None:
    """They are those of `fakes`: of the present stage, enlarged."""
    opened = open_run(Use(runs / name, accelerator="cpu"))
    module = opened.module
    assert isinstance(module, ProGAN) and module.present.level == ("grown", "fading").index(name)
    z, labels = Stream(opened, 0).latents(0, 64)
    with evaluating(module.sampler()) as generator, torch.no_grad():
        made = generator(z, module.present).clamp(-1, 1)
    whole = made.repeat_interleave(8 // made.shape[-1], 2).repeat_interleave(8 // made.shape[-1], 3)
    torch.testing.assert_close(Stream(opened, 0).made(z, labels), whole)
    for words in (["n=64", "-o", "a.npz"], ["n=4", "-o", "b.png"], ["n=4", "-o", "each"]):
        assert command("generate", str(runs / name), *words).code == 0
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(arrays["images"], as_pixels(whole).numpy())
    assert images_in(tmp_path / "b.png") == (2, 2)


def test_an_npz_of_another_shape_is_not_left(tmp_path: Path) -> None:
    place = outputs.Archive(tmp_path / "a.npz", False, None, lambda path: None)
    with (
        pytest.raises(ValueError, match=r"32 bytes of images were made, and \(2, 8, 8, 1\)"),
        outputs.npz_at(place, "images", (2, 8, 8, 1), "u1") as archive,
    ):
        archive.add(np.zeros((2, 4, 4, 1), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_a_grid_has_the_samples_of_a_folder(command: Command, runs: Path, tmp_path: Path) -> None:
    for words in (["-o", "grid.png"], ["format=png", "-o", "each"]):
        assert command("generate", str(runs / "dcgan"), "n=4", *words).code == 0
    with Image.open(tmp_path / "grid.png") as grid, Image.open(tmp_path / "each/000000.png") as one:
        scale = grid.width // 19  # 2 images of 8 and 3 lines of 1
        first = grid.crop((scale, scale, 9 * scale, 9 * scale))
        first = first.resize(one.size, Image.Resampling.NEAREST)
        assert first.convert("L").tobytes() == one.convert("L").tobytes()


def test_a_run_in_a_directory_that_is_no_utf8_makes_pictures(
    command: Command, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "caf\udce9"
    shutil.copytree(runs / "gan", odd)
    monkeypatch.chdir(odd)
    done = command("generate", ".", "n=1")
    assert done.code == 0 and "wrote caf\\udce9.png" in done.out
    assert "caf\\udce9 last.pt" in marks_of(odd / "caf\\udce9.png").says["run"]


def test_a_grid_that_is_too_large_for_webp_is_refused() -> None:
    with pytest.raises(UserError, match=r"16384x2 .* 16383 at most .*Write a PNG"):
        encoded(np.zeros((2, 16_384), np.uint8), "webp")


def test_files_of_an_earlier_request_are_counted(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    run = str(runs / "cgan")
    assert not command("generate", run, "label=7", "n=4", "-o", "made/").err
    done = command("generate", run, "label=3", "n=3", "-o", "made/", "--force")
    assert done.code == 0 and "1 other file was in made before" in done.err
