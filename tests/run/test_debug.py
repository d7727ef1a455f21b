"""`debug=fast` and `debug=overfit`: a short look at whether a configuration works."""

import math
import re
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gansweep.config.choices import choices
from gansweep.config.compose import compose
from gansweep.errors import UserError
from gansweep.models.feed import Feed
from gansweep.records.record import RunRecord
from gansweep.run.build import build_data
from gansweep.run.opening import opening
from gansweep.run.train import train

PLACES = {
    "image_folder": ["data.root=x"],
    "paired_folders": ["data.root_a=x", "data.root_b=y"],
    "unpaired_folders": ["data.root_a=x", "data.root_b=y"],
}
CPU = ["trainer=cpu", "trainer.threads=1"]


@pytest.mark.parametrize("debug", ["fast", "overfit"])
@pytest.mark.parametrize("model", choices("train")["model"])
def test_every_model_is_composed(model: str, debug: str) -> None:
    cfg = compose([f"model={model}", f"debug={debug}"])
    assert (cfg.group, cfg.batch_size, cfg.choices.tracker) == ("debug", 16, "none")


def test_options_of_callbacks_that_are_left_out_are_told() -> None:
    words = ["model=gan", "debug=fast", "callbacks=none"]
    said = "debug=fast sets callbacks.losses.every_steps, but callbacks=none has no callback"
    with pytest.raises(UserError, match=re.escape(said)):
        compose(words)


@pytest.mark.parametrize("debug", ["fast", "overfit"])
@pytest.mark.parametrize("data", choices("train")["data"])
def test_every_data_set_is_composed(data: str, debug: str) -> None:
    cfg = compose([f"data={data}", f"debug={debug}", *PLACES.get(data, [])])
    assert cfg.one_batch == (debug == "overfit")


def test_the_command_line_and_an_experiment_keep_what_they_set() -> None:
    cfg = compose(["experiment=digits_dcgan", "debug=fast", "budget_kimg=1", "tracker=csv"])
    assert (cfg.budget_kimg, cfg.choices.tracker, cfg.model.generator.width) == (1, "csv", 32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["model=wgan_gp", "data=ring"], ["experiment=digits_dcgan"], ["model=vae"]], ids=str
)
def test_fast_does_everything_twice(tmp_path: Path, words: list[str]) -> None:
    result = train(compose([*words, "debug=fast", *CPU]), run_dir=tmp_path, progress=False)
    assert result["status"] == "finished" and result["kimg"] == 0.16
    record = RunRecord(tmp_path)
    rows = record.history()
    for name in ("loss/", "grad_norm/", str(result["objective"])):
        assert len([row for row in rows if any(key.startswith(name) for key in row)]) == 2, name
    assert record.last.exists() and record.best.exists()
    assert len(list((tmp_path / "samples").iterdir())) >= 2


def test_every_batch_is_the_first_one_also_where_a_run_continues() -> None:
    module: Any = SimpleNamespace(images_seen=0, until_kimg=math.inf, device=torch.device("cpu"))
    module.parameters = lambda: iter([torch.zeros(1)])

    def batches(one_batch: bool, images_seen: int) -> list[torch.Tensor]:
        cfg = compose(["data=ring", "batch_size=16", "budget_kimg=0.1", f"one_batch={one_batch}"])
        module.images_seen = images_seen
        return [batch.images for batch in Feed(build_data(cfg), module, cfg)]

    first, *others = [*batches(True, 0), *batches(True, 64)]
    assert len(others) == 9 and all(torch.equal(first, other) for other in others)
    assert torch.equal(batches(False, 0)[0], first)
    assert not torch.equal(batches(False, 64)[0], first)


def test_overfit_comes_near_its_batch_and_says_what_to_look_for(tmp_path: Path) -> None:
    words = ["model=gan", "data=ring", "debug=overfit", "budget_kimg=2", *CPU]
    train(compose([*words, "~callbacks.samples"]), run_dir=tmp_path, progress=False)
    rows = [row for row in RunRecord(tmp_path).history() if "memorised/distance" in row]
    late = [row["memorised/distance"] for row in rows[len(rows) // 2 :]]
    assert len(rows) >= 100 and statistics.fmean(late) < rows[0]["memorised/distance"] / 2
    assert "memorised/distance" in opening(compose(words), words, {}, 0, {})
