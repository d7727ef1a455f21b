"""`gansweep reproduce --minutes`: the part of a table that ends in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml
from command_line import Finished
from small_table import SMALL

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
