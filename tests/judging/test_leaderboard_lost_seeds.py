"""A seed that was lost, or ended with no finite number, flatters no mean."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from report_records import FID, write_run
from report_sweeps import COVERAGE, COVERED, write_confirmations, write_trial

from gansweep.judging.expected_best import families
from gansweep.judging.leaderboard import leader, leaderboard
from gansweep.judging.pareto import fronts
from gansweep.judging.trials import trials_of
from gansweep.judging.verdict import verdict
from gansweep.records.read import load
from gansweep.report.page.cautions import cautions


@pytest.mark.parametrize("spoilt", [math.nan, math.inf, 1e200])
def test_last_value_that_is_no_number_is_not_replaced_by_an_earlier_one(
    tmp_path: Path, spoilt: float
) -> None:
    for seed in range(3):
        write_run(tmp_path / f"a{seed}", seed=seed, scores={FID: [30.0, 20.0 + seed]})
        last = spoilt if seed == 2 else 5.0 + seed
        write_run(tmp_path / f"b{seed}", model="gan", seed=seed, scores={FID: [1.0, last]})
        write_run(tmp_path / f"c{seed}", model="wgan", seed=seed, scores={FID: [spoilt]})
    board = leaderboard(load([tmp_path]))
    first, second, third = board.rows
    assert (first.model, second.model) == ("dcgan", "gan"), "two of three seeds beat none of three"
    assert second.last[FID].values == (5.0, 6.0)
    assert (second.seeds, second.lost, first.lost) == (2, 1, 0)
    assert (third.rank, third.lost) == (None, 3)
    assert leader(board, FID) is first
    assert "comes next with 5.50 ± 0.71, but lost 1 seed" in verdict(board)


@pytest.mark.parametrize(("status", "lost"), [("failed", 0), ("diverged", 1), ("collapsed", 1)])
def test_seed_that_failed_and_was_run_again_is_not_lost(
    tmp_path: Path, status: str, lost: int
) -> None:
    write_run(tmp_path / "gan-001", model="gan", seed=1, status=status)
    for name, seed in (("gan-002", 1), ("gan-003", 2)):
        write_run(tmp_path / name, model="gan", seed=seed, scores={FID: [5.0]})
    write_run(tmp_path / "dcgan-001", seed=1, scores={FID: [50.0]})
    board = leaderboard(load([tmp_path]))
    (row,) = (row for row in board.rows if row.model == "gan")
    assert (row.seeds, row.lost, row.rank) == (2, lost, 1 + lost)
    write_run(tmp_path / "gan-004", model="gan", seed=3, status="failed")
    assert [row.lost for row in leaderboard(load([tmp_path])).rows if row.seeds > 1] == [lost + 1]


def test_trial_that_ends_with_no_number_has_spent_its_budget_for_nothing(tmp_path: Path) -> None:
    for key, values in (("t0", [9.0]), ("t1", [8.0]), ("t2", [3.0, math.nan])):
        write_trial(tmp_path, key, 0.0, scores={FID: values})
    runs = load([tmp_path])
    (family,) = families(trials_of(runs), FID, "minimize", "last")[0]
    assert (family.values, family.lost) == ([9.0, 8.0, 9.0], 1)
    assert [row.settings["x"] for row in leaderboard(runs).ranked] == ["t1", "t0"]


def test_mean_over_survivors_is_marked_best_only_where_every_row_lost_a_seed(
    tmp_path: Path,
) -> None:
    write_trial(tmp_path, "t0", 10.0)
    write_trial(tmp_path, "t1", 9.0)
    write_confirmations(tmp_path, "t0", [10.0, 10.1, 9.9])
    write_confirmations(tmp_path, "t1", [5.0, 5.1])
    lost = tmp_path / "t1-lost"
    write_trial(tmp_path, "t1", 4.0, name=lost.name, role="confirm", seed=103, status="diverged")
    board = leaderboard(load([tmp_path]))
    assert [row.flaw for row in board.rows] == ["", "lost 1 seed"]
    assert leader(board, FID) is board.rows[0]
    write_trial(tmp_path, "t0", 4.0, name="t0-lost", role="confirm", seed=104, status="collapsed")
    board = leaderboard(load([tmp_path]))
    best = leader(board, FID)
    assert best is not None and best.settings["x"] == "t1"


def test_winner_that_breaks_a_constraint_under_fresh_seeds_comes_after_those_that_keep_it(
    tmp_path: Path,
) -> None:
    limits = [{"metric": "seconds", "at_most": True, "bound": 60.0}]
    for key, fid, seconds in (("t0", 10.0, 50.0), ("t1", 5.0, 59.0)):
        write_trial(tmp_path, key, fid, seconds=seconds, constraints=limits)
        for seed in (101, 102):
            took = seconds + 3.0 * (seed - 101)  # t1: 59 and 62 seconds
            name = f"c-{key}-s{seed}"
            run: dict[str, Any] = {"name": name, "role": "confirm", "seed": seed}
            value = fid + seed - 101
            write_trial(tmp_path, key, value, seconds=took, constraints=limits, **run)
    board = leaderboard(load([tmp_path]))
    flaws = [(row.settings["x"], row.rank, row.flaw) for row in board.rows]
    assert flaws == [("t0", 1, ""), ("t1", 2, "breaks seconds <= 60 (60.5)")]
    assert "comes next with 5.50 ± 0.71, but breaks seconds <= 60 (60.5)." in verdict(board)
    assert cautions(board)[0].startswith("dcgan (x t1) breaks seconds <= 60 (60.5) with its fresh")
    only = [run for run in board.runs if "t1" in run.directory.name]
    assert verdict(leaderboard(only)).endswith("dcgan breaks seconds <= 60 (60.5).")


def test_what_breaks_a_constraint_under_fresh_seeds_beats_none_on_the_pareto_front(
    tmp_path: Path,
) -> None:
    limits = [{"metric": "seconds", "at_most": True, "bound": 60.0}]
    for key, fid, share, seconds in (("t0", 10.0, 0.5, 50.0), ("t1", 5.0, 0.9, 61.0)):
        run: dict[str, Any] = {"name": f"c-{key}-s101", "role": "confirm", "seed": 101}
        goals = [{"metric": "fid", "direction": "minimize", "at": "last"}, COVERED]
        scores = {COVERAGE: [share]}
        for more in ({}, run):
            write_trial(
                tmp_path, key, fid, seconds=seconds, constraints=limits, goals=goals,
                scores=scores, **more,
            )  # fmt: skip
    ((_, trials, confirmed),) = fronts(leaderboard(load([tmp_path])))
    assert trials and len(trials.candidates) == 1
    assert confirmed and [one.point for one in confirmed.members] == [(5.0, 0.9), (10.0, 0.5)]


def test_no_row_leads_where_two_with_a_lost_seed_have_the_same_mean(tmp_path: Path) -> None:
    for model in ("gan", "dcgan"):
        for seed, value in enumerate((5.0, 7.0)):
            write_run(tmp_path / f"{model}{seed}", model=model, seed=seed, scores={FID: [value]})
        write_run(tmp_path / f"{model}2", model=model, seed=2, status="diverged")
    board = leaderboard(load([tmp_path]))
    assert [(row.rank, row.flaw) for row in board.rows] == [(1, "lost 1 seed")] * 2
    said = verdict(board)
    assert said.startswith("No clear winner: dcgan has ") and "gan has the same." in said
    assert "leads" not in said and said.endswith("dcgan lost 1 seed.")
