"""One run from the configuration to the record: exact continuation, verdicts, interruptions."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from processes import Processes, said_by, wait_until
from states import same

from gansweep import load_run
from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.records.record import RunRecord
from gansweep.run.train import train

SMALL = [
    "model.generator.width=4",
    "model.discriminator.width=4",
    "batch_size=32",
    "tracker=none",
    "trainer=cpu",
    "callbacks.losses.every_steps=5",
    "callbacks.quality.every_kimg=0.5",
    "metrics.n_fake=200",
]


def small(*overrides: str) -> DictConfig:
    return config.compose([*SMALL, *overrides])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["dcgan", "wgan_gp", "r3gan"])
def test_resume_is_bit_identical_to_an_uninterrupted_run(tmp_path: Path, variant: str) -> None:
    """Weights, moving average, optimizers, noise, data order and global generators."""
    options = [f"model={variant}", "model.ema_kimg=0.2", "data=digits"]
    if variant == "r3gan":
        options += ["model.generator.blocks=1", "model.discriminator.blocks=1"]
    cfg = small(*options, "budget_kimg=2.4")
    train(cfg.copy(), run_dir=tmp_path / "whole", progress=False)
    train(cfg.copy(), run_dir=tmp_path / "cut", progress=False, until_kimg=1.1)
    torch.manual_seed(12345)  # another process starts with another global state
    train(cfg.copy(), run_dir=tmp_path / "cut", progress=False)
    whole, cut = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "cut")
    )
    same(whole["game"], cut["game"])
    same(whole["rng"], cut["rng"])
    rows = {
        name: {
            row["kimg"]: {k: v for k, v in row.items() if k.startswith(("loss/", "fid"))}
            for row in RunRecord(tmp_path / name).history()
            if "loss/generator" in row
        }
        for name in ("whole", "cut")
    }
    shared = rows["whole"].keys() & rows["cut"].keys()
    assert len(shared) > 10
    assert rows["whole"][max(shared)] == rows["cut"][max(shared)]


def test_options_of_lightnings_trainer_reach_it(tmp_path: Path) -> None:
    limited = ["+trainer.limit_train_batches=3", "+trainer.profiler=simple"]
    result = train(small("budget_kimg=1", *limited), run_dir=tmp_path, progress=False)
    assert result["kimg"] == 0.096 and "a limit of the trainer" in result["reason"]
    assert "training_step" in (tmp_path / "fit-profile.txt").read_text()
    refused = small("+trainer.max_time=soon")
    with pytest.raises(UserError, match=r"Trainer refuses trainer\.max_time=soon: "):
        train(refused, run_dir=tmp_path / "refused", progress=False)


def test_record_of_a_finished_run(tmp_path: Path) -> None:
    result = train(small("budget_kimg=1"), run_dir=tmp_path / "g" / "r", progress=False)
    record = RunRecord(tmp_path / "g" / "r")
    assert result.pop("directory") == str(record.directory)
    assert record.result() == {"schema": 1, **result}
    assert result["status"] == "finished" and result["kimg"] == 1.024
    assert (result["group"], result["name"], result["model"]) == ("g", "r", "dcgan")
    fid = result["objective"]
    assert fid.startswith("fid_digitsnet1_200_") and result["best"][fid]["value"] > 0
    assert result["protocols"][fid]["data"] == "digits"
    assert set(result["parameters"]) == {"generator", "discriminator"}
    history = record.history()
    announced = next(k for k, row in enumerate(history) if fid in row.get("protocol", {}))
    assert announced < next(k for k, row in enumerate(history) if fid in row)
    kimg = [row["kimg"] for row in history]
    assert kimg == sorted(kimg)
    assert record.sample_grids()[-1][0] == 1.024
    assert (record.checkpoints / "best.pt").exists()


def test_loaded_run_makes_the_samples_of_the_trained_one(tmp_path: Path) -> None:
    train(small("budget_kimg=0.2"), run_dir=tmp_path / "run", progress=False)
    batch = Batch(torch.zeros(3, 1, 8, 8))
    one, two = (
        load_run(tmp_path / "run", which)[0].fakes(batch, torch.Generator().manual_seed(1))
        for which in ("last", "last")
    )
    assert torch.equal(one, two) and one.shape == (3, 1, 8, 8)
    with pytest.raises(UserError, match=r"bset\.pt does not exist"):  # not the last, silently
        load_run(tmp_path / "run", "bset")


def test_pruned_run_says_so(tmp_path: Path) -> None:
    clocks: list[float] = []

    def on_score(kimg: float, scores: dict[str, float]) -> bool:
        clocks.append(kimg)
        assert any(name.startswith("fid_") for name in scores)
        return len(clocks) == 2

    result = train(
        small("budget_kimg=5"), run_dir=tmp_path / "run", on_score=on_score, progress=False
    )
    assert result["status"] == "pruned" and len(clocks) == 2
    assert result["kimg"] == pytest.approx(1.0, abs=0.05)


def test_non_finite_loss_stops_the_run_as_diverged(tmp_path: Path) -> None:
    options = ["model=wgan", "data=ring", "metrics=none", "budget_kimg=20"]
    options += ["model.weight_clip=null", "model.optimizer.discriminator.lr=1e18"]
    words = [w for w in SMALL if not w.startswith(("metrics.", "model.generator", "model.disc"))]
    result = train(config.compose([*words, *options]), run_dir=tmp_path / "r", progress=False)
    assert result["status"] == "diverged", result["reason"]
    assert "kimg" in result["reason"] and result["kimg"] < 20


@pytest.mark.parametrize("rows", [1, 1000])
def test_non_finite_loss_of_the_last_steps_is_no_finished_run(rows: int, tmp_path: Path) -> None:
    """Fewer steps are left than until the next look, and until the next row or not."""
    options = ["model=wgan", "data=ring", "metrics=none", "budget_kimg=1"]
    options += ["model.weight_clip=null", "model.optimizer.discriminator.lr=1e18"]
    options += [f"callbacks.losses.every_steps={rows}", "callbacks.stop_on_failure.every_steps=999"]
    words = [w for w in SMALL if not w.startswith(("metrics.", "model.generator", "model.disc"))]
    result = train(config.compose([*words, *options]), run_dir=tmp_path / "r", progress=False)
    assert result["status"] == "diverged" and "loss/" in result["reason"], result["reason"]


def test_constant_generator_stops_the_run_as_collapsed(tmp_path: Path) -> None:
    options = ["data=ring", "metrics=none", "budget_kimg=20", "model.optimizer.generator.lr=0"]
    options += [f"callbacks.stop_on_failure.collapse_{w}" for w in ("kimg=1", "spread=1000")]
    words = [w for w in SMALL if not w.startswith(("metrics.", "model.generator", "model.disc"))]
    result = train(config.compose([*words, *options]), run_dir=tmp_path / "r", progress=False)
    assert result["status"] == "collapsed", result["reason"]
    assert result["stopped_by"] == "stop_on_failure"
    assert "constant" in result["reason"] and 1 < result["kimg"] < 8


def test_crash_leaves_a_record_that_says_what_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gansweep.callbacks.samples import Samples

    def broken(self: Samples, module: object) -> None:
        raise ZeroDivisionError("grid")

    monkeypatch.setattr(Samples, "work", broken)
    with pytest.raises(ZeroDivisionError):
        train(small("budget_kimg=0.1"), run_dir=tmp_path / "run", progress=False)
    result = RunRecord(tmp_path / "run").result()
    assert result is not None
    assert result["status"] == "failed" and "ZeroDivisionError: grid" in result["reason"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["batch_size=2000"], ["batch_size=2000", "1294"]),
        (["trainer.precision=16-mixed"], ["16-mixed", "bf16-mixed"]),
        (["data.image_size=30"], ["image size 30", "data.image_size=28 or 32"]),
    ],
)
def test_bad_options_write_nothing(tmp_path: Path, options: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        train(small(*options), run_dir=tmp_path / "run", progress=False)
    assert all(word in str(caught.value) for word in words), caught.value
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("short_training")
def test_a_classifier_too_weak_to_measure_with_ends_the_run_before_its_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSWEEP_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for number in range(80):
        folder = tmp_path / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)  # no class can be told from them
        Image.fromarray(pixels).save(folder / f"{number}.png")
    words = ["data=image_folder", f"data.root={tmp_path / 'pictures'}", "data.image_size=8"]
    with pytest.raises(UserError, match=r"metrics\.min_test_accuracy="):
        train(small(*words), run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_no_permission_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match="runs_dir="):
        train(small("~callbacks.quality"), run_dir=tmp_path / "x", progress=False)


@pytest.mark.slow
def test_sigterm_saves_and_resume_goes_on(tmp_path: Path, processes: Processes) -> None:
    command = ["-m", "gansweep", "train"]
    words = [*SMALL, f"runs_dir={tmp_path}", "name=run", "budget_kimg=100000"]
    process = processes.forked(*command, *words)
    history = tmp_path / "digits" / "run" / "history.jsonl"

    def at_work() -> bool:
        assert process.poll() is None, process.communicate()
        return history.exists() and history.stat().st_size > 2000

    wait_until(at_work)
    process.send_signal(signal.SIGTERM)
    said_by(process)
    record = RunRecord(tmp_path / "digits" / "run")
    result = record.result()
    assert result is not None and result["status"] == "interrupted"
    more = f"budget_kimg={result['kimg'] + 1}"
    again = processes.forked(*command, f"resume={record.directory}", more)
    _, err = said_by(again)
    assert again.returncode == 0, err
    final = record.result()
    assert final is not None and final["status"] == "finished"
    assert final["kimg"] >= result["kimg"] + 1


@pytest.mark.slow
def test_resume_is_exact_in_double_precision(tmp_path: Path) -> None:
    options = ["model=dcgan", "model.ema_kimg=0.2", "trainer.precision=64-true", "metrics=none"]
    words = [w for w in SMALL if not w.startswith("metrics.")]
    for name, budgets in (("whole", (1.2,)), ("cut", (0.6, 1.2))):
        for budget in budgets:
            cfg = config.compose([*words, *options, f"budget_kimg={budget}"])
            train(cfg, run_dir=tmp_path / name, progress=False)
    whole, cut = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "cut")
    )
    same(whole["game"], cut["game"])
    weights = whole["game"]["averages"]["generator"].values()
    assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float64}


def test_continued_run_keeps_its_precision(tmp_path: Path) -> None:
    from gansweep.run.resume import resumed

    train(small("budget_kimg=0.1"), run_dir=tmp_path / "run", progress=False)
    cfg = config.compose([f"resume={tmp_path / 'run'}", "trainer.precision=64-true"])
    with pytest.raises(UserError, match="trainer.precision=32-true"):
        resumed(cfg, ["trainer.precision=64-true"], None)


def test_last_checkpoint_is_kept_up_while_the_objective_keeps_improving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gansweep.callbacks import checkpoint
    from gansweep.callbacks.checkpoint import Checkpoint

    now = [0.0]
    saved: list[str] = []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    save = Checkpoint.save

    def kept(self: Checkpoint, trainer: Any, module: Any, name: str) -> None:
        saved.append(name)
        save(self, trainer, module, name)

    monkeypatch.setattr(Checkpoint, "save", kept)
    monkeypatch.setattr(
        "gansweep.callbacks.journal.Journal.objective_just_improved", property(lambda self: True)
    )
    original = Checkpoint.after_step

    def later(self: Checkpoint, *arguments: Any) -> None:
        now[0] += 3  # seconds a step: an improvement every 48, a last.pt due every 30
        original(self, *arguments)

    monkeypatch.setattr(Checkpoint, "after_step", later)
    train(small("budget_kimg=4"), run_dir=tmp_path / "run", progress=False)
    assert saved.count("best.pt") >= 7
    assert saved.count("last.pt") >= 4 * 1000 / 32 * 3 / 33 - 1


@pytest.mark.parametrize("status", ["finished", "diverged"])
def test_run_without_a_step_left_keeps_what_its_result_states(tmp_path: Path, status: str) -> None:
    """A run diverges at its last step where its last samples are not finite."""
    cfg = small("budget_kimg=0.1")
    record = RunRecord(tmp_path / "run")
    train(cfg.copy(), run_dir=record.directory, progress=False)
    record.write_result({**(record.result() or {}), "status": status})
    before = record.result_path.read_bytes(), record.config_path.read_bytes()
    again = train(small("budget_kimg=0.05"), run_dir=record.directory)
    assert (record.result_path.read_bytes(), record.config_path.read_bytes()) == before
    assert again == {**(record.result() or {}), "directory": str(record.directory)}
    assert again["images_per_second"] > 0


def test_torchrun_is_refused_with_the_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="without torchrun"):
        train(small("budget_kimg=0.1"), run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_score_that_is_not_finite_is_never_the_best() -> None:
    from gansweep.callbacks.journal import Journal
    from gansweep.metrics.protocol import Score

    journal = Journal(None, None)
    protocol = {"score": "fid", "direction": "minimize", "n_fake": 10}
    protocol |= {"backbone": "inception", "split": "train"}
    for kimg, value in enumerate([float("nan"), 5.0, float("nan"), 7.0], start=1):
        journal.score(kimg * 1000, {"fid_10_train": Score(value, protocol)})
    assert journal.best["fid_10_train"] == {"value": 5.0, "kimg": 2.0}


def test_scores_of_another_moment_do_not_make_a_best_checkpoint() -> None:
    """Else callbacks.game_at_rest would replace best.pt by weights that were not measured."""
    from gansweep.callbacks.journal import Journal
    from gansweep.metrics.protocol import Score

    journal = Journal(None, None)
    journal.objective = "fid"
    journal.score(1000, {"fid": Score(5.0, {"score": "fid", "direction": "minimize"})})
    assert journal.objective_just_improved
    journal.score(1000, {"distance": Score(1.0, {"score": "distance", "direction": None})})
    assert journal.objective_just_improved, "of the same weights"
    journal.score(2000, {"distance": Score(1.0, {"score": "distance", "direction": None})})
    assert not journal.objective_just_improved


def test_command_of_a_sweeps_run_trains_it_again_outside_the_sweep(tmp_path: Path) -> None:
    words = ["model=dcgan", "model.optimizer.generator.betas=[0.5, 0.9]", "budget_kimg=0.1"]
    entry = {"name": "s", "key": "t0000", "role": "trial", "params": {}, "attempt": 1}
    result = train(
        small(*words),
        run_dir=tmp_path / "s" / "t0000",
        progress=False,
        sweep=entry,
        overrides=[*words, "group=s", "name=t0000"],
        config_dir="my configs",
    )
    expected = "gansweep train --config-dir 'my configs' model=dcgan "
    expected += "'model.optimizer.generator.betas=[0.5, 0.9]' budget_kimg=0.1"
    assert result["command"] == expected


def test_options_of_networks_that_points_do_not_use_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data=ring", "model.generator.width=8", "model.points.generator.width=16"]
    words += ["metrics=none", "tracker=none", "trainer=cpu", "budget_kimg=0.1"]
    train(config.compose(words), run_dir=tmp_path / "run", overrides=words)
    err = capsys.readouterr().err
    assert "model.generator.width has no effect on points: use model.points.generator.width" in err
    assert err.count("has no effect") == 1
