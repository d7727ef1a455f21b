"""How busy a sweep keeps its workers: the figures of scripts/benchmarks/utilisation.py."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from places import TOP

SCRIPTS = TOP / "scripts" / "benchmarks"
# a start of Python, on the two cores for which the engine's limit of 0.5 s holds
QUICK_START_SECONDS = 0.05


@pytest.fixture
def utilisation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS))
    monkeypatch.delitem(sys.modules, "utilisation", raising=False)
    import utilisation

    return utilisation


def test_share_of_workers_that_wait_for_each_batch(utilisation: ModuleType) -> None:
    # two batches of two take 3 + 2 seconds and contain 8 seconds of work; the last does not count
    assert utilisation.synchronous_share([1, 3, 2, 2, 5], workers=2) == pytest.approx(8 / 10)


def test_share_counts_from_the_start_of_the_last_worker_to_the_last_trial(
    utilisation: ModuleType,
) -> None:
    trials = [
        utilisation.Slept("a", 0, 4),
        utilisation.Slept("b", 1, 2),
        utilisation.Slept("b", 3, 5),  # after a second without work
        utilisation.Slept("a", 4, 6),
        utilisation.Slept("b", 5, 9),
    ]
    assert utilisation.busy_share(trials, workers=2) == pytest.approx(7 / 8)
    assert utilisation.busy_share(trials, workers=2, since=0) == pytest.approx(8 / 10)
    assert utilisation.gaps(trials) == [1, 0, 0]


@pytest.mark.slow
def test_workers_stay_busy_when_trials_differ_in_length(
    utilisation: ModuleType, tmp_path: Path
) -> None:
    slowness = [seconds_to_start_python() / QUICK_START_SECONDS]
    directory = utilisation.sweep(tmp_path, n_trials=24, workers=4, shortest=0.25, preload=[])
    slowness.append(seconds_to_start_python() / QUICK_START_SECONDS)
    trials = utilisation.slept(directory)
    assert len(trials) == 24 and len({one.worker for one in trials}) == 4
    seconds = [one.ended - one.began for one in trials]
    assert max(seconds) > 4 * min(seconds)
    assert utilisation.synchronous_share(seconds, workers=4) < 0.8
    engine = statistics.median(utilisation.gaps(trials))
    assert engine < 0.5 * max(1.0, *slowness), "seconds a trial, on a machine that is not slow"
    with_engine = [one._replace(ended=one.ended + engine) for one in trials]
    assert utilisation.busy_share(with_engine, workers=4) > 0.9, "nobody waits for another"


def seconds_to_start_python() -> float:
    began = time.monotonic()
    for _ in range(5):
        subprocess.run([sys.executable, "-c", "import json"], check=True)
    return (time.monotonic() - began) / 5
