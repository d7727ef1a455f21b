"""`gansweep train --multirun` where runs go side by side: Hydra's launchers joblib and submitit."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import MissingConfigException

from gansweep.config import explained
from gansweep.errors import UserError
from gansweep.record import find_records

TINY = ["model=gan", "model.generator.width=4", "model.discriminator.width=4", "metrics=none"]
TINY += ["trainer=cpu", "~callbacks.overfitting", "~callbacks.neighbours", "~callbacks.samples"]
Multirun = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def multirun(tmp_path: Path) -> Iterator[Multirun]:
    """`multirun("seed=0,1")`: the command, started in an empty folder."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "gansweep", "train", "-m", *words, *TINY],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Name of each run -> its result."""
    return {r.directory.name: r.result() or {} for r in find_records([folder / "runs"])}


def awaited(what: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")


@pytest.mark.slow
def test_runs_side_by_side_take_names_of_their_own_and_a_failed_one_is_named(
    multirun: Multirun, tmp_path: Path
) -> None:
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "budget_kimg=2", "tracker=csv"]
    process = multirun(*words, "seed=0,1", "batch_size=32,5000")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "Traceback" not in err and "2 of 4 runs failed:\n  seed=0 batch_size=5000: " in err
    found = results(tmp_path)
    assert sorted(found) == ["gan-001", "gan-002"]
    assert sorted(r["seed"] for r in found.values()) == [0, 1]
    for name, result in found.items():
        assert result["status"] == "finished"
        assert (tmp_path / "runs/digits" / name / "csv/version_0/metrics.csv").stat().st_size
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {"digits", "multirun.yaml"}


@pytest.mark.slow
def test_job_that_submitit_requeues_goes_on_from_where_it_was(
    multirun: Multirun, tmp_path: Path
) -> None:
    words = ["hydra/launcher=submitit_local", "budget_kimg=200", "tracker=none"]
    process = multirun(*words, "seed=0,1")
    logs = tmp_path / "runs" / ".submitit"

    def training() -> int | None:
        """The process of the first job that shows progress, by submitit's number of the job."""
        for place in logs.glob("*/*_run.txt"):
            number = int(place.name.split("_")[0])
            if reached(logs / str(number)):
                return number
        return None

    number = awaited(training)
    (child,) = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    os.kill(int(child), signal.SIGUSR2)  # as submitit does before the time of a job is over
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    found = results(tmp_path)
    assert sorted(found) == ["gan-001", "gan-002"]
    assert all(r["status"] == "finished" and r["kimg"] >= 200 for r in found.values())
    assert out.count("finished ") == 2 and "seed=0" in out and "runs/digits/gan-001" in out
    said = (logs / str(number) / f"{number}_0_log.out").read_text()
    (interrupted,) = re.findall(r"interrupted after ([\d.]+) kimg", said)
    assert float(interrupted) > 0 and said.count("finished after 200") == 1
    course = reached(logs / str(number))
    assert course == sorted(course), "it began anew"


def reached(folder: Path) -> list[float]:
    """The kimg that the progress of a job shows, in order."""
    text = "".join(path.read_text() for path in folder.glob("*_log.err"))
    return [float(kimg) for kimg in re.findall(r"([\d.]+)/200 kimg", text) if float(kimg)]


def test_launcher_that_is_not_installed_is_named_with_its_extra() -> None:
    missing = MissingConfigException("", "hydra/launcher/joblib", ["basic"])
    with pytest.raises(UserError, match=r"pip install 'gansweep\[multirun\]'"), explained(()):
        raise missing
