"""A damaged checkpoint is never loaded, and the run loses only its last few seconds."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gansweep import compose, train
from gansweep.callbacks.checkpoint import (
    DamagedCheckpointError,
    as_bytes,
    last_intact,
    read_checkpoint,
)
from gansweep.callbacks.losses import Losses
from gansweep.callbacks.memorised import Memorised
from gansweep.callbacks.quality import Quality
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.records.record import ROW_OF_SOURCE, RunRecord

Command = Callable[..., Any]
TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
TINY += ["budget_kimg=0.32", "tracker=none", "trainer=cpu", "callbacks.losses.every_steps=2"]
TINY += ["callbacks.checkpoint.every_seconds=0", "~callbacks.samples"]


def state(kimg: float) -> dict[str, Any]:
    game = {"images_seen": int(1000 * kimg), "weight": torch.full((50, 50), kimg)}
    return {"game": game, "journal": {"seconds": 2 * kimg}}


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """Saved at 1 kimg (the best), 2 and 3 kimg; the last one is damaged."""
    record = RunRecord.create(tmp_path / "group" / "run", "seed: 0\n")
    record.write(record.best, as_bytes(state(1.0)))
    record.keep_last(as_bytes(state(2.0)))
    record.keep_last(as_bytes(state(3.0)))
    record.append({"kimg": 0.5})
    flip(record.last, 4000)
    return record


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    content = as_bytes(state(1.0))
    path = tmp_path / "last.pt"
    rng = random.Random(0)
    bits = rng.sample(range(8 * len(content)), 200)
    bits += range(8 * (len(content) - 110), 8 * len(content), 3)  # the digest and what is around
    for bit in bits:
        path.write_bytes(content)
        flip(path, bit)
        with pytest.raises(DamagedCheckpointError, match=r"last\.pt is damaged"):
            read_checkpoint(path)
    path.write_bytes(content)
    assert torch.equal(read_checkpoint(path)["game"]["weight"], torch.ones(50, 50))


@pytest.mark.parametrize("left", [0, 1, 21, 22, 100, -1])
def test_torn_checkpoint_is_refused(tmp_path: Path, left: int) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(as_bytes(state(1.0))[:left])
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)


def test_a_refusal_names_the_checkpoints_that_can_be_read(record: RunRecord) -> None:
    with pytest.raises(DamagedCheckpointError, match=r"Use checkpoint=best or a backup"):
        read_checkpoint(record.last)
    flip(record.best, 4000)
    with pytest.raises(DamagedCheckpointError, match=r"No other one of the run is intact: use a"):
        read_checkpoint(record.last)


def test_other_tools_read_a_checkpoint_with_a_digest(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(as_bytes(state(1.0)))
    assert torch.load(path, weights_only=True)["game"]["images_seen"] == 1000
    assert zipfile.ZipFile(path).testzip() is None


def test_older_checkpoint_without_a_digest_is_loaded_and_that_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = io.BytesIO()
    torch.save(state(1.0), archive)
    path = tmp_path / "last.pt"
    path.write_bytes(archive.getvalue())
    assert read_checkpoint(path)["game"]["images_seen"] == 1000
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line and "without a digest" in line


def test_damaged_last_checkpoint_gives_way_to_the_one_before(
    record: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    found = last_intact(record)
    assert found is not None and found["game"]["images_seen"] == 2000
    assert read_checkpoint(record.last)["game"]["images_seen"] == 2000
    (line,) = capsys.readouterr().err.splitlines()
    assert "last.pt is damaged" in line and "continues from previous.pt, at 2 kimg" in line
    note = record.history()[-1]
    assert note["kimg"] == 2.0 and line.endswith(note["note"])


def test_best_checkpoint_comes_after_the_one_before(record: RunRecord) -> None:
    flip(record.previous, 4000)
    found = last_intact(record)
    assert found is not None and found["game"]["images_seen"] == 1000


def test_run_without_a_whole_checkpoint_is_refused_but_in_a_sweep_begins_again(
    record: RunRecord,
) -> None:
    record.previous.unlink()
    flip(record.best, 4000)
    with pytest.raises(DamagedCheckpointError, match="no other one of the run is intact"):
        last_intact(record)
    assert last_intact(record, or_anew=True) is None
    assert "starts again" in record.history()[-1]["note"]
    assert last_intact(record) is None


def test_last_checkpoint_that_made_way_for_one_that_never_came_is_continued(
    record: RunRecord,
) -> None:
    """The process was killed between two renames, on a file system without links."""
    record.last.unlink()
    found = last_intact(record)
    assert found is not None and found["game"]["images_seen"] == 2000
    assert len(record.history()) == 1


@pytest.mark.parametrize("error", [MemoryError("no memory"), PermissionError(13, "not yours")])
def test_whole_checkpoint_that_cannot_be_read_now_is_not_given_up(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    record.keep_last(as_bytes(state(3.0)))

    def load(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises((MemoryError, UserError), match="no memory|cannot be read"):
        last_intact(record, or_anew=True)
    monkeypatch.undo()
    assert read_checkpoint(record.last)["game"]["images_seen"] == 3000


def test_checkpoint_from_before_another_runs_weights_were_taken_over_is_not_gone_on_from(
    record: RunRecord,
) -> None:
    record.append({"kimg": 2.0, ROW_OF_SOURCE: "another"})
    with pytest.raises(DamagedCheckpointError):
        last_intact(record, or_anew=True)


def losses(record: RunRecord) -> list[tuple[float, float]]:
    return [(r["kimg"], r["loss/generator"]) for r in record.history() if "loss/generator" in r]


@pytest.mark.slow
def test_run_with_a_damaged_checkpoint_ends_as_if_it_had_not_been(
    command: Command, tmp_path: Path
) -> None:
    words = [*TINY, "metrics=none"]
    assert command("train", *words, "name=run").code == 0
    run = RunRecord(tmp_path / "runs" / "digits" / "run")
    flip(run.last, 40000)
    done = command("train", f"resume={run.directory}", "budget_kimg=0.64")
    assert done.code == 0 and "continues from previous.pt, at 0.288 kimg" in done.err
    assert command("train", *words, "name=whole", "budget_kimg=0.64").code == 0
    assert losses(run) == losses(RunRecord(run.directory.with_name("whole")))

    flip(run.last, 40000)
    flip(run.previous, 40000)
    done = command("train", f"resume={run.directory}", "budget_kimg=0.8")
    done.is_refused_with(
        "last.pt is damaged", "no other one of the run is intact", "start the run again"
    )
    cfg = compose([*words, "budget_kimg=0.64"])
    result = train(cfg, run_dir=run.directory, sweep={"name": "s", "role": "trial"}, progress=False)
    assert result["status"] == "finished" and "starts again" in run.history()[0]["note"]
    assert losses(run) == losses(RunRecord(run.directory.with_name("whole")))

    flip(run.last, 40000)
    done = command("generate", str(run.directory), "checkpoint=last")
    done.is_refused_with("last.pt is damaged", "digest", "No other one")


RING = ["model=gan", "data=ring", "batch_size=32", "tracker=none", "trainer=cpu", "metrics=none"]
RING += [f"model.points.{player}.width=8" for player in ("generator", "discriminator")]


def test_numbers_of_numpy_in_the_journal_do_not_keep_a_run_from_being_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(self: Losses, module: Adversarial) -> None:
        self.journal.log(module.images_seen, {"mine": np.float64(0.5)})

    monkeypatch.setattr(Losses, "look", look)
    train(compose([*RING, "budget_kimg=0.16"]), run_dir=tmp_path / "run", progress=False)
    kept = read_checkpoint(RunRecord(tmp_path / "run").last)
    assert kept["journal"]["latest"]["mine"] == 0.5


def test_a_callbacks_state_that_cannot_be_read_back_is_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Losses, "state_dict", lambda self: {"sums": np.zeros(3)})
    with pytest.raises(UserError, match=r"callback Losses cannot be read back.*torch\.from_numpy"):
        train(compose([*RING, "budget_kimg=0.16"]), run_dir=tmp_path / "run", progress=False)
    assert not RunRecord(tmp_path / "run").history()


def test_two_callbacks_of_a_class_keep_a_state_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, dict[str, Any]]] = []

    def restored(self: Losses, state: dict[str, Any]) -> None:
        given.append((self.every_steps or 0, state))

    monkeypatch.setattr(Losses, "state_key", property(lambda self: f"Losses {self.every_steps}"))
    monkeypatch.setattr(Losses, "state_dict", lambda self: {"every": self.every_steps})
    monkeypatch.setattr(Losses, "load_state_dict", restored)
    second = "+callbacks.second={_target_: gansweep.callbacks.losses.Losses, every_steps: 3}"
    words = [*RING, "callbacks.losses.every_steps=2", second]
    for budget in ("budget_kimg=0.16", "budget_kimg=0.32"):
        train(compose([*words, budget]), run_dir=tmp_path / "run", progress=False)
    assert given == [(2, {"every": 2}), (3, {"every": 3})]


def kill_in(
    patch: pytest.MonkeyPatch, owner: type, name: str, is_time: Callable[[Adversarial], bool]
) -> None:
    """End the process, as it were, where a callback's method is called at that time."""
    work = getattr(owner, name)

    def killed(self: Any, module: Adversarial) -> None:
        if is_time(module):
            raise KeyboardInterrupt
        work(self, module)

    patch.setattr(owner, name, killed)


def test_run_killed_in_its_last_evaluation_has_it_when_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*(w for w in RING if w != "metrics=none"), "~callbacks.samples", "metrics.n_fake=64"]
    words += ["callbacks.quality.every_kimg=0.3", "callbacks.checkpoint.every_seconds=0"]
    cfg = compose([*words, "budget_kimg=0.4"])
    with monkeypatch.context() as patch:
        kill_in(patch, Quality, "work", lambda module: module.images_seen >= 400)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), run_dir=tmp_path / "run", progress=False)
    result = train(cfg.copy(), run_dir=tmp_path / "run", progress=False)
    assert {entry["kimg"] for entry in result["last"].values()} == {0.416}


def test_number_of_a_callback_named_after_the_checkpoint_is_not_lost_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As callbacks=diagnosis names the duality gap, which may take minutes."""
    last = "+callbacks.last={_target_: gansweep.callbacks.memorised.Memorised, every_steps: 3}"
    words = [*RING, last, "budget_kimg=0.2", "callbacks.checkpoint.every_seconds=0"]
    cfg = compose(words)
    with monkeypatch.context() as patch:
        kill_in(patch, Memorised, "look", lambda module: module.steps == 3)
        with pytest.raises(KeyboardInterrupt):
            train(cfg.copy(), run_dir=tmp_path / "run", progress=False)
    train(cfg.copy(), run_dir=tmp_path / "run", progress=False)
    rows = RunRecord(tmp_path / "run").history()
    assert [row["kimg"] for row in rows if "memorised/share" in row] == [0.096, 0.192]
