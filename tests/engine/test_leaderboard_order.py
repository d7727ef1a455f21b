"""The order of the leaderboard: constraints hold for what confirms a winner too; ties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sweep_studies import ONE, TWO, begin, finish_with, make

from gansweep.engine.leaderboard import write_leaderboard


def rows(directory: Path, objective: dict[str, Any]) -> list[tuple[str, str]]:
    """(trial, what it breaks) of each row. The best trial by FID, when it is confirmed the best in
    every score, is too slow then."""
    study = make(
        directory,
        n_trials=3,
        objective=objective,
        constraints=["seconds <= 60"],
        confirm={"top": 3, "per": "config", "seeds": 2},
    )
    for fid in (1.0, 2.0, 3.0):
        finish_with(study, begin(study), seconds=59.0, fid=fid, coverage=fid / 10)
    while (attempt := study.claim("me")) is not None:
        key, _, seed = attempt.key.removeprefix("c-").partition("-s")
        fid = 1.0 + int(key[1:])
        seconds = 57.0 + 5 * (int(seed) - 100) if key == "t0000" else 59.0
        finish_with(study, attempt, seconds=seconds, fid=fid, coverage=1 - fid / 10)
    path = write_leaderboard(study)
    assert path is not None
    return [(r["trial"], r.get("breaks", "")) for r in json.loads(path.read_text())["rows"]]


def test_winner_that_breaks_a_constraint_under_fresh_seeds_comes_last(tmp_path: Path) -> None:
    assert rows(tmp_path / "s", ONE) == [
        ("t0001", ""),
        ("t0002", ""),
        ("t0000", "breaks seconds <= 60 (64.5)"),  # 62 and 67 seconds
    ]


def test_it_beats_none_that_keeps_it_on_the_pareto_front(tmp_path: Path) -> None:
    found = rows(tmp_path / "s", TWO)
    assert found == [("t0001", ""), ("t0000", "breaks seconds <= 60 (64.5)")]


def test_equal_means_share_their_rank(tmp_path: Path) -> None:
    study = make(
        tmp_path / "s",
        n_trials=3,
        objective=ONE,
        confirm={"top": 3, "per": "config", "seeds": 2},
    )
    while (attempt := study.claim("me")) is not None:
        study.suggest(attempt)
        finish_with(study, attempt, fid=2.0 if "t0001" in attempt.key else 1.0)
    path = write_leaderboard(study)
    assert path is not None
    found = [(row["rank"], row["trial"]) for row in json.loads(path.read_text())["rows"]]
    assert found == [(1, "t0000"), (1, "t0002"), (3, "t0001")]
