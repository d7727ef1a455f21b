"""`gansweep generate`: pictures from trained runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gansweep.config.compose import compose
from gansweep.run.train import train

Command = Callable[..., Any]
TINY = ["tracker=none", "trainer=cpu", "metrics=none", "budget_kimg=1", "callbacks=none"]
KEEPER = [
    "+callbacks.checkpoint._target_=gansweep.callbacks.checkpoint.Checkpoint",
    "+callbacks.checkpoint.every_seconds=1000",
]
KINDS = {
    "cgan": ["model=cgan", "model.generator.width=4", "model.discriminator.width=4"],
    "infogan": ["model=infogan", "model.generator.width=4", "model.discriminator.width=4"],
    "gan": ["model=gan", "model.generator.width=4", "model.discriminator.width=4"],
    "styled": ["model=stylegan2", "model.generator.width=4", "model.discriminator.width=4"],
    "ring": ["model=cgan", "data=ring"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each kind, trained for a moment."""
    folder = tmp_path_factory.mktemp("runs")
    for name, words in KINDS.items():
        train(compose([*words, *TINY, *KEEPER]), run_dir=folder / name, progress=False)
    return folder


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
        assert command("generate", str(runs / "cgan"), *words, "-o", "a.png").code == 0
        return (tmp_path / "a.png").read_bytes()

    assert drawn("label=7") == drawn("label=7", "seed=0")
    assert len({drawn("label=7"), drawn("label=8"), drawn("label=7", "seed=1")}) == 3


def test_without_a_label_there_is_a_column_for_each_class(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    assert command("generate", str(runs / "cgan"), "n=40").code == 0
    assert images_in(tmp_path / "cgan.png") == (4, 10)
    assert command("generate", str(runs / "infogan"), "n=20").code == 0
    assert images_in(tmp_path / "infogan.png") == (2, 10)


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
            described[psi] = picture.info["Description"]
    assert command("generate", str(runs / "styled"), "seed=0", "-o", "plain.png").code == 0
    with Image.open(tmp_path / "plain.png") as plain, Image.open(tmp_path / "1.png") as whole:
        assert plain.tobytes() == whole.tobytes()
        assert "truncation" not in plain.info["Description"]
        with Image.open(tmp_path / "0.5.png") as half:
            assert half.tobytes() != whole.tobytes()
    words = "model: stylegan2, seed: 0, truncation: psi=0.5 in w, checkpoint: best"
    assert described["0.5"] == f"Samples by gansweep, {words}"


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
