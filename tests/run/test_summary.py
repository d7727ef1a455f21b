"""What a run prints at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_records import FID, MODES, PROTOCOLS, write_run

from gansweep.records.record import RunRecord
from gansweep.run.summary import summary

PRECISION = "precision_digitsnet_2k_train"


def summary_lines(directory: Path, scores: dict[str, list[float]], **more: Any) -> list[str]:
    record = write_run(directory, scores=scores, reason="the budget was spent", **more)
    result = record.result()
    assert result is not None
    return summary(result, directory).splitlines()


def test_the_summary_has_the_scores_of_two_moments_each_of_one_network(tmp_path: Path) -> None:
    # the best FID at 2 kimg; precision and modes have their own best elsewhere
    scores = {PRECISION: [0.5, 0.3, 0.4], FID: [30.0, 20.0, 25.0], MODES: [9.0, 7.0, 8.0]}
    lines = summary_lines(tmp_path / "a", scores, objective=FID)
    assert lines[0] == "finished after 3 kimg: the budget was spent"
    assert [line.split() for line in lines[2:5]] == [
        [FID, "20", "25"],
        [PRECISION, "0.3", "0.4"],
        [MODES, "7", "8"],
    ]
    assert lines[1].split("best, ")[-1].split("last, ") == ["2 kimg  ", "3 kimg"]
    assert lines[5] == f"wrote {tmp_path / 'a'}" and max(map(len, lines[:5])) <= 80


def test_one_column_where_the_end_is_the_best_moment(tmp_path: Path) -> None:
    lines = summary_lines(tmp_path / "a", {FID: [30.0, 20.0], MODES: [9.0, 8.0]}, objective=FID)
    assert lines[1].endswith("best and last, 2 kimg") and lines[2].split() == [FID, "20"]


def test_a_run_without_an_objective_or_without_scores_has_no_best(tmp_path: Path) -> None:
    assert summary_lines(tmp_path / "a", {FID: [30.0, 40.0]})[1].endswith("last, 2 kimg")
    assert summary_lines(tmp_path / "b", {})[1].startswith("wrote ")


def test_a_score_that_was_not_measured_at_the_best_moment_is_a_dash(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    write_run(directory, scores={FID: [20.0, 30.0]}, objective=FID)
    record = RunRecord(directory)
    result = record.result() or {}
    result["last"][MODES] = {"value": 8.0, "kimg": 2.0}
    result["protocols"][MODES] = PROTOCOLS[MODES]
    assert summary(result, directory).splitlines()[3].split() == [MODES, "–", "8"]


def test_a_run_that_never_learned_says_so(tmp_path: Path) -> None:
    name = "in_no_mode_2k"
    protocols = {n: PROTOCOLS[n] for n in (FID, PRECISION)}
    protocols[name] = {**PROTOCOLS[FID], "score": "in_no_mode"}
    scores = {FID: [62.29], PRECISION: [0.0], name: [1.0]}
    lines = summary_lines(tmp_path / "a", scores, protocols=protocols, objective=FID)
    assert lines[1].startswith("never learned: no sample resembles the data")


def test_a_run_of_ones_own_classes_is_continued_with_their_package(tmp_path: Path) -> None:
    words = ["model=mine", "extra_packages=[my_nets]"]
    lines = summary_lines(tmp_path / "a", {FID: [30.0]}, status="interrupted", overrides=words)
    assert lines[-3].endswith(f"gansweep train resume={tmp_path / 'a'} 'extra_packages=[my_nets]'")


def test_a_stopped_run_is_continued_by_the_first_command(tmp_path: Path) -> None:
    lines = summary_lines(tmp_path / "a", {FID: [30.0]}, status="interrupted")
    assert lines[-3] == f"next: gansweep train resume={tmp_path / 'a'}"
    lines = summary_lines(tmp_path / "b", {FID: [30.0]})
    assert lines[-1].endswith(f"gansweep train resume={tmp_path / 'b'} budget_kimg=2")
    lines = summary_lines(tmp_path / "c", {FID: [30.0]}, status="diverged", budget_kimg=100.0)
    assert lines[-1].endswith(f"gansweep train resume={tmp_path / 'c'}")
