"""The forecast at a run's start: how long it will take on this machine."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from gansweep.callbacks import pace
from gansweep.callbacks.journal import Journal
from gansweep.callbacks.pace import Pace, about
from gansweep.callbacks.progress import ProgressBar


def words(step_seconds: float, first: float, budget_kimg: float, batch: int = 50) -> list[str]:
    """What is said in the first 2,000 steps; the first one takes `first` seconds."""
    forecast, said, seconds = Pace(), [], 0.0
    for step in range(1, 2001):
        seconds += first if step == 1 else step_seconds
        said.append(forecast.estimate(step * batch, budget_kimg, seconds) or "")
    return [f"{step}: {line}" for step, line in enumerate(said, start=1) if line]


def test_the_forecast_is_said_once_and_counts_the_first_slow_step_only_once() -> None:
    # 2,000 steps: 30 s, and 1,999 of 0.25 s
    assert words(0.25, 30.0, budget_kimg=100) == [
        "12: about 9 min of training on this machine (250 ms a step)"
    ]


def test_quick_steps_are_timed_for_two_seconds_and_slow_ones_for_twenty() -> None:
    (quick,) = words(0.01, 0.1, budget_kimg=1000)
    # the sum of a few hundred times may fall short of two seconds by rounding
    assert quick.startswith(("202: about 3 min", "203: about 3 min"))
    (slow,) = words(12.0, 20.0, budget_kimg=10)
    assert slow == "4: about 40 min of training on this machine (12.0 s a step)"


def test_a_forecast_is_as_precise_as_a_forecast_can_be() -> None:
    seconds = (1, 41, 89, 90, 500, 3580, 12_100, 200_000)
    assert [about(s).removeprefix("about ") for s in seconds] == [
        *("5 s", "40 s", "90 s", "2 min", "8 min", "1 h", "3 h 20 min", "2 days")
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_progress_of_a_run_begins_with_the_forecast(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "SECONDS", 0.0)
    bar, out = ProgressBar(budget_kimg=1.0), io.StringIO()
    bar.console = Console(width=80, file=out, force_terminal=terminal, color_system=None)
    bar.journal = Journal(None, None)
    trainer: Any = SimpleNamespace(is_global_zero=True)
    for step in range(1, 14):
        module: Any = SimpleNamespace(images_seen=4 * step)
        bar.after_step(trainer, module, images=4)
    assert out.getvalue().count("of training on this machine (") == 1
