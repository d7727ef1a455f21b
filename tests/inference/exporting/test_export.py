"""`gansweep export`: the same images in other formats, and a folder that is read back."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from gansweep import load_run
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.inference.exporting.export import checked, facts_of_run
from gansweep.inference.exporting.traced import traced
from gansweep.inference.opened import open_run
from gansweep.inference.request import Use
from gansweep.inference.stream import Stream
from gansweep.provenance.reading import files_in, marks_of
from gansweep.run.exported import DescribedData

Command = Callable[..., Any]


@pytest.mark.parametrize("name", ["cgan", "styled", "hole", "vae", "grown", "fading"])
def test_an_exported_folder_makes_the_images_of_the_run(
    command: Command, runs: Path, tmp_path: Path, name: str
) -> None:
    done = command("export", str(runs / name), "--to", "torch_export", "-o", "out")
    assert done.code == 0, done
    differences = [float(line.split()[-1]) for line in done.out.splitlines() if "largest" in line]
    assert len(differences) == 2 and max(differences) < 1e-5
    assert {one.kind for one in map(marks_of, files_in([tmp_path / "out"]))} == {"machine-made"}
    run, again = (load_run(place)[0] for place in (runs / name, tmp_path / "out"))
    images = torch.rand(4, *run.sample_shape) * 2 - 1
    source = None if run.source_shape is None else torch.rand(4, *run.source_shape) * 2 - 1
    labels = torch.arange(4) if run.conditional else None
    made = [
        one.fakes(Batch(images, labels, source), torch.Generator().manual_seed(0))
        for one in (run, again)
    ]
    assert torch.equal(*made)


def test_every_file_of_an_export_has_a_chinese_record_with_an_id_of_its_own(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    marks = ["mark.profile=cn", "mark.producer=me"]
    done = command("export", str(runs / "cgan"), "--to", "torch_export", "-o", "out", *marks)
    assert done.code == 0, done
    found = [marks_of(tmp_path / "out" / name) for name in ("model.pt2", "model.safetensors")]
    records = [json.loads(one.says["china"]) for one in found]
    assert {one["ContentProducer"] for one in records} == {"me"}
    assert len({one["ProduceID"] for one in records}) == 2


@pytest.mark.parametrize("name", ["ring", "coded_ring"])
def test_points_are_exported_where_the_run_makes_them(
    command: Command, runs: Path, tmp_path: Path, name: str
) -> None:
    """Beyond [-1, 1], where images end."""
    opened = open_run(Use(runs / name, accelerator="cpu"))
    with torch.no_grad():
        for weight in opened.module.parameters():
            weight.mul_(4)
    network = traced(opened)
    given = [8 * one if one.is_floating_point() else one for one in network.inputs.values()]
    with torch.no_grad():
        made, wanted = network.network(*given), network.own(*given)
    assert float(wanted.abs().max()) > 2
    torch.testing.assert_close(made, wanted)
    assert command("export", str(runs / name), "--to", "torch_export", "-o", "out").code == 0
    assert "Makes points of 2 numbers" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", ["ring", "cgan", "hole", "autoencoder", "grown"])
@pytest.mark.parametrize("factor", [0.5, torch.nan])
def test_a_network_is_compared_with_the_run_itself(runs: Path, name: str, factor: float) -> None:
    network = traced(open_run(Use(runs / name, accelerator="cpu")))
    right = network.network
    assert checked("onnx", network, lambda inputs: right(*inputs.values())) < 1e-5
    network.network = Scaled(right, factor)
    with pytest.raises(UserError, match="differ by .* from those of the run"):
        checked("onnx", network, lambda inputs: network.network(*inputs.values()))


class Scaled(torch.nn.Module):
    def __init__(self, network: torch.nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        return self.factor * self.network(*given)


def test_onnx_makes_the_images_to_a_hundred_thousandth(
    command: Command, runs: Path, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    done = command("export", str(runs / "cgan"), "--to", "onnx", "-o", "out")
    assert done.code == 0, done
    assert marks_of(tmp_path / "out" / "model.onnx").says["model"] == "cgan"
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    stream = Stream(open_run(Use(runs / "cgan", accelerator="cpu")), 9)
    z, labels = stream.latents(0, 7)
    assert labels is not None
    given = {"latents": z.numpy(), "labels": labels.numpy()}
    (images,) = session.run(["images"], given)
    apart = torch.from_numpy(images) - stream.made(z, labels)
    assert float(apart.abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("form", "packages"), [("onnx", ["onnxscript", "onnxruntime"]), ("torch_export", [])]
)
def test_an_exported_network_names_no_file_of_this_machine(
    form: str, packages: list[str], command: Command, runs: Path, tmp_path: Path
) -> None:
    for package in packages:
        pytest.importorskip(package)
    assert command("export", str(runs / "cgan"), "--to", form, "-o", "out").code == 0
    networks = [path for path in (tmp_path / "out").iterdir() if path.suffix in (".onnx", ".pt2")]
    assert networks
    for network in networks:
        parts = [network.read_bytes()]
        if zipfile.is_zipfile(network):
            with zipfile.ZipFile(network) as archive:
                parts += [archive.read(name) for name in archive.namelist()]
        for part in parts:
            assert b'File "' not in part and b".py" not in part
            assert str(Path(torch.__file__).parent).encode() not in part


def test_verbs_take_an_exported_folder(command: Command, runs: Path, tmp_path: Path) -> None:
    assert command("export", str(runs / "cgan"), "--to", "safetensors", "-o", "out").code == 0
    for run, place in ((runs / "cgan", "a"), (tmp_path / "out", "b")):
        assert command("generate", str(run), "label=7", "n=4", "-o", place).code == 0
    for k in range(4):
        first, second = (tmp_path / place / f"{k:06d}.png" for place in "ab")
        assert first.read_bytes()[-60:] == second.read_bytes()[-60:]
        assert marks_of(first).says["run"] == marks_of(second).says["run"]
    assert command("generate", "out", "n=4", "-o", "c").code == 0
    assert command("interpolate", "out", "labels=1,2", "-o", "d.png").code == 0
    for run, place in ((runs / "cgan", "e.png"), (tmp_path / "out", "f.png")):
        assert command("generate", str(run), "n=16", "-o", place).code == 0
    with Image.open(tmp_path / "e.png") as first, Image.open(tmp_path / "f.png") as second:
        assert first.tobytes() == second.tobytes()
    command("evaluate", "out").is_refused_with("exported model")


@pytest.mark.parametrize(
    ("verb", "name", "words"),
    [("classify", "sgan", ["-o", "a.csv"]), ("retrieve", "vae", ["among", "-o", "a.png"])],
)
def test_pictures_are_judged_without_images_of_the_data(
    command: Command, runs: Path, tmp_path: Path, verb: str, name: str, words: list[str]
) -> None:
    """As the run does it, short side and all."""
    (tmp_path / "among").mkdir()
    for k in range(2):
        Image.new("L", (12, 8), 100 * k).save(tmp_path / "among" / f"{k}.png")
    assert command("export", str(runs / name), "--to", "safetensors", "-o", "out").code == 0
    said = [
        command(verb, str(run), "among/1.png", *words, "--force").out.splitlines()[2:]
        for run in (runs / name, tmp_path / "out")
    ]
    assert said[0] == said[1] and len(said[0]) > 1


def test_an_export_keeps_the_short_side_of_its_pictures(runs: Path) -> None:
    opened = open_run(Use(runs / "vae", accelerator="cpu"))
    opened.data.resize = 20
    assert DescribedData(facts_of_run(opened, None)).resize == 20


def test_the_card_says_what_it_is(command: Command, runs: Path, tmp_path: Path) -> None:
    words = ["--to", "safetensors", "-o", "out", "licence=cc-by-4.0"]
    assert command("export", str(runs / "cgan"), *words).code == 0
    text = (tmp_path / "out" / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    header = yaml.safe_load(head)
    assert header["license"] == "cc-by-4.0" and header["library_name"] == "gansweep"
    assert header["pipeline_tag"] == "unconditional-image-generation"
    parts = ("How to use it", "Training", "Scores", "Intended use and limits", "Marks", "Licence")
    assert all(f"## {part}" in body for part in parts)
    assert "load_run" in body and "cgan on digits" in body
    assert "Latents are independent of each other: uniform on [-1, 1)." in body
    config = (tmp_path / "out" / "config.yaml").read_text()
    assert "runs_dir" not in config and str(tmp_path) not in config


@pytest.mark.parametrize(
    "name", ["cgan", "infogan", "styled", "vae", "ring", "hole", "cyclegan", "autoencoder"]
)
def test_the_command_on_the_card_works(
    command: Command, runs: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (12, 8), "teal").save(tmp_path / "photos" / "a.png")
    assert command("export", str(runs / name), "--to", "safetensors", "-o", "this_folder").code == 0
    text = (tmp_path / "this_folder" / "README.md").read_text()
    (shown,) = re.findall(r"or `gansweep (.+)` on the command line", text)
    assert command(*shown.split()).code == 0


def test_a_map_of_an_exported_model_is_refused_with_what_works(
    command: Command, runs: Path
) -> None:
    assert command("export", str(runs / "ring"), "--to", "safetensors", "-o", "out").code == 0
    command("generate", "out", "-o", "a.png").is_refused_with("-o points.npz")
    assert command("export", str(runs / "coded_ring"), "--to", "safetensors", "-o", "b").code == 0
    assert "on the command line" not in Path("b/README.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Say in which format"),
        (["--to", "onx"], "Did you mean 'onnx'"),
        (["--to", "safetensors", "-o", "full"], "has files in it"),
        (["--to", "safetensors", "checkpoint=bets"], "Did you mean 'best'"),
        (["--to", "safetensors", "mark.watermark=trustmark"], "is no option of 'gansweep export'"),
    ],
)
def test_mistakes_of_export_name_the_fix(
    command: Command, runs: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    command("export", str(runs / "cgan"), *words).is_refused_with(message)


def test_a_damaged_folder_is_refused_in_words(command: Command, runs: Path, tmp_path: Path) -> None:
    assert command("export", str(runs / "cgan"), "--to", "safetensors", "-o", "out").code == 0
    out = tmp_path / "out"
    whole = (out / "model.safetensors").read_bytes()
    (out / "model.safetensors").write_bytes(whole[:500])
    with pytest.raises(UserError, match="damaged"):
        load_run(out)
    (out / "model.safetensors").write_bytes(whole)
    facts = json.loads((out / "gansweep.json").read_text())
    for wrong in ({"sample_shape": [1, 8, 10**9]}, {"sample_shape": "x"}, {"data": 3}):
        (out / "gansweep.json").write_text(json.dumps({**facts, **wrong}))
        with pytest.raises(UserError, match="damaged"):
            load_run(out)
    (out / "gansweep.json").write_text(json.dumps({**facts, "sample_shape": [1, 16, 16]}))
    with pytest.raises(UserError, match="does not fit"):
        load_run(out)


@pytest.mark.parametrize(
    ("verb", "words", "extra"),
    [
        ("export", ["--to", "onnx"], "gansweep[onnx]"),
        ("interpolate", ["seeds=0,1", "-o", "a.mp4"], "gansweep[video]"),
        ("generate", ["mark.c2pa=true"], "gansweep[c2pa]"),
    ],
)
def test_a_package_that_is_missing_is_named_before_the_run_is_opened(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch, verb: str, words: list[str],
    extra: str,
) -> None:  # fmt: skip
    place = {"generate": "provenance.marking"}.get(verb, f"cli.{verb}")
    monkeypatch.setattr(f"gansweep.{place}.find_spec", lambda name: None)
    monkeypatch.setattr("gansweep.inference.opened.open_run", None)
    command(verb, str(runs / "cgan"), *words).is_refused_with(f"pip install '{extra}'")


def test_classes_whose_names_are_no_utf8_are_exported(
    command: Command, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["caf\udce9", "für", *"23456789"]

    def odd(*given: Any) -> dict[str, Any]:
        return {**facts_of_run(*given), "class_names": names}

    monkeypatch.setattr("gansweep.inference.exporting.export.facts_of_run", odd)
    done = command("export", str(runs / "cgan"), "--to", "safetensors", "-o", "out")
    assert done.code == 0, done
    text = (tmp_path / "out" / "gansweep.json").read_text("utf-8")
    assert "für" in text and json.loads(text)["class_names"] == names


def test_an_export_draws_rare_classes_as_rarely_as_the_data() -> None:
    """One class has half of the images, 1,999 share the rest, and one has none."""
    shares = [0.5, *[0.00025] * 1999, 0.0]
    facts = {"data": "birds", "sample_shape": [1, 8, 8], "class_shares": shares}
    labels = DescribedData(facts).labels_of("train")
    assert labels is not None
    counts = labels.bincount(minlength=2001).double() / len(labels)
    assert counts.tolist() == pytest.approx([x / sum(shares) for x in shares], rel=1e-3)
