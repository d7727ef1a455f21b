"""Several steps of one `training_step`: the run is the same, and others still see every batch."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from gansweep.callbacks.watcher import GameCallback
from gansweep.config.compose import compose
from gansweep.data.batch import Batch
from gansweep.models.adversarial import Adversarial
from gansweep.models.feed import Feed
from gansweep.models.stretch import Stretch
from gansweep.records.record import RunRecord
from gansweep.run import trainer as made
from gansweep.run.build import load_run
from gansweep.run.train import train

WORDS = [
    "model=gan", "data=ring", "model.batch_size=32", "tracker=none", "trainer=cpu",
    "budget_kimg=6.4", "callbacks.quality.every_kimg=1", "metrics.n_fake=500",
]  # fmt: skip
turns: list[int] = []  # batches of Lightning's loop that a foreign callback saw
steps: list[int] = []


class Foreign(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *rest: Any) -> None:
        turns.append(pl_module.steps)


class StopAt(GameCallback):
    """Gives a verdict after step 70, in the middle of a stretch."""

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        steps.append(module.steps)
        if module.steps == 70:
            self.journal.stop("failed", "as asked", module.images_seen)


def trained(words: list[str], place: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Its rows without what tells the time, and its weights."""
    train(compose([*WORDS, *words]), run_dir=place, progress=False)
    rows = [json.loads(line) for line in RunRecord(place).history_path.read_text().splitlines()]
    timed = ("seconds", "throughput/")
    kept = [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]
    return kept, load_run(place, "last")[0].state_dict()


def test_a_run_of_stretches_is_the_run_of_single_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, weights = trained([], tmp_path / "together")
    monkeypatch.setattr(made, "STEPS_TOGETHER", 1)
    alone, expected = trained([], tmp_path / "alone")
    assert together == alone
    assert len(together) > 50, "rows and scores were written within stretches"
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name


def test_a_verdict_ends_a_stretch_at_its_step(tmp_path: Path) -> None:
    steps.clear()
    words = ["extra_packages=[test_stretches]", "+callbacks.stop._target_=test_stretches.StopAt"]
    rows, _ = trained(words, tmp_path / "run")
    assert steps == list(range(1, 71)), "each step was acted on once, and none came after"
    assert rows[-1]["kimg"] <= 70 * 32 / 1000


def test_callbacks_get_the_batch_on_the_device_of_the_model() -> None:
    """A CUDA device is played by "meta", to which a batch of the CPU can be moved anywhere."""
    batches = [Batch(torch.zeros(2, 1, 4, 4)) for _ in range(3)]
    data: Any = SimpleNamespace(train_batches=lambda *_, **__: iter(batches))
    module: Any = SimpleNamespace(device=torch.device("meta"), images_seen=0, until_kimg=math.inf)
    module.parameters = lambda: iter([torch.zeros(1)])
    feed = Feed(data, module, OmegaConf.create({"batch_size": 2, "budget_kimg": 0.006, "seed": 0}))
    feed.together = 2
    acted: list[Batch] = []
    feed.after = lambda batch: bool(acted.append(batch))  # type: ignore[func-returns-value]
    stretches = [list(stretch) for stretch in feed if isinstance(stretch, Stretch)]
    stepped = [batch for stretch in stretches for batch in stretch]
    assert [len(stretch) for stretch in stretches] == [2, 1] and len(feed) == 2
    assert all(batch.images.device.type == "meta" for batch in stepped)
    assert all(a is b for a, b in zip(acted, stepped, strict=True))


def test_a_callback_of_others_sees_every_batch(tmp_path: Path) -> None:
    turns.clear()
    words = ["extra_packages=[test_stretches]", "+callbacks.own._target_=test_stretches.Foreign"]
    trained(words, tmp_path / "run")
    assert turns == list(range(1, 201))
