"""Every cell of every table: it composes, is as large as its source says, and trains.

tests/reproduce/figures.yaml has the numbers. Full-size networks are built without memory; two steps
are made with tiny networks on random images of the data's shape.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import yaml
from loaded_scripts import script
from omegaconf import DictConfig, OmegaConf, open_dict
from torch.nn.utils import parametrizations

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.metrics.protocol import CHOSEN_BY, GAME, HELD_OUT, QUICK
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.reproduce.plan import PlannedCell, planned_cells, planned_runs
from gansweep.reproduce.table import Table
from gansweep.reproduce.table_file import load_table, table_names

FIGURES: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "figures.yaml").read_text())
TABLES = {name: load_table(name) for name in table_names()}
CELLS = [(name, cell.name) for name, table in TABLES.items() for cell in table.to_run()]


GUIDE = script("guide/parameters")


def full_budget(table: Table) -> str:
    """The one that has most of the paper's."""
    return max(table.budgets.values(), key=lambda budget: budget.share).name


@functools.cache
def planned(name: str) -> dict[str, PlannedCell]:
    table = TABLES[name]
    cells = planned_cells(table, table.budget(full_budget(table)), config.compose)
    return {one.cell.name: one for one in cells}


def stated(name: str, cell: str) -> dict[str, Any]:
    figures, row = FIGURES[name], cell.partition(" / ")[0]
    return {**figures["all"], **figures.get(row, {}), **figures.get(cell, {})}


def built(cfg: DictConfig, shape: list[int], device: str) -> Adversarial:
    torch.manual_seed(0)
    with torch.device(device):
        model: Adversarial = config.instantiate(
            config.model_node(cfg, is_points=len(shape) == 1),
            sample_shape=tuple(shape),
            n_classes=10,
            source_shape=None,
        )
    return model


def test_every_table_has_figures_and_every_figure_a_cell() -> None:
    assert FIGURES.keys() == TABLES.keys()
    for name, figures in FIGURES.items():
        cells = {cell for table, cell in CELLS if table == name}
        rows = {cell.partition(" / ")[0] for cell in cells}
        assert figures.keys() - {"shape", "all"} <= cells | rows, name


@pytest.mark.parametrize("name", TABLES)
def test_cells_differ_and_each_seed_of_them_has_a_key_of_its_own(name: str) -> None:
    cells = planned(name).values()
    runs = planned_runs(cells, seeds=2)
    assert len({run.address for run in runs}) == len(runs) == 2 * len(cells)
    assert len({run.key for run in runs}) == len(runs)
    assert all(len(run.key) < 100 for run in runs)


@pytest.mark.parametrize("name", TABLES)
def test_the_scores_of_a_table_are_measured(name: str) -> None:
    """Scores that are slow are measured on request, and a list of scores leaves out all others."""
    table = TABLES[name]
    for one in planned(name).values():
        metrics = OmegaConf.merge(one.cfg.metrics, dict(table.evaluation))
        for score in table.scores.values():
            if score.word in (*HELD_OUT, *GAME):
                continue
            chosen = CHOSEN_BY.get(score.word, score.word)
            assert chosen in (QUICK if metrics.scores is None else metrics.scores), score.word


@pytest.mark.parametrize(("name", "cell"), CELLS)
def test_a_cell_is_as_large_as_its_source_says(name: str, cell: str) -> None:
    one, figures = planned(name)[cell], stated(name, cell)
    cfg = one.cfg
    assert cfg.batch_size == figures["batch"]
    if "steps" in figures:
        assert one.steps == figures["steps"]
    if "n_fake" in figures:
        assert cfg.metrics.n_fake in (
            figures["n_fake"],
            None if cfg.metrics.backbone == "auto" else 0,
        )
    players = figures.keys() & {"generator", "discriminator", "autoencoder"}
    assert players and "lr" in figures
    with mock.patch.object(parametrizations._SpectralNorm, "_power_method"):
        model = built(cfg, FIGURES[name]["shape"], "meta")
    for player in players:
        learnt = (p for p in model.players[player].parameters() if p.requires_grad)
        assert sum(p.numel() for p in learnt) == GUIDE.count(figures[player]), player
    rates = [cfg.model.optimizer[p].lr for p in ("autoencoder", "generator", "discriminator")
             if p in cfg.model.optimizer]  # fmt: skip
    assert rates == pytest.approx(figures["lr"])


@pytest.mark.parametrize(("name", "cell"), CELLS)
def test_a_cell_trains_with_tiny_networks_on_images_of_its_shape(name: str, cell: str) -> None:
    cfg, shape = planned(name)[cell].cfg.copy(), FIGURES[name]["shape"]
    with open_dict(cfg):
        cfg.model = OmegaConf.merge(cfg.model, _fitting(cfg))
    model = built(cfg, shape, "cpu")
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    n = 2 * model.judged_together * 2
    for step in range(2):
        rng = torch.Generator().manual_seed(step)
        images, labels = torch.rand(n, *shape, generator=rng) * 2 - 1, torch.arange(n) % 10
        model.training_step(Batch(images, labels), step)
    assert all(torch.tensor(list(model.recent_means().values())).isfinite())


def _fitting(cfg: DictConfig) -> DictConfig:
    """Of the `tiny:` block what the cell's own networks have."""
    tiny: dict[str, Any] = OmegaConf.to_container(cfg.model.get("tiny") or {})  # type: ignore[assignment]
    tiny.pop("batch_size", None)
    kept = {k: v for k, v in tiny.items() if not isinstance(v, dict) and k != "latent_dim"}
    for network, options in tiny.items():
        node = cfg.model.get(network)
        if isinstance(options, dict) and node is not None:
            kept[network] = {k: v for k, v in options.items() if k in node}
    return OmegaConf.create(kept)
