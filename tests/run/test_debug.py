"""`debug=fast` and `debug=overfit`: a short look at whether a configuration works."""

from pathlib import Path

import pytest

from gansweep.config.choices import choices
from gansweep.config.compose import compose
from gansweep.records.record import RunRecord
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


def test_overfit_memorises_its_batch_and_continues_with_the_same_one(tmp_path: Path) -> None:
    words = ["model=gan", "data=ring", "debug=overfit", "budget_kimg=8", *CPU]
    words += ["~callbacks.samples", "model.optimizer.generator.lr=1e-3"]
    train(compose([*words, "budget_kimg=4"]), run_dir=tmp_path, progress=False)
    train(compose(words), run_dir=tmp_path, progress=False)
    rows = [row for row in RunRecord(tmp_path).history() if "memorised/distance" in row]
    first, last = rows[0]["memorised/distance"], rows[-1]["memorised/distance"]
    assert last < first / 4
    assert "memorised/distance" in opening(compose(words), words, {}, 0)
