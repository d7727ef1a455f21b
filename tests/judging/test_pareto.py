"""Sweeps with several objectives: the front, its figures and its tables."""

import random
from pathlib import Path

import pytest
from report_records import FID
from report_sweeps import BIG, COVERAGE, COVERED, GOALS, write_confirmations, write_trial

from gansweep.judging.leaderboard import Board, leaderboard
from gansweep.judging.pareto import fronts
from gansweep.judging.ranking import pareto_front
from gansweep.records.read import load
from gansweep.report.figures.palette import variants
from gansweep.report.figures.pareto import pareto_figures
from gansweep.report.page.page import write_report
from gansweep.report.page.section import Section
from gansweep.report.page.sections import sections
from gansweep.report.tables import leaderboard_text


def board_of(directory: Path) -> Board:
    return leaderboard(load([directory]))


def section(board: Board) -> Section | None:
    return next((s for s in sections(board, variants(board)) if s.anchor == "pareto"), None)


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


def test_the_figure_joins_the_front_by_stairs_and_pales_the_others(tmp_path: Path) -> None:
    write_trade_off(tmp_path)
    (figure,) = pareto_figures(board_of(tmp_path))
    stairs, dots = figure.data
    assert (stairs["x"], stairs["y"]) == ([10, 15, 30], [40, 20, 10])
    assert stairs["line"]["shape"] == "hv"
    assert dots["marker"]["opacity"] == [1, 1, 0.3, 1, 0.3]
    assert "5 trials" in figure.alt and "dcgan (x t0) 10 and 40" in figure.alt
    assert "lower is better" in figure.layout["xaxis"]["title"]["text"]


def test_stairs_of_a_score_to_maximise_rise_before_they_go_right(tmp_path: Path) -> None:
    goals = [COVERED, GOALS[0]]
    for key, fid, share in (("t0", 10.0, 0.5), ("t1", 20.0, 0.9), ("t2", 30.0, 0.7)):
        write_trial(tmp_path, key, fid, goals=goals, scores={COVERAGE: [share]})
    stairs, _ = pareto_figures(board_of(tmp_path))[0].data
    assert (stairs["x"], stairs["y"]) == ([0.5, 0.9], [10, 20])
    assert stairs["line"]["shape"] == "vh"


def test_three_objectives_have_a_figure_for_each_pair(tmp_path: Path) -> None:
    for number in range(4):
        share, seconds = 0.5 + number / 10, 10.0 * (1 + number % 2)
        key, fid = f"t{number}", 10.0 + number
        scores = {COVERAGE: [share]}
        write_trial(tmp_path, key, fid, goals=[*GOALS, COVERED], scores=scores, seconds=seconds)
    titles = [figure.title for figure in pareto_figures(board_of(tmp_path))]
    assert titles == [
        f"seconds against {FID}",
        f"{COVERAGE} against {FID}",
        f"{COVERAGE} against seconds",
    ]


def test_confirmed_configurations_make_the_table_with_their_intervals(tmp_path: Path) -> None:
    write_trade_off(tmp_path)
    write_confirmations(tmp_path, "t0", [12.0, 14.0, 19.0], goals=GOALS, seconds=40.0)
    write_confirmations(tmp_path, "t3", [30.0, 30.0, 30.0], goals=GOALS, seconds=50.0)
    board = board_of(tmp_path)
    found = section(board)
    assert found
    # 15 ± 4.302653 * sqrt(13 / 3); t3 turned out worse in both
    assert found.tables[0].rows == [["dcgan (x t0)", "3", "15.0 ± 3.6 [6.0, 24.0]", "40 ± 0"]]
    assert "confirmed with fresh seeds, 1 of 2 configurations" in found.tables[0].caption
    pytest.importorskip("plotly.graph_objects").Figure(found.figures[0].json)
    rings = [t for t in found.figures[0].data if t.get("marker", {}).get("symbol")]
    assert [ring["x"] for ring in rings] == [[15.0], [30.0]]
    assert rings[0]["error_x"]["array"] == pytest.approx([8.956686])
    text = leaderboard_text(board)
    assert "dcgan (x t0), 3 seeds: 15.0 ± 3.6 [6.0, 24.0]; 40 ± 0" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_confirmed_on_a_larger_sample_is_not_drawn_among_the_trials(
    tmp_path: Path,
) -> None:
    write_trade_off(tmp_path)
    write_confirmations(tmp_path, "t0", [9.0, 9.5], score=BIG, goals=GOALS, seconds=40.0)
    found = section(board_of(tmp_path))
    assert found and found.tables[0].heads[2].startswith(BIG)
    assert len(found.figures[0].data) == 2


def test_one_objective_has_no_front(tmp_path: Path) -> None:
    for number in range(3):
        write_trial(tmp_path, f"t{number}", 10.0)
    board = board_of(tmp_path)
    assert section(board) is None and "Pareto" not in leaderboard_text(board)


def test_the_page_shows_the_front(tmp_path: Path) -> None:
    write_trade_off(tmp_path)
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "This ranks by the first of 2 objectives" in text
    assert 'id="pareto"' in text and "Pareto front of the trials, 3 of 5 configurations" in text
