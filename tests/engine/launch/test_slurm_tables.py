"""`gansweep reproduce` with launcher=slurm on a real SLURM of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import SLURM_CLUSTER
from slurm_sweeps import kill_node
from tables_on_clusters import TABLES, assert_complete_though_a_node_dies

from gansweep.engine.launch import slurm
from gansweep.engine.launch.slurm import SlurmLauncher
from gansweep.engine.lease.workers import WorkerInfo

NODE = "n1"


@pytest.mark.slow
@pytest.mark.usefixtures("no_job_left")
@pytest.mark.parametrize("table", TABLES)
def test_table_is_complete_though_a_node_dies(
    cluster: Path, command: Callable[..., Any], table: str
) -> None:
    directory = Path(f"runs/reproduce-{table}")

    def is_there(worker: WorkerInfo) -> bool:
        return any(j.id == worker.job and j.node == NODE for j in slurm.queue(directory))

    words = ["launcher=slurm", "launcher.gpus=null", "launcher.cpus=1", "workers=1"]
    words += ["launcher.every_seconds=0.5", "launcher.options=['--exclude=n3']"]
    try:
        assert_complete_though_a_node_dies(
            command, table, SlurmLauncher, is_there, lambda: kill_node(cluster, NODE), words
        )
    finally:
        subprocess.run([SLURM_CLUSTER, "up", cluster], check=True, stdout=subprocess.DEVNULL)
