"""How busy a sweep keeps its workers: the figures of scripts/utilisation.py."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def utilisation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS))
    monkeypatch.delitem(sys.modules, "utilisation", raising=False)
    import utilisation

    return utilisation


def test_share_of_workers_who_wait_for_one_another(utilisation: ModuleType) -> None:
    # two batches of two, 3 + 2 seconds long, hold 4 + 4 seconds of work; the last batch counts not
    assert utilisation.synchronous_share([1, 3, 2, 2, 5], workers=2) == pytest.approx(8 / 10)


def test_share_counts_from_the_last_worker_to_begin_to_the_last_trial(
    utilisation: ModuleType,
) -> None:
    trials = [
        utilisation.Slept("a", 0, 4),
        utilisation.Slept("b", 1, 2),
        utilisation.Slept("b", 3, 5),  # after a second with nothing to do
        utilisation.Slept("a", 4, 6),
        utilisation.Slept("b", 5, 9),
    ]
    assert utilisation.busy_share(trials, workers=2) == pytest.approx(7 / 8)
    assert utilisation.busy_share(trials, workers=2, since=0) == pytest.approx(8 / 10)
    assert utilisation.gaps(trials) == [1, 0, 0]


@pytest.mark.slow
def test_workers_stay_busy_where_trials_differ_in_length(
    utilisation: ModuleType, tmp_path: Path
) -> None:
    directory = utilisation.sweep(tmp_path, n_trials=24, workers=4, shortest=0.5, preload=[])
    trials = utilisation.slept(directory)
    assert len(trials) == 24 and len({one.worker for one in trials}) == 4
    seconds = [one.ended - one.began for one in trials]
    assert max(seconds) > 4 * min(seconds)
    assert utilisation.busy_share(trials, workers=4) > 0.9
    assert utilisation.synchronous_share(seconds, workers=4) < 0.8
