"""Bad input and bad luck: one paragraph with the fix, exit code 2, nothing half-written."""

import contextlib
import ctypes
import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord

Command = Callable[..., Any]
TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
TINY += ["budget_kimg=0.1", "tracker=none", "metrics=none", "trainer=cpu"]
FOLDER = ["data=image_folder", "data.root=pictures", "data.image_size=8", "data.workers=0"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    for k, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{k:02d}.png")
    return folder


def wrote_nothing(folder: Path) -> bool:
    return not list(folder.rglob("config.yaml")) and not list(folder.rglob("*-001"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["modle=gan"], ["no option 'modle'", "Did you mean 'model'?"]),
        (["model=dcgna"], ["no 'dcgna'", "Did you mean 'dcgan'?"]),
        (["model.n_critc=2"], ["'model.n_critc'", "Did you mean 'model.n_critic'?"]),
        (["callbacks.sample.count=2"], ["Did you mean 'callbacks.samples"]),
        (["tracker=wand"], ["Did you mean 'wandb'?"]),
        (["model.n_critic = 2"], ["cannot be read", "without spaces around '='"]),
        (["--multirn", "seed=0,1"], ["no flag '--multirn'", "Did you mean '--multirun'?"]),
        (["--config-dir", "nowhere"], ["--config-dir nowhere is not a folder"]),
        (["seed=0,1"], ["seed=0,1", "--multirun"]),
        (["dcgan"], ["'dcgan'", "key=value"]),
        (["budget_kimg=-3"], ["budget_kimg=-3 is not a number above 0"]),
        (["extra_packages=mine"], ["extra_packages=mine is not a list", "'extra_packages=[mine]'"]),
        (["+callbacks.samples.colour=red"], ["Samples has no option 'colour'"]),
        (["data.image_size=30"], ["image size 30", "data.image_size=28 or 32"]),
        (["data.image_size=200"], ["image size 200", "data.image_size="]),
        (["batch_size=1438"], ["batch_size=1438", "1294", "batch_size=1294 or less"]),
        (["trainer.precision=16-mixed"], ["16-mixed", "bf16-mixed"]),
        (["resume=nowhere"], ["nowhere is not a run: it does not exist", "such as runs/digits"]),
        (["+lr=0.1"], ["Nothing reads 'lr'", "'${lr}'", "'model.optimizer.generator.lr'"]),
        (["+n_epochs=4"], ["Nothing reads 'n_epochs'", "'${n_epochs}'. Else remove it"]),
        (["+net.wide=4", "+net_wide=8", "seed=${net_wide}"], ["Nothing reads 'net.wide'"]),
        (["model.generator.width=wide"], ["model.generator.width=wide", "from 1 to"]),
        (["model.optimizer.generator.lr=-1"], ["model.optimizer.generator.lr=-1", "from 0"]),
        (["data=image_folder"], ["data.root=VALUE"]),
        (["data=image_folder", "data.root=nowhere"], ["nowhere", "data.root="]),
    ],
)
def test_mistaken_option(
    command: Command, tmp_path: Path, words: list[str], said: list[str]
) -> None:
    command("train", *TINY, *words).is_refused_with(*said)
    assert wrote_nothing(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lrr=choice(1, 2)"], ["no option 'lrr'"]),
        (["sweep=dmo"], ["Did you mean 'demo'?"]),
        (["model=dcgna"], ["Did you mean 'dcgan'?"]),
    ],
)
def test_mistaken_sweep(
    command: Command, tmp_path: Path, words: list[str], said: list[str]
) -> None:
    command("sweep", "sweep=random", "data=digits", *words).is_refused_with(*said)
    assert wrote_nothing(tmp_path)


def test_sweep_whose_study_has_another_space(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gansweep.cli import report
    from gansweep.engine.launch.local import LocalLauncher

    monkeypatch.setattr(LocalLauncher, "run", lambda *_: True)
    monkeypatch.setattr(report, "conclude", lambda *_: None)
    words = ["sweep", "sweep=random", "data=digits", "name=s", "sweep.confirm.top=0"]
    words.append("sweep.sampler.name=random")
    assert command(*words, "model.n_critic=choice(1, 2)").code == 0
    begun = SweepStudy(tmp_path / "runs" / "s").claim("w0")
    assert begun is not None
    begun.lease.release()
    before = (tmp_path / "runs" / "s" / "sweep.yaml").read_bytes()
    done = command(*words, "model.n_critic=choice(1, 3)")
    done.is_refused_with("model.n_critic", "name=")
    assert (tmp_path / "runs" / "s" / "sweep.yaml").read_bytes() == before


# Folders of images


def test_empty_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    command("train", *TINY, *FOLDER).is_refused_with("pictures", "no image")
    assert wrote_nothing(tmp_path)


def test_corrupt_image_stops_with_its_name(
    command: Command, tmp_path: Path, pictures: Path
) -> None:
    (pictures / "07.png").write_bytes(b"\x89PNG no more")
    command("train", *TINY, *FOLDER).is_refused_with("07.png", "1 of 40", "on_corrupt=skip")
    assert wrote_nothing(tmp_path)


def test_corrupt_image_is_skipped_with_a_count(
    command: Command, tmp_path: Path, pictures: Path
) -> None:
    (pictures / "07.png").write_bytes(b"\x89PNG no more")
    done = command("train", *TINY, *FOLDER, "data.on_corrupt=skip")
    assert done.code == 0, done.err
    assert "1 of 40 images" in done.err and "07.png" in done.err
    assert RunRecord(tmp_path / "runs" / "image_folder" / "dcgan-001").result() is not None


def test_a_file_is_no_run(command: Command, pictures: Path) -> None:
    words = ["train", "resume=pictures/00.png"]
    command(*words).is_refused_with("pictures/00.png is not a run: it is a file")


def test_batch_larger_than_the_folder(command: Command, tmp_path: Path, pictures: Path) -> None:
    words = [w for w in TINY if "batch" not in w]
    command("train", *words, *FOLDER, "batch_size=37").is_refused_with("batch_size=37", "36")
    assert wrote_nothing(tmp_path)


def test_missing_data_set_offline(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.request

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setenv("GANSWEEP_DATA", str(tmp_path / "none"))
    done = command("train", *TINY, "data=mnist")
    said = ["data=mnist", "train-images", "Network is unreachable", "data.root=", "data=digits"]
    done.is_refused_with(*said, after="Downloading about 12 MB")
    assert wrote_nothing(tmp_path)


# No permission


@pytest.fixture
def locked(command: Command) -> Iterator[Path]:
    """An empty folder that this process may read and not write, be it root's."""
    assert command("train", *TINY).code == 0  # has imported all there is before it loses its rights
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    with permissions_that_hold():
        yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextlib.contextmanager
def permissions_that_hold() -> Iterator[None]:
    """Root without CAP_DAC_OVERRIDE; another user, which has it not, as it is."""
    system = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the interface, this process
    rights = (ctypes.c_uint32 * 6)()
    assert system.capget(header, rights) == 0, ctypes.get_errno()
    effective = rights[0]
    rights[0] &= ~(1 << 1)
    assert system.capset(header, rights) == 0, ctypes.get_errno()
    try:
        yield
    finally:
        rights[0] = effective
        assert system.capset(header, rights) == 0, ctypes.get_errno()


@pytest.mark.parametrize("more", [[], ["-m", "seed=0,1"], ["name=x"]])
def test_no_write_permission(
    command: Command, locked: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    monkeypatch.chdir(locked)
    command("train", *TINY, *more).is_refused_with("runs", "Permission denied", "runs_dir=")
    assert not list(locked.iterdir())


# What begins and cannot go on


def test_tracker_whose_package_is_missing_leaves_no_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gansweep.callbacks import tracking

    def missing(*args: object, **kwargs: object) -> None:
        raise ModuleNotFoundError("No module named 'mlflow'")

    monkeypatch.setattr(tracking, "MLFlowLogger", missing)
    words = [w for w in TINY if "tracker" not in w]
    done = command("train", *words, "tracker=mlflow")
    done.is_refused_with("pip install 'gansweep[mlflow]'")
    assert wrote_nothing(tmp_path)


def test_folder_of_the_users_own_is_never_removed(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "runs" / "digits" / "mine" / "notes.txt"
    note.parent.mkdir(parents=True)
    note.write_text("why I run this")
    command("train", *TINY, "name=mine", "+callbacks.samples.colour=red").is_refused_with("colour")
    assert note.read_text() == "why I run this"
