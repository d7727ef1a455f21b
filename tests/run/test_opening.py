"""What a run prints when it starts."""

import re
from pathlib import Path

import pytest

from gansweep.config.compose import compose
from gansweep.errors import UserError
from gansweep.run import early
from gansweep.run import opening as opens


def test_the_headline_says_what_runs_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cfg = compose(["model=gan", "data=ring", "budget_kimg=20", "trainer=cpu"])
    said = opens.headline(cfg, Path("runs/ring"))
    assert said.startswith("gan on ring, 20 kimg, on the CPU (")
    assert said.endswith(" cores), into runs/ring")


def test_a_gpu_has_the_name_that_its_driver_gives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "0000:01:00.0" / "information"
    file.parent.mkdir()
    file.write_text("Model: \t\t NVIDIA H200\nIRQ:   1\n")
    monkeypatch.setattr(opens, "GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert opens.device_words("auto") == opens.device_words("cuda") == "NVIDIA H200"
    assert opens.device_words("cpu").startswith("the CPU")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert opens.device_words("auto").startswith("the CPU")


def test_the_opening_lists_changes_sizes_and_the_next_moments() -> None:
    words = ["model=gan", "data=ring", "budget_kimg=45", "callbacks.samples.every_kimg=20"]
    text = opens.opening(compose(words), words, {"generator": 1234}, 12, {})
    changed, sizes, following = re.split(r"\n  (?=[a-z])", text)
    assert " ".join(changed.split()) == " ".join(["changed", *words])
    assert sizes.split() == ["parameters", "generator", "1,234"]
    assert " ".join(following.split()) == (
        "next scores and samples at 20 kimg, nearest neighbours at 45 kimg, a checkpoint every 30 s"
    )
    assert max(map(len, text.splitlines())) <= 80


def test_without_scores_nothing_that_needs_them_is_announced() -> None:
    cfg = compose(["model=gan", "data=ring", "metrics=none", "budget_kimg=30"])
    text = " ".join(opens.opening(cfg, [], {}, 0, {}).split())
    assert text.endswith("next samples at 10 kimg, a checkpoint every 30 s")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["batch_size=30", "model.accumulate=4"], "not divisible by 4"),
        (["batch_size=30", "trainer.devices=4"], "not divisible by 4"),
        (["data=image_folder", "data.root=absent"], "data.root=absent does not exist"),
        (["data=paired_folders", "data.root_a=.", "data.root_b=no"], "data.root_b=no does not"),
        (["trainer.accelerator=cuda"], "the operating system finds no GPU"),
        (["batch_size=63", "model.packing=2"], "packs of model.packing=2.*batch_size=64"),
        (["model.generator_batch=2"], "Add model.shared_noise=false"),
        (["model=vae", "model.n_generator=2"], "one player"),
        (["model=pix2pix"], "data have no source images. Use data=paired"),
        (["model=cyclegan", "data=unpaired", "model.shared_noise=false"], "nothing random goes"),
        (["model=pix2pix", "data=paired", "+model.generator_batch=2"], "each sample of one of"),
        (["model=acgan", "model.conditional=false"], "model.conditional=true, or another"),
        (["model.adversarial=0"], "nothing to learn from"),
    ],
)
def test_what_cannot_run_is_refused_before_pytorch_is_asked(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(early, "GPUS", tmp_path)
    monkeypatch.setattr(early, "OTHER_GPUS", ())
    with pytest.raises(UserError, match=said):
        early.refuse_early(compose(["model=gan", "trainer=cpu", *words]))


def test_more_gpus_than_the_driver_lists_are_refused_early(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "information").touch()
    monkeypatch.setattr(early, "GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    words = ["model=gan", "trainer.accelerator=cuda", "batch_size=64"]
    with pytest.raises(UserError, match=r"this machine has 1 GPU"):
        early.refuse_early(compose([*words, "trainer.devices=2"]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")  # PyTorch is asked instead
    early.refuse_early(compose([*words, "trainer.devices=2"]))
