"""A run without a checkpoint: it is not trained over what it recorded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gansweep.config.compose import compose
from gansweep.errors import UserError
from gansweep.records.record import RunRecord
from gansweep.run.track import track
from gansweep.run.train import train

Command = Callable[..., Any]
TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
TINY += ["budget_kimg=0.1", "tracker=none", "metrics=none", "trainer=cpu"]


@pytest.fixture
def run(command: Command, tmp_path: Path) -> RunRecord:
    """128 images, with a row for each of 4 steps."""
    assert command("train", *TINY, "callbacks.losses.every_steps=1", "name=run").code == 0
    return RunRecord(tmp_path / "runs" / "digits" / "run")


def losses(record: RunRecord) -> list[tuple[float, float]]:
    return [(row["kimg"], row["loss/generator"]) for row in record.history()]


def killed(record: RunRecord) -> None:
    """Leave the record as SIGKILL does: the result is that of the start."""
    result = json.loads(record.result_path.read_bytes())
    record.result_path.write_text(json.dumps(result | {"status": "running", "kimg": 0.0}))


def contents(record: RunRecord) -> dict[str, bytes]:
    files = (p for p in record.directory.rglob("*") if p.is_file() and ".writer" not in p.name)
    return {str(p): p.read_bytes() for p in files}


def test_killed_run_that_saves_no_checkpoints_keeps_its_history(
    command: Command, tmp_path: Path
) -> None:
    words = ["~callbacks.checkpoint", "callbacks.losses.every_steps=1", "name=run"]
    assert command("train", *TINY, *words).code == 0
    record = RunRecord(tmp_path / "runs" / "digits" / "run")
    killed(record)
    before = contents(record)
    done = command("train", f"resume={record.directory}")
    done.is_refused_with("has no checkpoint", "erase its 0.128 kimg", "Start a new run")
    with pytest.raises(UserError, match="has no checkpoint"):
        train(compose([*TINY, *words]), run_dir=record.directory, progress=False)
    assert contents(record) == before


def test_killed_run_starts_anew_only_until_its_first_checkpoint_was_due(
    command: Command, run: RunRecord
) -> None:
    killed(run)
    run.last.unlink()
    before = losses(run)
    run.append({"kimg": 0.2, "seconds": 3600.0, "loss/generator": 0.5})
    command("train", f"resume={run.directory}").is_refused_with("erase its 0.2 kimg")
    run.truncate_history(0.128)
    assert command("train", f"resume={run.directory}").code == 0
    assert losses(run) == before


def test_python_call_does_not_write_over_a_run_without_checkpoints(run: RunRecord) -> None:
    run.last.unlink()  # as gansweep prune does
    before = contents(run)
    with pytest.raises(UserError, match="has no checkpoint.*erase its 0.128 kimg"):
        train(compose(TINY), run_dir=run.directory, progress=False)
    assert contents(run) == before


def test_tracked_run_is_not_trained_over(tmp_path: Path) -> None:
    with track({"lr": 0.1}, model="mine", data="digits", runs_dir=tmp_path) as tracked:
        tracked.log(1.0, {"loss/generator": 0.5})
    record = RunRecord(tracked.directory)
    before = contents(record)
    with pytest.raises(UserError, match=r"recorded by gansweep\.track.*another directory"):
        train(compose(TINY), run_dir=record.directory, progress=False)
    assert contents(record) == before


@pytest.mark.parametrize(("images", "stays"), [(0, False), (64, True)])
def test_error_before_the_first_checkpoint_keeps_what_was_recorded(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, stays: bool
) -> None:
    from gansweep.callbacks.losses import Losses

    def look(self: Losses, module: Any) -> None:
        if module.images_seen >= images:
            raise UserError("It ends. Begin again.")
        self.journal.log(module.images_seen, {"loss/generator": 0.0})

    monkeypatch.setattr(Losses, "look", look)
    done = command("train", *TINY, "callbacks.losses.every_steps=1")
    done.is_refused_with("It ends. Begin again.", after="kimg")
    record = RunRecord(tmp_path / "runs" / "digits" / "dcgan-001")
    assert record.directory.exists() == stays
    assert [kimg for kimg, _ in losses(record)] == ([0.032] if stays else [])
