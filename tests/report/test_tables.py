import csv
import io
import json
from pathlib import Path

import pytest
from report_records import FID, MODES, part_of_sweep, protocol, write_run

from gansweep.errors import UserError
from gansweep.judging.leaderboard import Board, leaderboard
from gansweep.records.read import load
from gansweep.report.tables import (
    latex_escape,
    leaderboard_csv,
    leaderboard_latex,
    leaderboard_text,
)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    for seed, value in enumerate([2.0, 4.0, 9.0]):
        scores = {FID: [value, value + 1], MODES: [9.0, 8.0]}
        write_run(tmp_path / f"d{seed}", seed=seed, scores=scores)
    write_run(tmp_path / "w", model="wgan_gp", scores={FID: [7.0]})
    return leaderboard(load([tmp_path]))


@pytest.fixture
def mixed(tmp_path: Path) -> Board:
    write_run(tmp_path / "a", scores={FID: [5.0], MODES: [9.0]})
    other = {FID: protocol("fid", "minimize", n_real=10), MODES: protocol("modes", "maximize")}
    write_run(tmp_path / "b", model="wgan", scores={FID: [6.0], MODES: [8.0]}, protocols=other)
    return leaderboard(load([tmp_path]))


def test_csv_has_each_scores_mean_spread_and_protocol(board: Board) -> None:
    first, second = csv.DictReader(io.StringIO(leaderboard_csv(board)))
    assert (first["rank"], first["configuration"], first["seeds"]) == ("1", "dcgan", "3")
    assert float(first[f"{FID}_best_mean"]) == 5.0
    assert float(first[f"{FID}_best_std"]) == pytest.approx(13**0.5)
    assert float(first[f"{FID}_best_stderr"]) == pytest.approx((13 / 3) ** 0.5)
    assert float(first[f"{FID}_last_mean"]) == 6.0
    # 6 ± 4.302653 * sqrt(13 / 3)
    assert float(first[f"{FID}_last_ci95_low"]) == pytest.approx(6 - 8.956686)
    assert float(first[f"{FID}_last_ci95_high"]) == pytest.approx(6 + 8.956686)
    assert second[f"{FID}_last_ci95_low"] == ""
    assert json.loads(first[f"{FID}_protocol"])["n_real"] == 1437
    assert (second[f"{FID}_best_std"], second[f"{MODES}_best_mean"]) == ("", "")


@pytest.mark.parametrize("name", ["modes", MODES])
def test_tables_of_one_score_find_it_by_its_word_too(mixed: Board, name: str) -> None:
    board = leaderboard(mixed.runs, name)
    first, second = csv.DictReader(io.StringIO(leaderboard_csv(board, name)))
    assert [line[f"{MODES}_last_mean"] for line in (first, second)] == ["9.0", "8.0"]
    assert json.loads(first[f"{MODES}_protocol"])["score"] == "modes"
    latex = leaderboard_latex(board, name)
    assert f"% {MODES}: {{" in latex and r"\textbf{9}" in latex


def test_csv_keeps_a_spreadsheet_from_reading_a_name_as_a_formula(tmp_path: Path) -> None:
    write_run(tmp_path / "a", model="=SUM(A1)")
    (row,) = csv.DictReader(io.StringIO(leaderboard_csv(leaderboard(load([tmp_path])))))
    assert row["model"] == "'=SUM(A1)"


def test_latex_is_an_escaped_booktabs_table_with_the_best_in_bold(board: Board) -> None:
    lines = leaderboard_latex(board).splitlines()
    assert r"\toprule" in lines and r"\bottomrule" in lines and lines[-1] == r"\end{tabular}"
    assert any(line.startswith(f"% {FID}: ") and "1437" in line for line in lines)
    # 6 ± t * 3.606 / sqrt(3), where Student's t of 2 degrees of freedom is 4.303
    assert r"dcgan & \textbf{6.0 $\pm$ 3.6} & [$-$3.0, 15.0] & 8 $\pm$ 0 & 3 & 2 \\" in lines
    assert r"wgan\_gp & 7 & -- & -- & 1 & 1 \\" in lines
    assert r"Configuration & fid\_digitsnet\_2k\_train & 95 \% interval & modes\_2k" in str(
        lines[5]
    )


def test_latex_escape_leaves_nothing_that_tex_reads() -> None:
    assert latex_escape(r"a_b & 50% of $x #1 {~^\}") == (
        r"a\_b \& 50\% of \$x \#1 \{\textasciitilde{}\textasciicircum{}\textbackslash{}\}"
    )


@pytest.mark.parametrize("table", [leaderboard_csv, leaderboard_latex])
def test_a_table_refuses_mixed_protocols_but_for_a_score_that_has_one(
    mixed: Board, table: object
) -> None:
    assert callable(table)
    with pytest.raises(UserError, match=f"(?s)n_real=1437.*n_real=10.*--metric {MODES}"):
        table(mixed)
    text = table(mixed, MODES)
    assert "modes" in text and "fid" not in text


@pytest.mark.parametrize("width", [50, 80, 120])
def test_the_terminal_table_keeps_its_width_and_names_every_row(board: Board, width: int) -> None:
    text = leaderboard_text(board, width)
    assert max(map(len, text.splitlines())) <= width
    shown = ("6.0 ± 3.6", "[-3.0, 15.0]", "± standard deviation over seeds")
    for word in ("dcgan", "wgan_gp", *shown, "lower is better", "No clear winner"):
        assert word in text


def test_a_long_name_is_cut_in_the_table_and_stands_whole_below_it(tmp_path: Path) -> None:
    name = "a_gan_with_a_name_that_no_terminal_can_hold_" * 2
    write_run(tmp_path / "a", model=name)
    lines = leaderboard_text(leaderboard(load([tmp_path])), 60).splitlines()
    assert len(lines[2]) <= 60 and "…" in lines[2]
    assert name in "".join(line.strip() for line in lines)


def test_where_nothing_has_finished_the_terminal_shows_no_empty_table(tmp_path: Path) -> None:
    write_run(tmp_path / "a", status="failed", reason="out of memory")
    said = leaderboard_text(leaderboard(load([tmp_path])))
    assert said == "There is no winner yet: no run has finished."


def test_the_terminal_shows_what_was_confirmed_then_the_best_trial_of_other_models(
    tmp_path: Path,
) -> None:
    outcomes = {"dcgan": [5.0, 6.0], "wgan_gp": [8.0, 7.0], "gan": [9.0]}
    for model, values in outcomes.items():
        for number, value in enumerate(values):
            params = {"model": model, "model.n_critic": number + 1}
            part = part_of_sweep(f"{model}{number}", params)
            write_run(tmp_path / f"{model}{number}", model=model, scores={FID: [value]}, sweep=part)
    params = {"model": "dcgan", "model.n_critic": 1}
    confirm = part_of_sweep("c", params, "confirm")
    write_run(tmp_path / "c", seed=101, scores={FID: [5.5]}, sweep=confirm)
    text = leaderboard_text(leaderboard(load([tmp_path])))
    above, below = text.split("Best trial of each other model")
    assert "dcgan (n_critic 1)  " in above and "5.5" in above and "dcgan (n_critic 2)" not in text
    assert below.index("wgan_gp (n_critic 2)") < below.index("gan  ")
    assert "wgan_gp (n_critic 1)" not in text


def test_long_settings_are_listed_below_the_table_and_with_the_latex(
    tmp_path: Path,
) -> None:
    for key, lr in (("t0000", 0.001), ("t0001", 0.002)):
        params = {"model.optimizer.generator.lr": lr, "model.a_long_name_of_a_setting": lr}
        write_run(tmp_path / key, scores={FID: [lr]}, sweep=part_of_sweep(key, params))
    board = leaderboard(load([tmp_path]))
    lines = leaderboard_text(board).splitlines()
    assert [line.split()[:3] for line in lines[2:3]] == [["1", "dcgan", "t0000"]]
    assert "dcgan t0000: lr 0.001, a_long_name_of_a_setting 0.001" in lines
    latex = leaderboard_latex(board)
    assert "% dcgan t0001: lr 0.002, a_long_name_of_a_setting 0.002" in latex
    assert "\ndcgan t0001 & 0.002" in latex


def test_the_terminal_says_how_many_seeds_have_no_result(tmp_path: Path) -> None:
    write_run(tmp_path / "a", seed=0)
    write_run(tmp_path / "b", seed=1, status="diverged")
    line = leaderboard_text(leaderboard(load([tmp_path]))).splitlines()[2]
    assert "  1 of 2  " in line
