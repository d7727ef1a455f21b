"""What every variant of conf/model/ holds beyond one step: exact resume, processes, a sweep."""

from __future__ import annotations

import functools
import pickle
import socket
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import torch.distributed as dist
from forked import ranks
from omegaconf import DictConfig, OmegaConf
from states import same
from sweep_processes import one_worker_here
from torch import Tensor
from variants import VARIANTS, class_of

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.cli.sweep_run import run_sweep
from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.engine.study import SweepStudy
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.models.synchronised import synchronise
from gansweep.run.train import train
from gansweep.search.entries import own_space
from gansweep.search.space import Space

pytestmark = pytest.mark.slow

SHAPE, N_CLASSES, BATCH, STEPS = (1, 8, 8), 10, 8, 6
CHECKPOINT = (
    "+callbacks.checkpoint={_target_: gansweep.callbacks.checkpoint.Checkpoint, every_seconds: 30}"
)
QUIET = ["tracker=none", "trainer=cpu", "trainer.threads=1", "callbacks=none"]


@functools.cache
def composed(variant: str, *overrides: str) -> DictConfig:
    """The variant's configuration with its tiny networks, on data that it can learn from."""
    kind = class_of(variant)
    data = ["data=paired" if kind.needs_source else "data=digits"]
    if kind.uses_labelled:
        data.append("data.n_labels=50")
    cfg = config.compose([f"model={variant}", *data, *QUIET, *overrides])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny, {"batch_size": BATCH})
    return cfg


@pytest.mark.parametrize("variant", VARIANTS)
def test_resume_is_bit_identical(tmp_path: Path, variant: str) -> None:
    """All that the next step depends on: weights, averages, moments, memory, noise, data order."""

    cfg = composed(variant, "metrics=none", "model.ema_kimg=0.02", CHECKPOINT)
    cfg.budget_kimg = STEPS * BATCH / 1000

    def run(name: str, until_kimg: float | None = None) -> None:
        train(cfg.copy(), run_dir=tmp_path / name, progress=False, until_kimg=until_kimg)

    run("whole")
    run("cut", until_kimg=3 * BATCH / 1000)
    torch.manual_seed(12345)  # another process begins with other global state
    run("cut")
    whole, cut = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "cut")
    )
    same(whole["game"], cut["game"])
    same(whole["rng"], cut["rng"])


def built(cfg: DictConfig) -> Adversarial:
    torch.manual_seed(0)
    model: Adversarial = config.instantiate(
        config.model_node(cfg, is_points=False),
        sample_shape=SHAPE,
        n_classes=N_CLASSES,
        source_shape=SHAPE,
    ).double()
    synchronise(model)  # else each process has batch statistics of its own
    model.configure_optimizers()
    return model


def trained(cfg: DictConfig, rank: int, world: int) -> list[Tensor]:
    """The parameters after a few steps on this process's rows of fixed batches."""
    model = built(cfg)
    model.draws = Draws(1, torch.device("cpu"), rank, world)
    rng = torch.Generator().manual_seed(3)
    for step in range(3 * model.n_critic):
        images, source, known = (
            torch.rand(BATCH, *SHAPE, generator=rng, dtype=torch.float64) * 2 - 1 for _ in "isk"
        )
        labels = torch.arange(BATCH) % N_CLASSES
        batch = Batch(images, labels, source, Batch(known, labels))
        share = BATCH // world
        model.training_step(batch[slice(rank * share, (rank + 1) * share)], step)
    return [p.detach() for net in model.players.values() for p in net.parameters()]


def process(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for variant, cfg in pickle.loads(Path(folder, "composed").read_bytes()).items():
        found[variant] = trained(cfg, rank, 2)
        dist.barrier()
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Tensor]]]:
    """The parameters of every variant as each of two processes has them at the end."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "composed").write_bytes(pickle.dumps({v: composed(v) for v in VARIANTS}))
    ranks(process, port, str(folder))
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_stay_one_model(
    variant: str, of_two_processes: list[dict[str, list[Tensor]]]
) -> None:
    """Both end with the same weights, and with those of one process where samples are apart."""
    one, other = (found[variant] for found in of_two_processes)
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a, b)
    model = built(composed(variant))
    if not model.sliceable or "dragan" in getattr(model, "terms", {}):
        return  # its loss compares the samples that a process has
    for a, b in zip(one, trained(composed(variant), 0, 1), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def swept_together() -> dict[str, list[str]]:
    """The variants by the data that they learn from, so that one sweep takes many of them."""
    groups: dict[str, list[str]] = {}
    for variant in VARIANTS:
        cfg = composed(variant)
        data = " ".join(
            [f"data={cfg.choices.data}"]
            + (["data.n_labels=50"] if cfg.data.get("n_labels") else [])
        )
        groups.setdefault(data, []).append(variant)
    return groups


def flat(node: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(node, dict):
        return {prefix: node}
    return {k: v for key, value in node.items() for k, v in flat(value, f"{prefix}.{key}").items()}


def drawn_point(variant: str) -> dict[str, Any]:
    """A value for each of the options that the variant's own search block lists."""
    block = own_space({}, lambda words: config.compose([f"model={variant}"]))
    assert len(block) >= 2, variant
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    point = Space.parse(block).suggest(study.ask())
    return {key: value for key, value in point.items() if key != "model.batch_size"}


@pytest.fixture
def one_server() -> Iterator[None]:
    """The trials of all sweeps are forked from a server of this process, that no other test has."""
    server: Any = forkserver._forkserver
    server._stop()
    with one_worker_here():
        yield
    server._stop()


def test_every_variant_is_swept_over_its_own_options(tmp_path: Path, one_server: None) -> None:
    """A trial of each, at a point of its own options, all trained to their end and scored."""
    for number, (data, variants) in enumerate(swept_together().items()):
        space: dict[str, Any] = {
            "model": f"choice({', '.join(variants)})",
            "model.batch_size": 8,
        }
        for variant in variants:
            tiny = OmegaConf.to_container(composed(variant).model.tiny)
            assert isinstance(tiny, dict)
            tiny.pop("batch_size", None)
            space[f"model={variant}"] = flat(tiny, "model") | drawn_point(variant)
        folder = tmp_path / f"conf{number}" / "sweep"
        folder.mkdir(parents=True)
        OmegaConf.save(OmegaConf.create({"space": space}), folder / "all.yaml")
        directory = run_sweep(
            [
                "--config-dir", str(folder.parent), "sweep=all", *data.split(), *QUIET,
                "+callbacks.quality={_target_: gansweep.callbacks.quality.Quality, every_kimg: 1}",
                "metrics.scores=[fid]", "metrics.n_fake=200", "sweep.objective.metric=fid",
                "budget_kimg=0.04", "n_trials=null", "sweep.confirm.top=0",
                "sweep.sampler.name=grid", f"name=s{number}", f"runs_dir={tmp_path}", "workers=1",
            ]
        )  # fmt: skip
        study = SweepStudy(directory)
        assert study.finished()
        assert len(study.trials.trials) == len(variants)
        for trial in study.trials.trials:
            assert trial.value is not None, (trial.params, trial.user_attrs)
