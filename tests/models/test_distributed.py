"""Two processes on CPU (gloo) train as one process does with the same global batch."""

import os
import signal
from pathlib import Path

import pytest
import torch
from processes import Processes, children, said_by, wait_until

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config import compose as config
from gansweep.errors import UserError
from gansweep.models.distributed import Ranks
from gansweep.records.record import RunRecord
from gansweep.run.train import train

BARE = [
    "metrics=none",
    "tracker=none",
    "trainer=cpu",
    "~callbacks.quality",
    "~callbacks.samples",
    "model.generator.width=8",
    "model.discriminator.width=8",
    "batch_size=16",
    "budget_kimg=0.16",
]
NETWORKS = {
    "dcgan": ["model.generator.norm=none", "model.discriminator.norm=none"],
    "wgan_gp": ["model.generator.norm=none", "model.n_critic=2", "model.n_generator=2"]
    + ["model.shared_noise=false", "model.generator_batch=2"],
}


def weights_after(
    tmp_path: Path, variant: str, devices: int, precision: str
) -> dict[str, torch.Tensor]:
    cfg = config.compose(
        [
            f"model={variant}",
            *BARE,
            *NETWORKS[variant],
            f"trainer.devices={devices}",
            f"trainer.precision={precision}",
        ]
    )
    directory = tmp_path / f"{variant}-{devices}-{precision}"
    result = train(cfg, run_dir=directory, progress=False)
    assert result["status"] == "finished" and result["kimg"] == 0.16
    players = read_checkpoint(directory / "checkpoints" / "last.pt")["game"]["players"]
    return {f"{name}.{key}": t for name, net in players.items() for key, t in net.items()}


@pytest.mark.slow
def test_two_processes_score_as_one_though_they_share_the_samples_unequally(
    tmp_path: Path, quick_ranks: None
) -> None:
    words = [word for word in BARE if word not in ("metrics=none", "~callbacks.quality")]
    words += ["model=dcgan", "model.sync_batch_norm=true", "trainer.precision=64-true"]
    words += ["metrics.n_fake=530", "metrics.batch_size=100", "callbacks.quality.every_kimg=0.08"]
    results = [
        train(
            config.compose([*words, f"trainer.devices={devices}"]),
            run_dir=tmp_path / f"scored-{devices}",
            progress=False,
        )
        for devices in (1, 2)
    ]
    one, two = (result["last"] for result in results)
    assert len(one) >= 10 and set(one) == set(two)
    for name, last in one.items():
        assert two[name]["value"] == pytest.approx(last["value"], rel=1e-5, abs=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(NETWORKS))
@pytest.mark.parametrize(("precision", "tolerance"), [("64-true", 1e-12), ("32-true", 1e-5)])
def test_two_processes_equal_one(
    tmp_path: Path, quick_ranks: None, variant: str, precision: str, tolerance: float
) -> None:
    one = weights_after(tmp_path, variant, 1, precision)
    two = weights_after(tmp_path, variant, 2, precision)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=tolerance, msg=name)


def test_a_batch_that_cannot_be_divided_names_the_next_that_can(tmp_path: Path) -> None:
    cfg = config.compose([*BARE, "trainer.devices=2", "batch_size=15"])
    with pytest.raises(UserError, match="batch_size=16"):
        train(cfg, run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_signal_to_another_process_is_an_interruption(tmp_path: Path, processes: Processes) -> None:
    """The main process, which was sent nothing, must not call the run finished."""
    words = [w for w in BARE if not w.startswith("budget")]
    options = [*words, "trainer.devices=2", "budget_kimg=100000", f"runs_dir={tmp_path}"]
    process = processes.forked("-m", "gansweep", "train", "model=gan", "name=run", *options)
    record = RunRecord(tmp_path / "digits" / "run")

    def at_work() -> bool:
        assert process.poll() is None, process.communicate()
        return len(record.history()) >= 3

    wait_until(at_work)
    (rank,) = children(process.pid)
    assert "join_ranks" in Path(f"/proc/{rank}/cmdline").read_text()
    os.kill(rank, signal.SIGTERM)
    said_by(process)
    result = record.result()
    assert result is not None and result["status"] == "interrupted"
    assert (record.checkpoints / "last.pt").exists()


def test_process_that_cannot_begin_ends_the_run_at_once() -> None:
    with pytest.raises(RuntimeError, match="ended before training"), Ranks(2, "os:abort", ""):
        pass
    assert "LOCAL_RANK" not in os.environ
