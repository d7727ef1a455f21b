"""Figures of fidelity, diversity and FID with its errors; warnings about too few samples."""

from pathlib import Path
from typing import Any

import pytest
from report_records import FID, protocol, write_evaluation, write_run

from gansweep.judging.leaderboard import Board, leaderboard
from gansweep.judging.protocols import measured_with
from gansweep.records.read import load
from gansweep.report.figures.fidelity import fid_and_its_errors, fidelity_against_diversity
from gansweep.report.figures.palette import variants
from gansweep.report.page.cautions import cautions, measured
from gansweep.report.page.page import write_report

BIG = "fid_digitsnet_10k_test"
INFINITY = "fid_infinity_digitsnet_10k_test"
RESIDUAL = "fid_infinity_residual_digitsnet_10k_test"
STATED = {"n_fake": 10_000, "split": "test", "feature_width": 64}
FIDS = {
    BIG: protocol("fid", "minimize", **STATED),
    INFINITY: protocol("fid_infinity", "minimize", **STATED),
    RESIDUAL: protocol("fid_infinity_residual", None, **STATED),
}


def evaluated(
    directory: Path,
    model: str,
    fid: float,
    endless: float | None,
    error: float | None = None,
    endless_error: float | None = None,
) -> None:
    record = write_run(directory / model, model=model)
    entry: dict[str, Any] = {"value": fid}
    if error is not None:
        entry["interval"] = [fid - error, fid + error]
    scores: dict[str, Any] = {BIG: entry}
    if endless is not None:
        scores |= {INFINITY: {"value": endless}, RESIDUAL: 0.1}
    if endless is not None and endless_error is not None:
        scores[INFINITY]["interval"] = [endless - endless_error, endless + endless_error]
    write_evaluation(record, scores, {name: FIDS[name] for name in scores})


def board_of(directory: Path) -> Board:
    return leaderboard(load([directory]))


def test_fid_infinity_and_the_interval_are_shown_with_their_fid(tmp_path: Path) -> None:
    evaluated(tmp_path, "dcgan", 5.0, 3.0, error=0.4)
    evaluated(tmp_path, "gan", 9.0, 6.5, error=0.6, endless_error=0.7)
    board = board_of(tmp_path)
    first, second = measured(board, BIG)
    assert (first.fid, first.endless, first.residual) == (5.0, 3.0, 0.1)
    assert (first.bias, first.error, second.row.model) == (2.0, pytest.approx(0.4), "gan")
    assert (first.endless_error, second.endless_error) == (None, pytest.approx(0.7))
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    of_fid = "<small>4.60 to 5.40, 95 % for the mean FID of 10,000 samples</small>"
    assert f"{of_fid}<small>FID-infinity 3 (fit ± 0.1)</small>" in text
    assert "<small>FID-infinity 6.5 ± 0.7 (95 %; fit ± 0.1)</small>" in text
    (figure,) = fid_and_its_errors(board, variants(board))
    assert [trace["x"] for trace in figure.data] == [[5.0], [3.0], [9.0], [6.5]]
    bars = [trace.get("error_x", {}).get("array") for trace in figure.data]
    assert bars == [[pytest.approx(0.4)], None, [pytest.approx(0.6)], [pytest.approx(0.7)]]


def test_fid_infinity_of_another_protocol_or_checkpoint_is_not_used(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    other = {INFINITY: FIDS[INFINITY] | {"n_real": 10}}
    write_evaluation(record, {INFINITY: 3.0}, other)
    write_evaluation(record, {BIG: 5.0}, FIDS)
    write_evaluation(record, {"fid_infinity_x": 2.0}, {"fid_infinity_x": FIDS[INFINITY]}, "last.pt")
    (run,) = load([tmp_path])
    assert measured_with(run, BIG, "fid_infinity") is None


def test_biases_that_differ_by_more_than_the_scores_are_reported(
    tmp_path: Path,
) -> None:
    evaluated(tmp_path, "dcgan", 5.0, 4.0)
    evaluated(tmp_path, "gan", 5.5, 3.0)
    (sentence,) = cautions(board_of(tmp_path))
    assert sentence.startswith(f"{BIG} is 1 to 2.5 above its value for infinitely many")
    assert "dcgan and gan differ by 0.5, their biases by 1.5, which reverses the order" in sentence


def test_equal_biases_and_large_differences_are_not_reported(tmp_path: Path) -> None:
    evaluated(tmp_path, "dcgan", 5.0, 4.0, error=0.2)
    evaluated(tmp_path, "gan", 9.0, 7.5, error=0.2)
    assert cautions(board_of(tmp_path)) == []


def test_a_difference_within_the_errors_is_reported(tmp_path: Path) -> None:
    evaluated(tmp_path, "dcgan", 5.0, None, error=0.3)
    evaluated(tmp_path, "gan", 5.4, None, error=0.4)
    evaluated(tmp_path, "wgan_gp", 7.0, None, error=0.4)
    (sentence,) = cautions(board_of(tmp_path))
    assert sentence == (
        f"{BIG} cannot separate dcgan from gan: a difference of 0.4, but the error of measurement "
        "is ± 0.5 (95 %)."
    )


def test_few_samples_for_the_width_of_the_features_are_reported(tmp_path: Path) -> None:
    wide = {FID: protocol("fid", "minimize", n_fake=5000, feature_width=2048)}
    write_run(tmp_path / "a", protocols=wide)
    (sentence,) = cautions(board_of(tmp_path))
    assert "measured on 5,000 samples in 2,048 dimensions" in sentence
    assert "metrics.n_fake=20480" in sentence


def test_fidelity_is_drawn_against_the_diversity_of_the_same_protocol(tmp_path: Path) -> None:
    stated = {
        "precision_a": protocol("precision", "maximize"),
        "recall_a": protocol("recall", "maximize"),
        "recall_b": protocol("recall", "maximize", split="test"),
    }
    for seed, (precision, recall) in enumerate([(0.8, 0.3), (0.6, 0.5)]):
        scores = {"precision_a": [precision], "recall_a": [recall], "recall_b": [0.9]}
        write_run(tmp_path / str(seed), seed=seed, scores=scores, protocols=stated)
    board = board_of(tmp_path)
    (figure,) = fidelity_against_diversity(board, variants(board))
    runs, mean = figure.data
    assert (runs["x"], runs["y"]) == ([0.3, 0.5], [0.8, 0.6])
    assert (mean["x"], mean["y"]) == ([pytest.approx(0.4)], [pytest.approx(0.7)])
    assert mean["text"] == ["dcgan"] and "dcgan 0.4 and 0.7" in figure.alt


def test_a_pair_measured_in_training_and_after_it_is_shown_once(tmp_path: Path) -> None:
    stated = {word: protocol(word, "maximize") for word in ("density", "coverage")}
    scores = {"density": [0.9], "coverage": [0.7]}
    record = write_run(tmp_path / "a", scores=scores, protocols=stated)
    write_evaluation(record, {"density": 1.2, "coverage": 0.8}, stated)
    board = board_of(tmp_path)
    (figure,) = fidelity_against_diversity(board, variants(board))
    assert figure.data[0]["y"] == [1.2]
    low, high = figure.layout["yaxis"]["range"]
    assert low < 1.1 and high > 1.2
