"""Validation images steer a run; test images are used once, for the report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Finished
from omegaconf import open_dict

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config.compose import compose
from gansweep.data.resident import ResidentSource
from gansweep.errors import UserError
from gansweep.metrics.panel import Panel
from gansweep.records.record import RunRecord
from gansweep.run.build import read_config
from gansweep.run.train import train

Command = Callable[..., Finished]
WORDS = [
    *("model=sgan_feature_matching", "data.n_labels=50", "metrics.scores=[fid]"),
    *("metrics.n_fake=40", "budget_kimg=1.28", "callbacks.quality.every_kimg=0.64"),
    *("trainer=cpu", "tracker=none", "~callbacks.neighbours", "~callbacks.samples"),
]


def trained(directory: Path, *words: str) -> dict[str, Any]:
    return train(compose([*WORDS, *words]), run_dir=directory, progress=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 50 labels, with two evaluations."""
    directory = tmp_path_factory.mktemp("runs") / "run"
    trained(directory)
    return directory


def test_held_out_scores_of_training_are_of_the_validation_split(run: Path) -> None:
    result = RunRecord(run).result()
    assert result is not None
    assert result["objective"] == "class_error_143_validation"
    assert not [name for name, p in result["protocols"].items() if p.get("split") == "test"]
    assert result["protocols"]["class_error_143_validation"]["n_validation"] == 143
    (fid,) = (p for p in result["protocols"].values() if p["score"] == "fid")
    assert (fid["n_real"], fid["n_validation"]) == (1294, 143)


def test_the_test_split_is_reported_once_of_the_chosen_checkpoint(run: Path) -> None:
    record = RunRecord(run)
    (row,) = record.evaluations()
    assert row["checkpoint"] == "best.pt"
    assert list(row["scores"]) == ["class_error_360_test"]
    best = (record.result() or {})["best"]["class_error_143_validation"]
    assert row["kimg"] == best["kimg"]


def test_run_killed_while_the_test_split_is_measured_measures_it_when_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    words = ["budget_kimg=0.128", "callbacks.quality.every_kimg=0.128"]
    with monkeypatch.context() as patch:
        patch.setattr("gansweep.run.train.report_test", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "run", *words)
    for _ in range(2):
        assert trained(tmp_path / "run", *words)["status"] == "finished"
    (row,) = RunRecord(tmp_path / "run").evaluations()
    assert list(row["scores"]) == ["class_error_360_test"]


def test_no_test_image_is_looked_at_while_a_run_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except for the hash that selects the data's classifier."""
    read, hashed, looked = ResidentSource.arrays, ResidentSource.fingerprint, []

    def arrays(self: ResidentSource, split: str, limit: int | None = None) -> Any:
        looked.append((split, (tmp_path / "run" / "checkpoints" / "last.pt").exists()))
        return read(self, split, limit)  # type: ignore[arg-type]

    def fingerprint(self: ResidentSource, split: str) -> str:
        with monkeypatch.context() as plain:
            plain.setattr(ResidentSource, "arrays", read)
            return hashed(self, split)  # type: ignore[arg-type]

    monkeypatch.setattr(ResidentSource, "arrays", arrays)
    monkeypatch.setattr(ResidentSource, "fingerprint", fingerprint)
    scores = "metrics.scores=[fid,memorisation]"
    trained(tmp_path / "run", scores, "callbacks.overfitting.every_steps=5")
    before = {split for split, ended in looked if not ended}
    assert before == {"train", "validation"}
    assert ("test", True) in looked


def test_a_continued_run_that_has_ended_reports_nothing_again(run: Path) -> None:
    train(read_config(RunRecord(run)), run_dir=run, progress=False)
    assert len(RunRecord(run).evaluations()) == 1


def test_without_a_validation_split_the_samples_judge(tmp_path: Path) -> None:
    result = trained(tmp_path / "run", "data.n_validation=0", "budget_kimg=0.64")
    assert result["objective"].startswith("fid_")
    assert not [p for p in result["protocols"].values() if p["score"] == "class_error"]
    (row,) = RunRecord(tmp_path / "run").evaluations()
    assert list(row["scores"]) == ["class_error_360_test"]


def test_a_run_is_not_steered_by_the_test_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"metrics\.split=validation.*gansweep evaluate"):
        trained(tmp_path / "run", "metrics.split=test")
    assert not (tmp_path / "run").exists()


def test_a_record_of_before_trains_on_all_its_images_and_says_what_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its configuration lacks the option, and its objective is no longer measured."""
    cfg = compose([*WORDS, "budget_kimg=0.64"])
    with open_dict(cfg.data):
        del cfg.data["n_validation"]
    train(cfg, run_dir=tmp_path / "run", progress=False)
    cfg = read_config(RunRecord(tmp_path / "run"))
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    state = read_checkpoint(path)
    state["journal"]["objective"] = "test_error_360_test"
    torch.save(state, path)
    cfg.budget_kimg = 1.28
    result = train(cfg, run_dir=tmp_path / "run", progress=False)
    err = capsys.readouterr().err
    assert "judged by test_error_360_test, which is no longer measured" in err
    (fid,) = (p for p in result["protocols"].values() if p["score"] == "fid")
    assert fid["n_real"] == 1437


def test_a_run_scored_otherwise_is_not_continued_under_the_same_names(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = read_config(RunRecord(run))
    cfg.budget_kimg = 2.56
    names = Panel.names

    def other(self: Panel) -> dict[str, Any]:
        return {name: {**p, "weights_hash": "0"} for name, p in names(self).items()}

    monkeypatch.setattr(Panel, "names", other)
    before = (run / "history.jsonl").read_text()
    with pytest.raises(UserError, match=r"fid_digitsnet1_40_train.*weights_hash differ"):
        train(cfg, run_dir=run, progress=False)
    assert (run / "history.jsonl").read_text() == before


def test_a_run_is_not_continued_on_other_images(run: Path) -> None:
    """Like a half-trained trial of an older sweep whose options are composed again."""
    cfg = read_config(RunRecord(run))
    cfg.budget_kimg, cfg.data.n_validation = 2.56, 0
    with pytest.raises(UserError, match=r"other images so far.*data\.n_validation"):
        train(cfg, run_dir=run, progress=False)


def test_evaluate_measures_the_test_split(command: Command, run: Path) -> None:
    done = command("evaluate", str(run), "metrics=auto", "metrics.n_fake=40")
    assert done.code == 0, done
    (_, row) = RunRecord(run).evaluations()
    assert "class_error_360_test" in row["scores"]
    assert not [name for name in row["scores"] if name.endswith("_validation")]
