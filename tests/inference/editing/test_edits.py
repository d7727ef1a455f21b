"""`gansweep interpolate`, `arithmetic`, `directions` and `project` on runs trained for a moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gansweep.inference.editing.codes import Codes, Space
from gansweep.inference.editing.damage import hole_mask
from gansweep.inference.editing.directions import sefa
from gansweep.inference.editing.edits import Interpolation, Projection, SpaceName
from gansweep.inference.editing.interpolate import between
from gansweep.inference.editing.project import coded, problem_of, restored, told
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.request import Use
from gansweep.inference.stream import Stream
from gansweep.layers.style import ModulatedConv2d
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
        *(("grown", "z"), ("fading", "z"), ("infogan", "z")),
    ):
        run = opened(runs, name)
        space = Space(run, where)
        (part,) = Stream(run, 5).parts(4)
        torch.testing.assert_close(space.pictures(space.first(5, 4)), part.images)
        picked = space.pictures(space.samples(5, [2]))
        torch.testing.assert_close(picked[0], part.images[2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "where"), [("styled", "z"), ("styled", "w"), ("biggan", "z")])
def test_truncated_codes_make_truncated_samples(runs: Path, name: str, where: str) -> None:
    """Also where the truncation changes what batch normalisation samples with."""
    run = opened(runs, name)
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


def test_the_mark_of_a_way_says_its_class(command: Command, runs: Path, tmp_path: Path) -> None:
    words = ["samples=3,8", "label=7", "steps=2", "-o", "a.png"]
    assert command("interpolate", str(runs / "cgan"), *words).code == 0
    assert "label 7" in marks_of(tmp_path / "a.png").says["prompt"]


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
    assert all(line == line.rstrip() for line in done.out.splitlines())
    with Image.open(tmp_path / "a.png") as picture:  # 3 operands in a row of 4, then 9 in 3 rows
        assert picture.height * (4 * 9 + 1) == picture.width * (6 * 9 + 1)


def test_tries_without_a_class_are_refused_before_anything_is_written(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    words = ["[3] - [1] + [2]", "tries=5", "-o", "t.png"]
    command("arithmetic", str(runs / "dcgan"), *words).is_refused_with("leave tries= out")
    assert not (tmp_path / "t.png").exists()


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
    damage = [] if task == "none" else ["damage=true"]
    words = [str(pictures), f"task={task}", *damage, "steps=3", "-o", "a.png"]
    done = command("project", str(runs / name), *words)
    assert done.code == 0 and "squared error" in done.out
    assert marks_of(tmp_path / "a.png").kind == "machine-made in part"
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["codes"].shape[0] == 2
    done = command("interpolate", str(runs / name), "codes=a.npz", "-o", "way.png")
    assert done.code == 0


def told_of(task: str, whole: torch.Tensor, made: torch.Tensor) -> str:
    """What `project` prints of pictures that come damaged, for a result."""
    request = Projection(Use(Path("run")), (), task)
    problem = problem_of(whole, request)
    return told(problem, made, restored(problem, made, task), request)


def test_error_of_what_is_seen_leaves_the_hole_out() -> None:
    whole = torch.zeros(1, 1, 8, 8)
    made = 0.5 * hole_mask((1, 8, 8))[None] + (1 - hole_mask((1, 8, 8)))[None]  # 1 in the hole
    assert told_of("hole", whole, made) == "squared error of what is seen 0.2500"


def test_error_of_what_is_seen_of_a_grey_picture_is_that_of_the_luminance() -> None:
    grey = torch.zeros(1, 3, 8, 8)
    coloured = torch.tensor([0.587, -0.299, 0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert told_of("colourise", grey, coloured) == "squared error of what is seen 0.0000"
    assert told_of("colourise", grey, grey + 0.5) == "squared error of what is seen 0.2500"


def arrays_of(codes: Codes) -> dict[str, np.ndarray]:
    """As `project` writes them, but for the space."""
    named = {"codes": codes.z, "labels": codes.labels, "noise": codes.noise}
    return {key: one.numpy() for key, one in named.items() if one is not None}


@pytest.mark.parametrize(("name", "where"), [("cgan", "z"), ("styled", "z"), ("styled", "w")])
def test_a_way_between_codes_ends_at_their_pictures(
    runs: Path, tmp_path: Path, name: str, where: SpaceName
) -> None:
    run = opened(runs, name)
    space = Space(run, where)
    codes = space.first(3, 4)
    if codes.labels is not None:
        codes.labels = torch.tensor([7, 2, 2, 7])
    np.savez(tmp_path / "a.npz", space=np.array(where), **arrays_of(codes))
    request = Interpolation(run.use, "codes", (), 3, space=where, codes=tmp_path / "a.npz")
    way = between(run, request)
    whole = space.pictures(codes)
    ends = torch.stack([whole[:-1], whole[1:]], 1).flatten(0, 1)
    torch.testing.assert_close(way[[0, 2, 3, 5, 6, 8]], ends, rtol=1e-4, atol=1e-4)
    if codes.labels is not None:
        codes.labels = torch.full((4,), 5)
        way = between(run, replace(request, label="5"))
        torch.testing.assert_close(way[[0, 3, 6]], space.pictures(codes)[:3])


@pytest.mark.parametrize(("name", "space"), [("cgan", "z"), ("styled", "w"), ("styled", "z")])
def test_projected_codes_say_what_they_are(
    command: Command, runs: Path, tmp_path: Path, pictures: Path, name: str, space: SpaceName
) -> None:
    words = [str(pictures), "steps=0", f"space={space}", "-o", "a.png"]
    assert command("project", str(runs / name), *words).code == 0
    with np.load(tmp_path / "a.npz") as arrays:
        assert str(arrays["space"]) == space
        assert ("labels" in arrays, "noise" in arrays) == (name == "cgan", name == "styled")
        found = {key: torch.from_numpy(arrays[key]) for key in {*arrays} - {"mark", "space"}}
    run = opened(runs, name)
    codes = Codes(found["codes"], found.get("labels"), found.get("noise"))
    made = Space(run, space).pictures(codes)
    request = Interpolation(run.use, "codes", (), 2, space=space, codes=tmp_path / "a.npz")
    torch.testing.assert_close(between(run, request), made, rtol=1e-4, atol=1e-4)
    words = ["codes=a.npz", f"space={space}", "-o", "way.png"]
    assert command("interpolate", str(runs / name), *words).code == 0
    if space == "w":
        command("interpolate", str(runs / name), "codes=a.npz").is_refused_with("Use space=w")


def test_learnt_codes_are_part_of_a_code(command: Command, runs: Path, pictures: Path) -> None:
    run = str(runs / "infogan")
    assert command("directions", run, "n=2", "-o", "d.png").code == 0
    assert command("project", run, str(pictures), "steps=0", "-o", "p.png").code == 0
    done = command("interpolate", run, "codes=p.npz", "steps=2", "-o", "i.png")
    assert done.code == 0, done


def test_strengths_are_how_far_a_step_moves_the_styles(runs: Path) -> None:
    space = Space(opened(runs, "styled"), "w")
    directions, strengths = sefa(space, 3)
    layers = [m.style for m in space.generator.modules() if isinstance(m, ModulatedConv2d)]
    w = space.first(0, 1).z
    with torch.no_grad():
        moved = torch.cat([one(w + directions) - one(w) for one in layers], 1).norm(dim=1)
    torch.testing.assert_close(moved, strengths)


def test_codes_alone_are_read_with_the_label_and_noise_of_a_sample(
    runs: Path, tmp_path: Path
) -> None:
    for name in ("cgan", "styled"):
        run = opened(runs, name)
        space = Space(run)
        codes = space.first(3, 2)
        np.savez(tmp_path / "a.npz", codes=codes.z.numpy())
        way = between(run, Interpolation(run.use, "codes", (), 2, codes=tmp_path / "a.npz"))
        made = space.pictures(space.samples(0, [0]).with_codes(codes.z))
        torch.testing.assert_close(way, made, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("dcgan", "labels", np.zeros(2, np.int64)),
        ("cgan", "labels", np.full(2, 10)),
        ("cgan", "labels", np.zeros(3, np.int64)),
        ("styled", "noise", np.zeros((2, 3), np.float32)),
    ],
)
def test_codes_of_another_run_are_refused(
    command: Command, runs: Path, tmp_path: Path, name: str, key: str, value: np.ndarray
) -> None:
    arrays = arrays_of(Space(opened(runs, name)).first(0, 2)) | {key: value}
    np.savez(tmp_path / "a.npz", **arrays)
    done = command("interpolate", str(runs / name), "codes=a.npz")
    done.is_refused_with(f"has {key} that do not fit this run", "project them anew")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"text"])
def test_a_damaged_file_of_codes_is_refused(
    command: Command, runs: Path, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    command("interpolate", str(runs / "dcgan"), "codes=a.npz").is_refused_with("cannot be read")


def test_a_sample_is_found_again(runs: Path) -> None:
    """The optimisation comes nearer than the nearest of the samples that it starts from."""
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
        ("interpolate", "dcgan", ["seeds=0,1", "seed=4"], "seeds=0,1,4, or leave it out"),
        ("interpolate", "dcgan", ["seeds=0,1", "seconds=3"], "'-o way.gif'"),
        ("interpolate", "dcgan", ["seeds=0,1", "seconds=3", "-o", "x.png"], "this is a strip"),
        ("interpolate", "cgan", ["labels=0,1", "path=linear"], "path=linear is not read"),
        ("arithmetic", "dcgan", ["7 - x + 3"], "is not a class"),
        ("arithmetic", "dcgan", ["7 tinted - 7 + 3"], "has grey images"),
        ("arithmetic", "dcgan", [], "Give one expression"),
        ("directions", "dcgan", ["method=pca"], "Use method=sefa"),
        ("directions", "dcgan", ["n=0"], "n=0"),
        ("project", "dcgan", [], "Name a picture"),
        ("project", "dcgan", ["absent.png"], "does not exist"),
        ("project", "dcgan", ["real", "task=colourise"], "grey pictures"),
        ("project", "dcgan", ["real", "task=paint"], "Choose task="),
        ("project", "dcgan", ["real", "damage=true"], "Add task=hole"),
        ("project", "dcgan", ["real", "sigma=1"], "Give both, or leave sigma= out"),
        ("project", "dcgan", ["real", "task=denoise", "sigma=1"], "task=denoise damage=true"),
        ("project", "dcgan", ["real", "task=hole", "damage=true", "sigma=1"], "sigma=1 is of"),
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
