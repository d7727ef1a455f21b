"""The best score expected of a budget, and what a sweep's budget went to."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
from report_records import FID, MODES, PROTOCOLS, write_run
from report_sweeps import BIG, write_confirmations, write_trial

from gansweep.judging.expected_best import expected_best, families
from gansweep.judging.leaderboard import leader, leaderboard
from gansweep.judging.trials import spent_by_end, sweeps_of, trials_of
from gansweep.judging.verdict import verdict
from gansweep.records.read import load
from gansweep.report.page.payload import boards_of
from gansweep.report.page.search_part import search_part


def search(directory: Path) -> dict[str, Any]:
    """What the page is told of the search."""
    (shown,) = boards_of(load([directory]))
    return search_part(shown.board, shown.rows, shown.runs)


def test_the_expected_best_of_one_two_three_worked_by_hand() -> None:
    # of 9 draws of two, 1 has the maximum 1, 3 have 2 and 5 have 3; of 27 of three, 1, 7 and 19
    found = expected_best([3.0, 1.0, 2.0], "maximize")
    assert found.mean == pytest.approx([2, (1 + 6 + 15) / 9, (1 + 14 + 57) / 27])
    least = expected_best([3.0, 1.0, 2.0], "minimize")
    assert least.mean == pytest.approx([2, (5 + 6 + 3) / 9, (19 + 14 + 3) / 27])
    assert least.low == [1.0, 1.0, 1.0]
    # the unluckiest twentieth: 1 draw in 9 is all 3s, but only 1 in 27
    assert least.high == [3.0, 3.0, 2.0]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_expected_best_is_that_of_every_draw_with_replacement(direction: str) -> None:
    values = [7.5, 2.0, 4.0, 4.0, 11.0]
    found = expected_best(values, direction)
    best = min if direction == "minimize" else max
    for k in range(1, len(values) + 1):
        drawn = sorted(best(draw) for draw in itertools.product(values, repeat=k))
        assert found.mean[k - 1] == pytest.approx(math.fsum(drawn) / len(drawn))
        # from the worst draw to the best: the first that a twentieth of them does not pass
        drawn.sort(reverse=direction == "minimize")
        edges = [drawn[math.ceil(share * len(drawn)) - 1] for share in (0.05, 0.95)]
        assert [found.low[k - 1], found.high[k - 1]] == sorted(edges)


def test_minimising_mirrors_maximising() -> None:
    values = [5.0, 1.0, 8.0, 3.0]
    down, up = expected_best(values, "minimize"), expected_best([-v for v in values], "maximize")
    assert down.mean == pytest.approx([-v for v in up.mean])
    assert (down.low, down.high) == ([-v for v in up.high], [-v for v in up.low])


def test_a_trial_that_came_to_nothing_counts_with_the_worst_value_of_the_sweep(
    tmp_path: Path,
) -> None:
    for key, fid in (("t0", 10.0), ("t1", 20.0)):
        write_trial(tmp_path, key, fid, kimg=50.0)
    # its FID was low before it diverged: that is no outcome
    write_trial(tmp_path, "t2", 1.0, status="diverged", kimg=20.0)
    write_trial(tmp_path, "t3", 90.0, model="gan", kimg=50.0)
    write_trial(tmp_path, "t4", 5.0, status="running", kimg=5.0)
    found, missing = families(trials_of(load([tmp_path])), FID, "minimize", "last")
    (family,) = found
    assert sorted(family.values) == [10.0, 20.0, 90.0] and family.lost == 1
    assert family.kimg == pytest.approx((50 + 50 + 20) / 3)
    assert missing == {"gan": "1 trial ended, of at least 3"}


def test_a_trial_stopped_early_counts_with_its_last_score_at_its_own_cost(tmp_path: Path) -> None:
    write_trial(tmp_path, "t0", 10.0, kimg=50.0)
    write_trial(tmp_path, "t1", 30.0, status="pruned", kimg=10.0)
    write_trial(tmp_path, "t2", 1.0, status="diverged", kimg=20.0)
    (family,), _ = families(trials_of(load([tmp_path])), FID, "minimize", "last")
    assert (family.values, family.spent, family.lost) == ([10.0, 30.0, 30.0], [50.0, 10.0, 20.0], 1)


def test_each_model_has_a_curve_with_the_cost_of_a_trial(tmp_path: Path) -> None:
    for number, fid in enumerate([10.0, 20.0, 30.0]):
        write_trial(tmp_path, f"a{number}", fid, kimg=50.0, seconds=10.0)
        write_trial(tmp_path, f"b{number}", fid + 5, model="gan", kimg=50.0, seconds=5.0)
    (budget,) = search(tmp_path)["budget"]
    first, second = budget["families"]
    assert (first["model"], first["kimg"], first["seconds"]) == ("dcgan", 50.0, 10.0)
    assert first["mean"] == pytest.approx([20, 140 / 9, 360 / 27])
    assert (second["model"], second["seconds"], second["lost"]) == ("gan", 5.0, 0)


def test_a_search_is_told_as_it_went_too(tmp_path: Path) -> None:
    for key, fid, kimg in (("t0", 5.0, 50.0), ("t1", 30.0, 20.0), ("t2", 4.0, 50.0)):
        write_trial(tmp_path, key, fid, kimg=kimg)
    write_trial(tmp_path, "t3", 1.0, kimg=10.0, status="diverged")
    (family,) = search(tmp_path)["budget"][0]["families"]
    assert (family["spent"], family["so_far"]) == ([50, 20, 50, 10], [5, 5, 4, 4])


def test_too_few_trials_have_no_curve_but_the_reason(tmp_path: Path) -> None:
    for number in range(2):
        write_trial(tmp_path, f"t{number}", 10.0 + number)
    (budget,) = search(tmp_path)["budget"]
    assert budget["families"] == []
    assert budget["missing"] == {"dcgan": "2 trials ended, of at least 3"}


def test_runs_outside_a_sweep_are_no_search(tmp_path: Path) -> None:
    write_run(tmp_path / "plain")
    assert search(tmp_path) == {}


def test_seeds_of_a_trial_are_one_trial_with_the_cost_of_all(tmp_path: Path) -> None:
    for key, values in (("t0", [10.0, 14.0]), ("t1", [20.0, 30.0]), ("t2", [40.0, 41.0])):
        for seed, fid in enumerate(values):
            write_trial(tmp_path, key, fid, seed=seed, name=f"{key}-s{seed}", kimg=50.0)
    # one seed that diverged decides, and so does a seed that was never run
    write_trial(tmp_path, "t3", 1.0, name="t3-s0", kimg=50.0)
    write_trial(tmp_path, "t3", 1.0, name="t3-s1", seed=1, status="diverged", kimg=10.0)
    write_trial(tmp_path, "t4", 1.0, name="t4-s0", kimg=50.0)
    runs = load([tmp_path])
    trials = {trial.name: trial for trial in trials_of(runs)}
    assert [trial.status for trial in trials.values()] == [*["finished"] * 3, "diverged", "pruned"]
    assert (trials["t0"].value(FID, "last"), trials["t0"].kimg) == (12.0, 100.0)
    (family,) = families(list(trials.values()), FID, "minimize", "last")[0]
    assert family.values == [12.0, 25.0, 40.5, 40.5, 40.5]
    board = leaderboard(runs)
    assert (board.rows[0].seeds, board.rows[0].last[FID].mean) == (2, 12.0)
    # what has but one of its two seeds comes last, however good that one is
    assert [row.settings["x"] for row in board.rows] == ["t0", "t1", "t2", "t3", "t4"]
    (sweep,) = sweeps_of(runs)
    assert [(spent.end, spent.count) for spent in spent_by_end(sweep)] == [
        ("finished", 3),
        ("pruned", 1),
        ("diverged", 1),
    ]


def test_a_trial_that_breaks_a_constraint_is_no_outcome_of_the_search(tmp_path: Path) -> None:
    limits = [
        {"metric": "seconds", "at_most": True, "bound": 60.0},
        {"metric": "modes", "at_most": False, "bound": 8.0},
    ]
    for key, fid, seconds, modes in (
        ("t0", 10.0, 60.0, 8.0),
        ("t1", 1.0, 61.0, 9.0),
        ("t2", 2.0, 50.0, 7.0),
        ("t3", 20.0, 50.0, 9.0),
    ):
        scores = {MODES: [modes]}
        write_trial(tmp_path, key, fid, seconds=seconds, scores=scores, constraints=limits)
    runs = load([tmp_path])
    (sweep,) = sweeps_of(runs)
    assert {s.end: s.count for s in spent_by_end(sweep)} == {
        "finished": 2,
        "beyond a constraint": 2,
    }
    (family,) = families(sweep.trials, FID, "minimize", "last")[0]
    assert family.values == [10.0, 20.0, 20.0, 20.0]
    board = leaderboard(runs)
    ranks = {row.settings["x"]: row.rank for row in board.rows}
    assert ranks == {"t0": 1, "t3": 2, "t1": None, "t2": None}
    assert "t0) has the best mean" in verdict(board) and leader(board, FID) is board.rows[0]
    broken = [run for run in runs if run.directory.name in ("t1", "t2")]
    assert "no trial has all its seeds and meets every constraint" in verdict(leaderboard(broken))


def test_the_budget_is_told_by_the_end_of_the_trials_it_went_to(tmp_path: Path) -> None:
    write_trial(tmp_path, "t0", 10.0, kimg=60.0, seconds=30.0)
    write_trial(tmp_path, "t1", 10.0, kimg=10.0, seconds=5.0, status="pruned")
    for key, failure in (("t2", "bug"), ("t3", "out_of_memory"), ("t4", "killed"), ("t5", None)):
        write_trial(tmp_path, key, 10.0, kimg=5.0, seconds=None, status="failed", failure=failure)
    write_confirmations(tmp_path, "t0", [11.0, 12.0], kimg=5.0, seconds=5.0)
    (sweep,) = sweeps_of(load([tmp_path]))
    found = {spent.end: spent for spent in spent_by_end(sweep)}
    assert list(found) == [
        "finished", "pruned", "failed: a bug", "failed: out of memory", "failed: killed too often",
        "failed", "confirmation runs",
    ]  # fmt: skip
    assert found["finished"].share == 0.6 and found["confirmation runs"].share == 0.1
    assert (found["pruned"].seconds, found["failed: a bug"].seconds) == (5.0, None)
    (outcomes,) = search(tmp_path)["outcomes"]
    first = {"end": "finished", "count": 1, "kimg": 60.0, "share": 0.6, "seconds": 30.0}
    assert (outcomes["trials"], outcomes["ends"][0]) == (6, first)


def test_winners_confirmed_on_a_larger_sample_rank_by_it_and_trials_by_theirs(
    tmp_path: Path,
) -> None:
    for key, fid in (("t0", 10.0), ("t1", 12.0), ("t2", 11.0)):
        write_trial(tmp_path, key, fid)
    write_confirmations(tmp_path, "t0", [9.0, 9.5], score=BIG)
    write_confirmations(tmp_path, "t1", [7.0, 7.5], score=BIG)
    board = leaderboard(load([tmp_path]))
    assert (board.metric, board.trial_metric, board.refused) == (BIG, FID, [])
    assert [(row.stage, row.settings["x"]) for row in board.rows] == [
        ("confirmed", "t1"),
        ("confirmed", "t0"),
        ("trial", "t2"),
    ]
    summary = board.judged(board.rows[0])
    # of the confirmed runs alone, and never mixed with the trial's own FID
    assert summary and summary.values == (7.0, 7.5) and FID not in board.rows[0].last
    assert set(PROTOCOLS) & set(board.rows[2].last) == {FID}
    found = search(tmp_path)
    assert found["metric"] == FID and {one["value"] for one in found["trials"]} == {10, 11, 12}
