"""The examples of the guide, which its pages show from these very files: each does what it says."""

import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import TOP

from gansweep.config.compose import compose
from gansweep.errors import UserError
from gansweep.records.record import RunRecord
from gansweep.run.build import build_data

EXAMPLE = TOP / "tests" / "docs" / "example"
SMALL = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
SMALL += ["budget_kimg=0.128", "tracker=none", "trainer=cpu", "metrics.n_fake=100"]


@pytest.fixture(autouse=True)
def in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


def test_one_run_with_a_loss_a_game_a_penalty_a_callback_and_a_score_of_ones_own(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    packages = "my_losses,my_game,my_penalties,my_terms,my_callbacks,my_scores"
    done = command(
        *("train", "--config-dir", str(EXAMPLE / "conf"), "model=my_game", "callbacks=mine"),
        "model.loss._target_=my_losses.SmoothedNonSaturating",
        "+model.penalties.one_sided={_target_: my_penalties.OneSided, weight: 10}",
        "+model.terms.drift={_target_: my_terms.Drift, weight: 0.001}",
        *("+metrics.own.sliced._target_=my_scores.Sliced", "metrics.scores=[fid]"),
        *("callbacks.weight_norms.every_steps=1", "callbacks.losses.every_steps=1"),
        *(f"extra_packages=[{packages}]", *SMALL),
    )
    assert done.code == 0, done.err
    (place,) = (tmp_path / "runs" / "digits").iterdir()
    record = RunRecord(place)
    curves = {name for row in record.history() for name in row}
    assert {"diversity", "penalty/one_sided", "term/drift", "weight_norm/discriminator"} <= curves
    result = record.result()
    assert result["game"]["loss"]["tie"] == pytest.approx(math.log(4))
    protocol = result["protocols"]["sliced_digitsnet1_100_train"]
    assert protocol["direction"] == "minimize" and protocol["projections"] == 64
    assert result["last"]["sliced_digitsnet1_100_train"]["value"] > 0


def test_value_of_the_loss_at_a_tie() -> None:
    from my_losses import SmoothedNonSaturating  # type: ignore[import-not-found]

    loss, zeros = SmoothedNonSaturating(smoothing=0.2), torch.zeros(4)
    assert loss.discriminator(zeros, zeros).item() == pytest.approx(loss.tie)
    with pytest.raises(UserError, match=r"smoothing=0\.7"):
        SmoothedNonSaturating(smoothing=0.7)


def test_penalty_counts_slopes_above_one_alone() -> None:
    from my_penalties import OneSided  # type: ignore[import-not-found]

    penalty, points = OneSided(weight=10), torch.zeros(3, 2)
    draw = {"epsilon": torch.zeros(3, 1)}
    for slope, expected in ((0.5, 0.0), (1.0, 0.0), (3.0, 4.0)):
        value = penalty(lambda x, s=slope: s * x[:, 0], points, points, draw)
        assert value.item() == pytest.approx(expected)


def test_score_is_the_shift_of_one_dimension() -> None:
    from my_scores import SlicedDistance  # type: ignore[import-not-found]

    real = torch.linspace(0, 1, 50)[:, None]
    metric = SlicedDistance(real, n_projections=3)
    metric.update(torch.arange(50), real + 2)
    assert metric.compute()["sliced"].item() == pytest.approx(2, abs=1e-5)


def test_data_are_read_from_their_folder(tmp_path: Path) -> None:
    for split, n in (("train", 100), ("test", 20)):
        images = np.full((n, 1, 8, 8), 255, dtype=np.uint8)
        np.savez(tmp_path / f"{split}.npz", images=images, labels=np.arange(n) % 3)
    words = ["data=my_data", f"data.root={tmp_path}", "extra_packages=[my_data]"]
    data = build_data(compose(words, config_dir=EXAMPLE / "conf"))
    assert data.shape == (1, 8, 8) and data.n_classes == 3
    assert (data.n_train, data.n_validation, data.n_test) == (90, 10, 20)
    batch = next(data.train_batches(8, seed=0, device="cpu"))
    assert batch.images.shape == (8, 1, 8, 8) and batch.images.eq(1).all()


@pytest.mark.slow
def test_code_of_the_page_on_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (TOP / "docs" / "python.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    short = code.replace('"budget_kimg=20"', '"budget_kimg=0.128", "tracker=none", "metrics=none"')
    assert short != code
    # the reader's own parts of the training loop
    own = {"train_step": lambda: (1.4, 0.7), "fid": lambda: 30.0, "images": torch.zeros(4, 1, 8, 8)}
    found: dict[str, Any] = {"steps": 500, **own}
    exec(compile(short, "python.md", "exec"), found)
    assert found["samples"].shape == (16, 1, 8, 8)
    result = RunRecord(tmp_path / "runs" / "digits" / "mine-001").result()
    assert result["status"] == "finished" and result["last"]["fid_10k_train"]["value"] == 30
