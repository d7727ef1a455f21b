"""`gansweep train --multirun` with parallel runs: Hydra's launchers joblib and submitit."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import MissingConfigException
from processes import Processes, children, said_by, wait_until

from gansweep.config.compose import explained
from gansweep.errors import UserError
from gansweep.records.find import find_records
from gansweep.run.multirun import outcome_of

TINY = ["model=gan", "model.generator.width=4", "model.discriminator.width=4", "metrics=none"]
TINY += ["trainer=cpu", "~callbacks.overfitting", "~callbacks.neighbours", "~callbacks.samples"]
Multirun = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def multirun(processes: Processes, tmp_path: Path) -> Multirun:
    """`multirun("seed=0,1")`: the command, started in an empty folder."""
    command = ("-m", "gansweep", "train", "-m")
    options = {"cwd": tmp_path, "start_new_session": True}
    return lambda *words: processes.forked(*command, *words, *TINY, **options)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Name of each run -> its result."""
    return {r.directory.name: r.result() or {} for r in find_records([folder / "runs"])}


def test_the_table_has_the_status_that_a_run_is_judged_by() -> None:
    names = ("precision_100_train", "in_no_mode_100")
    scores = dict(zip(names, (0.0, 1.0), strict=True))
    result = {
        **{"status": "finished", "reason": "the budget was spent", "objective": names[0]},
        "last": {name: {"value": value, "kimg": 1.0} for name, value in scores.items()},
        "protocols": {name: {"score": name.partition("_1")[0], "n_fake": 100} for name in names},
    }
    result["best"] = result["last"]
    assert outcome_of(result, Path("run"))["status"] == "never learned"
    result["last"][names[0]]["value"] = 0.5  # type: ignore[index]
    assert outcome_of(result, Path("run"))["status"] == "finished"


@pytest.mark.slow
def test_runs_side_by_side_take_names_of_their_own_and_a_failed_one_is_named(
    multirun: Multirun, tmp_path: Path
) -> None:
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "budget_kimg=2", "tracker=csv"]
    process = multirun(*words, "seed=0,1", "batch_size=32,5000")
    out, err = said_by(process)
    assert process.returncode == 2, err
    assert "job 4: seed=1 batch_size=5000" in err
    assert "Traceback" not in err and "2 of 4 runs failed:\n  seed=0 batch_size=5000: " in err
    found = results(tmp_path)
    names = [f"gan-seed{seed}-batch_size32-001" for seed in (0, 1)]
    assert sorted(found) == names
    table = out[out.index("job  status") :].split()
    assert {f"runs/digits/{name}" for name in names} <= {*table}
    assert table.count("finished") == table.count("failed") == 2
    assert sorted(r["seed"] for r in found.values()) == [0, 1]
    for name, result in found.items():
        assert result["status"] == "finished"
        assert (tmp_path / "runs/digits" / name / "csv/version_0/metrics.csv").stat().st_size
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {"digits", "multirun.yaml"}


@pytest.mark.slow
def test_first_interruption_saves_all_runs_side_by_side_and_begins_no_other(
    multirun: Multirun, tmp_path: Path
) -> None:
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "budget_kimg=100000"]
    process = multirun(*words, "tracker=none", "seed=0,1,2")
    wait_until(lambda: len(list(tmp_path.glob("runs/digits/*/history.jsonl"))) == 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = said_by(process)
    assert process.returncode == 130 and "Traceback" not in err, err
    found = results(tmp_path)
    assert sorted(found) == ["gan-seed0-001", "gan-seed1-001"]
    for name, result in found.items():
        assert result["status"] == "interrupted" and result["kimg"] > 0
        assert (tmp_path / "runs/digits" / name / "checkpoints/last.pt").exists()
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {"digits", "multirun.yaml"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "seeds", "names"),
    [
        ("submitit_local", "0,1", ["gan-seed0-001", "gan-seed1-001"]),
        ("submitit_slurm", "0", ["gan-001"]),
    ],
)
def test_job_that_is_put_back_into_the_queue_goes_on_from_where_it_was(
    where: str,
    seeds: str,
    names: list[str],
    multirun: Multirun,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    words = [f"hydra/launcher={where}", "budget_kimg=200", "tracker=none"]
    if where == "submitit_slurm":
        request.getfixturevalue("cluster")
        words += ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1"]
    process = multirun(*words, f"seed={seeds}")
    logs = tmp_path / "runs" / ".submitit"

    def training() -> Path | None:
        """The logs of the first job that shows progress."""
        folders = [place.parent for place in logs.glob("*/*_run.txt")]
        return next((folder for folder in folders if reached(folder)), None)

    folder = wait_until(training)
    if where == "submitit_slurm":
        subprocess.run(["scontrol", "requeue", folder.name], check=True)
    else:
        (job,) = children(int(folder.name))
        os.kill(job, signal.SIGUSR2)  # as before the end of a job's time
    out, err = said_by(process)
    assert process.returncode == 0, err
    found = results(tmp_path)
    assert sorted(found) == names
    assert all(r["status"] == "finished" and r["kimg"] >= 200 for r in found.values())
    assert out.count("finished ") == len(found) and f"runs/digits/{names[0]}" in out
    output = "".join(path.read_text() for path in folder.glob("*_log.out"))
    (interrupted,) = re.findall(r"interrupted after ([\d.]+) kimg", output)
    assert float(interrupted) > 0 and output.count("finished after 200") == 1
    course = reached(folder)
    assert course == sorted(course), "it began anew"


def reached(folder: Path) -> list[float]:
    """The kimg that the progress of a job shows, in order."""
    text = "".join(path.read_text() for path in folder.glob("*_log.err"))
    return [float(kimg) for kimg in re.findall(r"([\d.]+)/200 kimg", text) if float(kimg)]


def test_launcher_that_is_not_installed_is_named_with_its_extra() -> None:
    missing = MissingConfigException("", "hydra/launcher/joblib", ["basic"])
    with pytest.raises(UserError, match=r"pip install 'gansweep\[multirun\]'"), explained(()):
        raise missing
