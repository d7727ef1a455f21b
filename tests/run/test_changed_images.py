"""A trained run whose images have changed since."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_runs import KEEPER, NARROW, TINY

from gansweep.config.compose import compose
from gansweep.errors import UserError
from gansweep.run.build import load_run
from gansweep.run.train import train

Command = Callable[..., Any]


def write_class(folder: Path, n: int = 6, channels: int = 1) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(folder.name))
    for number in range(n):
        pixels = rng.integers(0, 256, (8, 8, channels), dtype=np.uint8)
        Image.fromarray(pixels.squeeze()).save(folder / f"{number}.png")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("cat", "dog"):
        write_class(tmp_path / "pictures" / name)
    return tmp_path / "pictures"


def trained(pictures: Path, *model: str) -> Path:
    words = ["data=image_folder", f"data.root={pictures}", "data.image_size=8", "data.workers=0"]
    words += ["batch_size=4", *model, *NARROW, *TINY, *KEEPER, "budget_kimg=0.004"]
    run = pictures.parent / "run"
    train(compose(words), run_dir=run, progress=False)
    return run


def test_a_renamed_class_is_not_taken_for_another(command: Command, pictures: Path) -> None:
    run = trained(pictures, "model=cgan")
    (pictures / "dog").rename(pictures / "bird")  # before cat in the alphabet
    with pytest.raises(UserError, match=r"classes cat, dog, and data=pictures has bird, cat now"):
        load_run(run)
    done = command("train", f"resume={run}", "budget_kimg=1")
    done.is_refused_with("classes cat, dog", "Restore the folders of the classes")


def test_a_model_without_classes_lives_with_renamed_ones(pictures: Path) -> None:
    run = trained(pictures, "model=dcgan")
    (pictures / "dog").rename(pictures / "bird")
    assert not load_run(run)[0].conditional


def test_images_that_need_other_networks_are_no_traceback(command: Command, pictures: Path) -> None:
    run = trained(pictures, "model=dcgan")
    write_class(pictures / "parrot", channels=3)
    done = command("generate", str(run), "n=1")
    done.is_refused_with("has other networks", "colour where all were grey")
