"""Sweeps with several objectives: the front, its figures and its tables."""

import random
from pathlib import Path
from typing import Any

import pytest
from report_records import FID
from report_sweeps import BIG, GOALS, write_confirmations, write_trial

from gansweep.judging.leaderboard import Board, leaderboard
from gansweep.judging.pareto import fronts
from gansweep.judging.ranking import pareto_front
from gansweep.records.read import load
from gansweep.report.page.payload import boards_of
from gansweep.report.page.search_part import search_part
from gansweep.report.tables import leaderboard_text


def board_of(directory: Path) -> Board:
    return leaderboard(load([directory]))


def shown_fronts(directory: Path) -> list[dict[str, Any]]:
    """The fronts as the page is told."""
    (shown,) = boards_of(load([directory]))
    found: list[dict[str, Any]] = search_part(shown.board, shown.rows, shown.runs)["fronts"]
    return found


def write_trade_off(directory: Path) -> None:
    """Four trials of (fid, seconds); (20, 30) and (25, 30) are beaten by (15, 20)."""
    for key, fid, seconds in (("t0", 10, 40), ("t1", 15, 20), ("t2", 20, 30), ("t3", 30, 10)):
        write_trial(directory, key, float(fid), goals=GOALS, seconds=float(seconds))
    write_trial(directory, "t4", 25.0, goals=GOALS, seconds=30.0)
    write_trial(directory, "t5", 1.0, goals=GOALS, seconds=1.0, status="pruned")


def test_the_front_is_what_nothing_beats() -> None:
    points = [(10, 40), (15, 20), (20, 30), (30, 10), (15, 20), (10, 41)]
    assert pareto_front(points, ["minimize", "minimize"]) == [0, 1, 3, 4]
    assert pareto_front(points, ["minimize", "maximize"]) == [5]
    assert pareto_front(points, ["maximize", "maximize"]) == [2, 3, 5]
    assert pareto_front([], ["minimize"]) == []


def test_every_point_left_out_is_beaten_by_one_of_the_front() -> None:
    rng = random.Random(0)
    points = [tuple(rng.randrange(6) for _ in range(3)) for _ in range(60)]
    front = pareto_front(points, ["minimize"] * 3)
    best = [points[i] for i in front]
    for place, point in enumerate(points):
        beaten = any(
            all(a <= b for a, b in zip(other, point, strict=True)) and other != point
            for other in best
        )
        assert beaten == (place not in front)


def test_the_trials_on_the_front_are_found_whatever_else_they_measured(tmp_path: Path) -> None:
    write_trade_off(tmp_path)
    ((sweep, trials, confirmed),) = fronts(board_of(tmp_path))
    assert trials and confirmed is None and trials.columns == (FID, "seconds")
    assert [one.run for one in trials.members] == ["t0", "t1", "t3"]
    assert len(trials.candidates) == 5, "a pruned trial is no candidate"


def test_the_page_is_told_every_candidate_and_which_are_on_the_front(tmp_path: Path) -> None:
    write_trade_off(tmp_path)
    (front,) = shown_fronts(tmp_path)
    trials = front["trials"]
    assert (trials["columns"], trials["directions"]) == ([FID, "seconds"], ["minimize"] * 2)
    on_front = {one["run"]: one["on_front"] for one in trials["points"]}
    assert on_front == {"t0": True, "t1": True, "t2": False, "t3": True, "t4": False}
    assert trials["points"][0]["point"] == [10.0, 40.0] and front["confirmed"] is None


def test_confirmed_configurations_make_a_front_with_their_intervals(tmp_path: Path) -> None:
    write_trade_off(tmp_path)
    write_confirmations(tmp_path, "t0", [12.0, 14.0, 19.0], goals=GOALS, seconds=40.0)
    write_confirmations(tmp_path, "t3", [30.0, 30.0, 30.0], goals=GOALS, seconds=50.0)
    (front,) = shown_fronts(tmp_path)
    # 15 ± 4.302653 * sqrt(13 / 3); t3 turned out worse in both
    first, second = front["confirmed"]["points"]
    assert (first["point"], second["on_front"]) == ([15.0, 40.0], False)
    assert first["reach"] == [pytest.approx(8.956686), None]
    text = leaderboard_text(board_of(tmp_path))
    assert "dcgan (x t0), 3 seeds: 15.0 ± 3.6 [6.0, 24.0]; 40 ± 0" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_confirmed_on_a_larger_sample_has_columns_of_its_own(tmp_path: Path) -> None:
    write_trade_off(tmp_path)
    write_confirmations(tmp_path, "t0", [9.0, 9.5], score=BIG, goals=GOALS, seconds=40.0)
    (front,) = shown_fronts(tmp_path)
    assert (front["trials"]["columns"][0], front["confirmed"]["columns"][0]) == (FID, BIG)


def test_one_objective_has_no_front(tmp_path: Path) -> None:
    for number in range(3):
        write_trial(tmp_path, f"t{number}", 10.0)
    assert shown_fronts(tmp_path) == [] and "Pareto" not in leaderboard_text(board_of(tmp_path))
