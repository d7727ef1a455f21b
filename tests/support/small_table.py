"""A table of two cells whose runs take a second, and records of them."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf, open_dict

from gansweep.config.compose import compose
from gansweep.config.environment import without_secrets
from gansweep.records.record import RunRecord
from gansweep.reproduce.plan import planned_cells
from gansweep.reproduce.table_file import load_table

SMALL = {
    "title": "A small game",
    "citation": "Nobody",
    "known_from": "calculated",
    "evaluation_seeds": 0,
    "overrides": [
        *("experiment=paper_dirac_gan", "budget_kimg=0.04"),
        "callbacks.game_at_rest.every_kimg=0.02",
    ],
    "scores": {"real": {"score": "eigenvalue_real", "decimals": 4, "tolerance": 0.001}},
    "settings": {"alternating": {}},
    "rows": {
        "GAN": {"cells": {"alternating": {"published": {"real": 0}}}},
        "R1": {
            "overrides": [
                "+model.penalties.r1._target_=gansweep.terms.penalties.R1",
                "+model.penalties.r1.weight=0.3",
            ],
            "cells": {"alternating": {"published": {"real": -0.15}}},
        },
    },
    "budgets": {"paper": {"seeds": 1}},
}  # fmt: skip


def trained(
    small: str, directory: Path, status: str = "finished", seed: int = 0, row: str = "GAN"
) -> None:
    """Write the record of a run of the row's cell, as `gansweep train` would."""
    table = load_table("small", small)
    (one,) = planned_cells(table, table.budget(None), compose, [row])
    with open_dict(one.cfg):
        one.cfg.seed = seed
    record = RunRecord.create(directory, OmegaConf.to_yaml(without_secrets(one.cfg)))
    protocols = {"eigenvalue_real": {"score": "eigenvalue_real"}}
    last = {"eigenvalue_real": {"value": 0.0001, "kimg": 0.04}}
    facts = {"seed": seed, "budget_kimg": 0.04, "kimg": 0.04, "seconds": 1.0}
    record.write_result({"status": status, "last": last, "protocols": protocols, **facts})
