"""Training on a GPU: the same loop, data that stay on the device, exact continuation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config import compose as config
from gansweep.metrics.panel import Panel
from gansweep.metrics.protocol import Score
from gansweep.records.record import RunRecord
from gansweep.run.build import build_data
from gansweep.run.train import train

pytestmark = pytest.mark.gpu

TINY = ["trainer=gpu", "model=dcgan", "model.generator.width=8", "model.discriminator.width=8"]
TINY += ["batch_size=32", "tracker=none", "metrics=none", "callbacks.losses.every_steps=1"]


def tiny(*overrides: str) -> DictConfig:
    return config.compose([*TINY, *overrides])


def losses(directory: Path) -> list[float]:
    rows = RunRecord(directory).history()
    return [row[key] for row in rows for key in row if key.startswith("loss/")]


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fixed order of summation in every kernel, so that two runs are equal bit by bit."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_steps_are_finite_and_the_record_names_the_gpu(tmp_path: Path, precision: str) -> None:
    cfg = tiny("budget_kimg=0.064", f"trainer.precision={precision}", "model.ema_kimg=0.1")
    result = train(cfg, run_dir=tmp_path / "r", progress=False)
    assert result["status"] == "finished" and result["kimg"] == 0.064
    found = losses(tmp_path / "r")
    assert len(found) == 4 and bool(torch.tensor(found).isfinite().all())
    assert torch.cuda.get_device_name(0) in str(result["hardware"])
    assert 0 < result["peak_memory_mib"] < torch.cuda.mem_get_info()[1] / 2**20
    state = read_checkpoint(tmp_path / "r" / "checkpoints" / "last.pt")["game"]
    for player in state["players"].values():
        assert all(v.dtype == torch.float32 for v in player.values() if v.is_floating_point())


@pytest.mark.parametrize("variant", ["wgan_gp", "r3gan"])
def test_penalties_are_finite_under_bf16(tmp_path: Path, variant: str) -> None:
    words = [f"model={variant}", "trainer.precision=bf16-mixed", "budget_kimg=0.32"]
    if variant == "r3gan":
        words += ["model.generator.blocks=1", "model.discriminator.blocks=1"]
    result = train(tiny(*words), run_dir=tmp_path / "r", progress=False)
    assert result["status"] == "finished"
    rows = RunRecord(tmp_path / "r").history()
    found = [row[key] for row in rows for key in row if key.startswith("penalty/")]
    assert found and all(value is not None for value in found)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Inductor's own imports
def test_compiled_networks_train_as_eager_ones(tmp_path: Path) -> None:
    for compiled in ("false", "true"):
        cfg = tiny("budget_kimg=0.064", f"trainer.compile={compiled}")
        train(cfg, run_dir=tmp_path / compiled, progress=False)
    assert losses(tmp_path / "true") == pytest.approx(losses(tmp_path / "false"), abs=1e-3)


def test_gpu_begins_as_the_cpu_does(tmp_path: Path) -> None:
    """The same weights and data; only the noise of training is different."""
    for trainer in ("cpu", "gpu"):
        cfg = tiny(f"trainer={trainer}", "model.optimizer.generator.lr=0", "budget_kimg=0.032")
        train(cfg, run_dir=tmp_path / trainer, progress=False)
    games = [
        read_checkpoint(tmp_path / trainer / "checkpoints" / "last.pt")["game"]["players"]
        for trainer in ("cpu", "gpu")
    ]
    for name, weight in games[0]["generator"].items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(games[1]["generator"][name], weight, rtol=0, atol=0)


@pytest.mark.usefixtures("exact")
def test_resume_is_bit_identical_to_an_uninterrupted_run(tmp_path: Path) -> None:
    train(tiny("budget_kimg=0.64"), run_dir=tmp_path / "whole", progress=False)
    train(tiny("budget_kimg=0.32"), run_dir=tmp_path / "cut", progress=False)
    torch.manual_seed(12345)  # another process starts with another global state
    torch.cuda.manual_seed_all(12345)
    train(tiny("budget_kimg=0.64"), run_dir=tmp_path / "cut", progress=False)
    whole, cut = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "cut")
    )
    for player, weights in whole["game"]["players"].items():
        for name, weight in weights.items():
            assert torch.equal(weight, cut["game"]["players"][player][name]), (player, name)
    assert torch.equal(whole["game"]["draws"], cut["game"]["draws"])
    assert losses(tmp_path / "cut")[-2:] == losses(tmp_path / "whole")[-2:]


def test_data_stay_on_the_device() -> None:
    """After the first batch nothing is copied from the host but an index."""
    data = build_data(tiny())
    batches = data.train_batches(64, seed=0, device="cuda")
    first = next(batches)
    assert first.images.device.type == "cuda" and first.labels is not None
    assert first.labels.device.type == "cuda"
    before = torch.cuda.memory_allocated()
    for _ in range(50):
        batch = next(batches)
        assert batch.images.dtype == torch.float32
    images = batch.images.numel() * batch.images.element_size()
    assert torch.cuda.memory_allocated() - before < 10 * images
    host = next(data.train_batches(64, seed=0, device="cpu"))
    torch.testing.assert_close(first.images.cpu(), host.images, rtol=0, atol=1e-6)
    assert torch.equal(first.labels.cpu(), host.labels)


# the discriminator differs between devices, and rounding may move a sample over an edge
LEEWAY = {"fifty_fifty": 0.1, "mode_counts": 1, "ndb": 1}


@pytest.mark.parametrize("data", ["digits", "ring"])
def test_every_score_is_on_the_gpu_what_it_is_on_the_cpu(data: str) -> None:
    """Samples are on the model's device, and near enough to real ones for every score."""
    source = build_data(config.compose([f"data={data}"]))
    real = torch.cat([chunk for chunk, _ in source.arrays("train", 1000)])
    scale = 1.0 if source.is_points else 127.5

    def scores(device: str) -> dict[str, Score]:
        def generate(n: int, rng: torch.Generator) -> torch.Tensor:
            chosen = real[torch.randint(len(real), (n,), generator=rng)].float() / scale
            noise = torch.randn(chosen.shape, generator=rng)
            made = chosen + 0.01 * noise if source.is_points else chosen - 1 + 0.2 * noise
            return made.to(device)

        panel = Panel(source, n_fake=400, scores="all")
        panel.prepare(device)
        found = panel.score(generate)
        assert not panel.notes
        return found

    on_cpu, on_gpu = scores("cpu"), scores("cuda")
    assert on_cpu and list(on_cpu) == list(on_gpu)
    for name, score in on_cpu.items():
        leeway = LEEWAY.get(score.protocol["score"], 5e-3)
        assert on_gpu[name].value == pytest.approx(score.value, rel=2e-3, abs=leeway), name


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_all_that_watches_a_run_works_on_the_gpu(tmp_path: Path, precision: str) -> None:
    words = [word for word in TINY if word != "metrics=none"]
    words += [f"trainer.precision={precision}", "callbacks=diagnosis", "budget_kimg=1"]
    words += ["callbacks.duality_gap.every_kimg=0.5", "callbacks.duality_gap.steps=3"]
    words += ["callbacks.quality.every_kimg=0.5", "callbacks.neighbours.every_kimg=0.5"]
    words += ["callbacks.overfitting.every_steps=10", "callbacks.balance.every_steps=10"]
    words += ["callbacks.gradients.every_steps=10", "callbacks.stop_on_failure.every_steps=10"]
    words += ["metrics.n_fake=250", "metrics.scores=all"]
    result = train(config.compose(words), run_dir=tmp_path / "r", progress=False)
    assert result["status"] in ("finished", "collapsed", "diverged"), result["reason"]
    record = RunRecord(tmp_path / "r")
    names = {name for row in record.history() for name in row}
    assert {"game/duality_gap", "overfit/r_t", "balance/distance", "spread/fakes"} <= names
    assert record.sheet_files()
