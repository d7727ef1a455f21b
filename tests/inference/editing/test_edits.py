"""`gansweep interpolate`, `arithmetic`, `directions` and `project` on runs trained for a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gansweep.inference.editing.codes import Space
from gansweep.inference.editing.project import coded, problem_of
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.request import Use
from gansweep.inference.stream import Stream
from gansweep.provenance.reading import marks_of

Command = Callable[..., Any]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures of a bar."""
    (tmp_path / "real").mkdir()
    for k in range(2):
        bar = np.zeros((16, 16), np.uint8)
        bar[:, 4 + 4 * k : 8 + 4 * k] = 255
        Image.fromarray(bar).save(tmp_path / "real" / f"{k}.png")
    return tmp_path / "real"


def opened(runs: Path, name: str) -> Opened:
    return open_run(Use(runs / name, accelerator="cpu"))


def test_codes_make_the_samples_that_generate_makes(runs: Path) -> None:
    """In w as in z; and editing starts from samples by their number."""
    for name, where in (
        *(("dcgan", "z"), ("styled", "z"), ("styled", "w"), ("vae", "z")),
        *(("grown", "z"), ("fading", "z")),
    ):
        run = opened(runs, name)
        space = Space(run, where)
        (part,) = Stream(run, 5).parts(4)
        torch.testing.assert_close(space.pictures(space.first(5, 4)), part.images)
        picked = space.pictures(space.samples(5, [2]))
        torch.testing.assert_close(picked[0], part.images[2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("where", ["z", "w"])
def test_truncated_codes_make_truncated_samples(runs: Path, where: str) -> None:
    run = opened(runs, "styled")
    space = Space(run, where)
    whole = space.pictures(space.first(5, 4))
    run.module.truncate(0.3)
    (part,) = Stream(run, 5).parts(4)
    torch.testing.assert_close(space.pictures(space.first(5, 4)), part.images)
    assert not torch.allclose(whole, part.images, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "words", "place"),
    [
        ("dcgan", ["seeds=0,1,2", "steps=4"], "a.png"),
        ("cgan", ["samples=3,8", "label=7", "path=linear"], "a.gif"),
        ("cgan", ["labels=3,8"], "a.webp"),
        ("styled", ["seeds=0,1", "space=w"], "a.png"),
        ("vae", ["seeds=0,1"], "a.png"),
    ],
)
def test_interpolations_are_written_and_marked(
    command: Command, runs: Path, tmp_path: Path, name: str, words: list[str], place: str
) -> None:
    done = command("interpolate", str(runs / name), *words, "-o", place)
    assert done.code == 0 and f"wrote {place}" in done.out
    assert marks_of(tmp_path / place).kind == "machine-made"
    with Image.open(tmp_path / place) as picture:
        if place != "a.png":
            assert picture.n_frames > 3
        elif name == "dcgan":  # two legs of four pictures in a row each
            assert picture.width * 19 == picture.height * 37


def test_a_film_for_players(command: Command, runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    assert command("interpolate", str(runs / "dcgan"), "seeds=0,1", "-o", "a.mp4").code == 0
    assert marks_of(tmp_path / "a.mp4").says["prompt"] == (
        "seeds 0 1, seed 0, path spherical, space z"
    )


def test_labels_are_blended_from_one_to_the_other(runs: Path) -> None:
    space = Space(opened(runs, "cgan"))
    same = space.samples(0, [0], 3)
    both = [space.pictures(space.samples(0, [0], kind))[0] for kind in (3, 8)]
    same = same.with_codes(same.z.expand(3, -1))
    with space.between_labels(3, 8, torch.tensor([0.0, 0.5, 1.0])):
        made = space.pictures(same)
    torch.testing.assert_close(made[0], both[0])
    torch.testing.assert_close(made[2], both[1])
    assert not torch.equal(made[1], made[0]) and not torch.equal(made[1], made[2])


def test_arithmetic_shows_every_operand(command: Command, runs: Path, tmp_path: Path) -> None:
    words = ["[3, 8, 15] - [1] + [2]", "-o", "a.png", "pool=20"]
    done = command("arithmetic", str(runs / "dcgan"), *words)
    assert done.code == 0 and marks_of(tmp_path / "a.png").kind
    with Image.open(tmp_path / "a.png") as picture:  # 3 operands in a row of 4, then 9 in 3 rows
        assert picture.height * (4 * 9 + 1) == picture.width * (6 * 9 + 1)


def test_arithmetic_is_the_sum_of_means(runs: Path) -> None:
    from gansweep.inference.editing.arithmetic import Work
    from gansweep.inference.editing.edits import Arithmetic
    from gansweep.inference.editing.expressions import read_expression

    text = "[3, 8] - [1] + [2]"
    run = opened(runs, "dcgan")
    work = Work(run, Arithmetic(run.use, text), read_expression(text))
    z = Space(run).first(0, 9).z
    result = work.result(work.picked(torch.Generator()))
    torch.testing.assert_close(result.z[0], (z[3] + z[8]) / 2 - z[1] + z[2])


def test_concepts_are_what_the_classifier_sees_in_real_images(runs: Path) -> None:
    from gansweep.inference.editing.arithmetic import Work
    from gansweep.inference.editing.edits import Arithmetic
    from gansweep.inference.editing.expressions import read_expression

    run = opened(runs, "dcgan")
    work = Work(run, Arithmetic(run.use, "[1]"), read_expression("[1]"))
    batch = next(iter(run.data.batches("test")))
    assert batch.labels is not None
    assert float((work.classified(batch.images) == batch.labels).float().mean()) > 0.9


def test_attributes_and_labels_that_are_left_are_measured(
    command: Command, runs: Path, tmp_path: Path, short_training: None
) -> None:
    words = ["bold 7 - 7 + 3", "tries=4", "pool=64", "-o", "a.png", "checkpoint=last"]
    done = command("arithmetic", str(runs / "cgan"), *words)
    if done.code == 2:  # of a network that has learnt nothing, a class may have no sample
        done.is_refused_with("samples show", "pool=256")
    else:
        assert "of 4 results are 'bold 3' to the classifier; of plain samples" in done.out


@pytest.mark.parametrize(
    ("name", "method"), [("dcgan", "sefa"), ("cgan", "sefa"), ("styled", "sefa"), ("styled", "pca")]
)
def test_directions_are_a_sheet(
    command: Command,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    method: str,
) -> None:
    monkeypatch.setattr("gansweep.inference.editing.directions.MANY", 100)
    words = [f"method={method}", "n=3", "steps=4", "-o", "a.png"]
    done = command("directions", str(runs / name), *words)
    assert done.code == 0 and "strengths" in done.out and marks_of(tmp_path / "a.png").kind
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.height * 37 == picture.width * 28


@pytest.mark.parametrize("task", ["none", "hole", "denoise"])
@pytest.mark.parametrize("name", ["dcgan", "vae", "grown"])
def test_projections_stand_beside_the_pictures(
    command: Command, runs: Path, tmp_path: Path, pictures: Path, name: str, task: str
) -> None:
    words = [str(pictures), f"task={task}", "damage=true", "steps=3", "-o", "a.png"]
    done = command("project", str(runs / name), *words)
    assert done.code == 0 and "squared error" in done.out
    assert marks_of(tmp_path / "a.png").kind == "machine-made in part"
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["codes"].shape[0] == 2
    done = command("interpolate", str(runs / name), "codes=a.npz", "-o", "way.png")
    assert done.code == 0


def test_a_sample_is_found_again(runs: Path) -> None:
    """The optimisation comes nearer than the nearest of the samples that it starts from."""
    from gansweep.inference.editing.edits import Projection

    space = Space(opened(runs, "dcgan"))
    wanted = space.pictures(space.samples(77, [900, 901]))

    def error(steps: int) -> float:
        request = Projection(space.opened.use, (), steps=steps)
        found = coded(space, problem_of(wanted, request), request)
        return float((space.pictures(found) - wanted).square().mean())

    assert error(100) < 0.5 * error(0)


@pytest.mark.parametrize(
    ("verb", "name", "words", "message"),
    [
        ("interpolate", "dcgan", [], "Say between what"),
        ("interpolate", "dcgan", ["seeds=1"], "names one end"),
        ("interpolate", "dcgan", ["seeds=0,1", "-o", "a.txt"], "a film a .gif"),
        ("interpolate", "dcgan", ["seeds=0,1", "space=w"], "has no w"),
        ("interpolate", "dcgan", ["labels=0,1"], "trained without classes"),
        ("interpolate", "dcgan", ["codes=absent.npz"], "cannot be read"),
        ("interpolate", "ring", ["seeds=0,1"], "makes points"),
        ("interpolate", "autoencoder", ["seeds=0,1"], "that are not made of noise"),
        ("interpolate", "cgan", ["seeds=0,1", "label=12"], "is not a class"),
        ("arithmetic", "dcgan", ["7 - x + 3"], "is not a class"),
        ("arithmetic", "dcgan", ["7 tinted - 7 + 3"], "has grey images"),
        ("arithmetic", "dcgan", [], "Give one expression"),
        ("directions", "dcgan", ["method=pca"], "Use method=sefa"),
        ("directions", "dcgan", ["n=0"], "n=0"),
        ("project", "dcgan", [], "Name a picture"),
        ("project", "dcgan", ["absent.png"], "does not exist"),
        ("project", "dcgan", ["real", "task=colourise"], "grey pictures"),
        ("project", "dcgan", ["real", "task=paint"], "Choose task="),
    ],
)
def test_mistakes_in_edits_name_the_fix(
    command: Command,
    runs: Path,
    pictures: Path,
    verb: str,
    name: str,
    words: list[str],
    message: str,
) -> None:
    command(verb, str(runs / name), *words).is_refused_with(message)
