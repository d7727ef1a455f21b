"""A published table that is re-made on a cluster of a test, while a node of it dies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import TOP

from gansweep.engine.lease.workers import IDLE, STOPPING, WorkerInfo, workers_of
from gansweep.reproduce import cost
from gansweep.reproduce.table_file import load_table

TABLES = ("dirac_gan", "pacgan_two_rows")


def own_tables(folder: Path) -> str:
    """A folder for --config-dir with `pacgan_two_rows`: GAN and PacGAN2 on the ring, 12 steps."""
    table = yaml.safe_load((TOP / "conf/reproduce/pacgan_2d.yaml").read_text())
    rows = {name: table["rows"][name] for name in ("GAN", "PacGAN2")}
    for row in rows.values():
        del row["cells"]["grid"]
    del table["settings"]["grid"]
    table |= {"rows": rows, "evaluation_seeds": 1, "evaluations": 1}
    table["budgets"] = {"tiny": {"share": 0.00003, "seeds": 1, "shows": "nothing"}}
    place = folder / "own" / "reproduce" / "pacgan_two_rows.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(yaml.safe_dump(table, sort_keys=False))
    return str(folder / "own")


def assert_complete_though_a_node_dies(
    command: Callable[..., Any],
    table: str,
    launcher: type[Any],
    is_there: Callable[[WorkerInfo], bool],
    kill: Callable[[], None],
    words: list[str],
) -> None:
    """Re-make the table in the working directory; every run of it ends well, with its figures.

    launcher: the class that watches the workers.   is_there: whether a worker is on the node that
    `kill` kills, which is done as soon as such a worker trains.
    """
    own, killed, run = own_tables(Path.cwd()), [], launcher.run
    directory = Path(f"runs/reproduce-{table}").resolve()

    def running(self: Any, tick: Callable[[], None], **options: Any) -> bool:
        def watching() -> None:
            tick()
            training = [w for w in workers_of(directory) if w.doing not in (IDLE, STOPPING)]
            if not killed and any(map(is_there, training)):
                killed.append(True)
                kill()

        return bool(run(self, watching, **options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "run", running)
        patch.setattr(cost, "_measure", lambda cfg, threads: cost.Cost(0.001, 1000, 0.0, False))
        patch.setenv("GANSWEEP_CACHE", str(Path.cwd() / "cache"))
        given = ["--config-dir", own, "workers=2", "trainer.accelerator=cpu", *words]
        done = command("reproduce", table, *given)
    assert done.code == 0, done
    assert killed, "no worker trained there"
    assert "no run yet" not in done.out
    stored = json.loads(Path(f"results/{table}.json").read_text())["runs"]
    known = load_table(table, own)
    cells = [cell for cell in known.cells if cell.row not in known.not_run]
    assert {run["status"] for run in stored} == {"finished"}
    assert len({run["address"] for run in stored}) == len(stored) == len(cells)
    assert all(run["last"] for run in stored)
