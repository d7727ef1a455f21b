"""`gansweep reproduce --minutes`: the part of a table that ends in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Finished
from small_table import SMALL

from gansweep.cli.reproduce import parser
from gansweep.cli.reproduction import asks_the_same
from gansweep.engine.launch.local import LocalLauncher
from gansweep.reproduce import cost
from gansweep.reproduce.plan import PlannedCell

Command = Callable[..., Finished]


def test_minutes_choose_the_largest_budget_that_ends_in_time(command: Command, small: str) -> None:
    """Two runs of 40 steps of 1 ms are 0.08 s of one worker: half of it within 0.05 s."""
    words = ("reproduce", "small", "--config-dir", small, "--dry-run", "workers=1")
    assert "budget share-0.5: 0.5" in command(*words, "--minutes", f"{0.05 / 60}").out
    assert "budget paper: 1 seed." in command(*words, "--minutes", "1").out


def test_minutes_are_those_of_a_largest_budget_of_a_part(command: Command, small: str) -> None:
    """Half of the table's images: two runs of 20 ms."""
    path = Path(small) / "reproduce" / "small.yaml"
    part = {"half": {"share": 0.5, "shows": "order"}}
    path.write_text(yaml.safe_dump({**SMALL, "budgets": part}, sort_keys=False))
    words = ("reproduce", "small", "--config-dir", small, "--dry-run", "workers=1")
    assert "budget half: 0.5 of" in command(*words, "--minutes", f"{0.05 / 60}").out
    assert "budget share-0.25: 0.25 of" in command(*words, "--minutes", f"{0.03 / 60}").out


def test_the_same_minutes_continue_what_they_began_though_costs_are_measured_anew(
    command: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def four_times(cells: Sequence[PlannedCell], *_: Any) -> dict[str, cost.Cost]:
        return {one.cell.name: cost.Cost(0.004, 1000, 0.0, False) for one in cells}

    minutes = f"{0.05 / 60:.6f}"
    words = ("reproduce", "small", "--config-dir", small, "workers=1", "--minutes", minutes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalLauncher, "run", lambda *_: False)  # stopped as soon as it has begun
        assert command(*words).code == 130
    monkeypatch.setattr(cost, "measured", four_times)
    again = command(*words, "--dry-run").out
    assert f"--minutes {minutes} chose share-0.5 when this was begun" in again
    assert "budget share-0.5: 0.5 of" in again


@pytest.mark.parametrize(
    ("begun", "now", "same"),
    [
        ("--minutes 30", "--minutes=30.0 workers=2", True),
        ("--minutes 30 --only b --only a", "--only a --minutes 30 --only b", True),
        ("--minutes 30 --seeds 3", "--minutes 30 --show", True),
        ("--minutes 30", "--minutes 60", False),
        ("--minutes 30", "--minutes 30 --seeds 3", False),
        ("--minutes 30 --only a", "--minutes 30", False),
        ("--budget share-0.5", "--minutes 30", False),
    ],
)
def test_commands_that_want_the_same_runs_in_the_same_time(
    begun: str, now: str, same: bool
) -> None:
    flags = [parser().read(["small", *words.split()])[0] for words in (begun, now)]
    assert asks_the_same(*flags) == same
