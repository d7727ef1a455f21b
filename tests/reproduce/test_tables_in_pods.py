"""A table with launcher=kubernetes: its manifest, and what its pods tell each other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Finished
from small_table import SMALL, trained

from gansweep.config import permissions
from gansweep.engine.lease.workers import JOB

Command = Callable[..., Finished]
GIVEN = ["launcher=kubernetes", "launcher.image=r/g:1", "launcher.claim=runs"]


def job_of(command: Command, own: str, *words: str) -> dict[str, Any]:
    done = command("reproduce", "small", "--config-dir", own, "--dry-run", *GIVEN, *words)
    assert done.code == 0, done.err
    return dict(yaml.safe_load(done.out))


def container_of(job: Mapping[str, Any]) -> Mapping[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container)


def test_a_dry_run_for_kubernetes_prints_a_job_that_runs_the_table(
    command: Command, small: str
) -> None:
    job = job_of(command, small, "workers=2")
    container = container_of(job)
    script = container["command"][-1]
    words = f"exec gansweep reproduce small --config-dir {small} launcher=local workers=1\n"
    assert f'if [ "$JOB_COMPLETION_INDEX" = 0 ]; then\n  {words}fi\n' in script
    assert "exec gansweep worker runs/reproduce-small" in script
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (2, 2)


@pytest.mark.parametrize("form", ["--minutes {}", "--minutes={}"])
def test_pods_have_the_budget_that_minutes_chose_for_all_of_them(
    command: Command, small: str, form: str
) -> None:
    """Two runs of 40 ms by two workers; the one worker of a pod would have time for the half."""
    job = job_of(command, small, "workers=2", *form.format(0.05 / 60).split())
    script = container_of(job)["command"][-1]
    assert f"--config-dir {small} --budget paper --seeds 1 launcher=local" in script
    assert "--minutes" not in script and job["spec"]["completions"] == 2


def test_pods_end_where_every_run_of_the_table_is_known(
    command: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = container_of(job_of(command, small))["command"][-1]
    for k, row in enumerate(("GAN", "R1")):
        trained(small, Path("runs") / "anywhere" / f"run-{k}", row=row)
    monkeypatch.setenv(JOB, "1a")
    first = command("reproduce", "small", "--config-dir", small)
    assert first.code == 0 and not Path("runs/reproduce-small/sweep.yaml").exists()
    variables = {**os.environ, "JOB_COMPLETION_INDEX": "1"}
    other = subprocess.run(["sh", "-c", script], env=variables, timeout=60, check=False)
    assert other.returncode == 0


def test_pods_may_read_the_variables_of_the_table(
    command: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMIT", "00:01:00:00")
    overrides = [*SMALL["overrides"], "+trainer.max_time=${oc.env:LIMIT}"]
    table = yaml.safe_dump({**SMALL, "overrides": overrides}, sort_keys=False)
    (Path(small) / "reproduce" / "small.yaml").write_text(table)
    env = container_of(job_of(command, small))["env"]
    assert {"name": permissions.VARIABLES, "value": "LIMIT"} in env
