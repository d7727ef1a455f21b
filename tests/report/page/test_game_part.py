"""Which numbers of quality the page shows of each configuration."""

from pathlib import Path
from typing import Any

import pytest
from report_records import COUNTS, FID, PROTOCOLS, protocol, write_evaluation, write_run

from gansweep.judging.leaderboard import Board, leaderboard
from gansweep.judging.protocols import measured_with
from gansweep.records.read import load
from gansweep.records.record import RunRecord
from gansweep.report.page.cautions import cautions, measured
from gansweep.report.page.game_part import game_part
from gansweep.report.page.payload import boards_of

BIG = "fid_digitsnet_10k_test"
INFINITY = "fid_infinity_digitsnet_10k_test"
RESIDUAL = "fid_infinity_residual_digitsnet_10k_test"
STATED = {"n_fake": 10_000, "split": "test", "feature_width": 64}
FIDS = {
    BIG: protocol("fid", "minimize", **STATED),
    INFINITY: protocol("fid_infinity", "minimize", **STATED),
    RESIDUAL: protocol("fid_infinity_residual", None, **STATED),
}
CONFUSION = "confusion_digitsnet_20"


def game(directory: Path) -> dict[str, Any]:
    (shown,) = boards_of(load([directory]))
    return game_part(shown.board, shown.rows, shown.runs)


def board_of(directory: Path) -> Board:
    return leaderboard(load([directory]))


def modes(directory: Path) -> dict[str, Any]:
    """Of the only configuration."""
    (found,) = game(directory)["modes"].values()
    return dict(found)


def write_counts(
    directory: Path,
    counts: list[int],
    names: list[str] | None,
    n_fake: int = 12,
    shares: list[float] | None = None,
    **run: Any,
) -> None:
    counted = protocol("mode_counts", None, n_fake=n_fake, mode_names=names, mode_shares=shares)
    record = write_run(directory, protocols={FID: PROTOCOLS[FID], COUNTS: counted}, **run)
    record.append({"kimg": 2.0, "seconds": 4.0, COUNTS: counts})


def test_missing_modes_are_named_with_the_seeds_that_miss_them(tmp_path: Path) -> None:
    for seed, counts in enumerate([[5, 0, 5], [4, 4, 2]]):
        write_counts(tmp_path / str(seed), counts, None, seed=seed)
    found = modes(tmp_path)
    assert found["note"] == "No mode 1 among 12 samples in 1 of 2 seeds."
    assert (found["score"], found["count"], len(found["runs"])) == (COUNTS, 3, 2)


def test_a_generator_of_no_mode_at_all_is_told_as_such(tmp_path: Path) -> None:
    write_counts(tmp_path / "a", [0, 0], None)
    assert modes(tmp_path)["note"] == "None of the 2 modes among 12 samples."


def test_modes_carry_the_names_that_their_protocol_gives_them(tmp_path: Path) -> None:
    write_counts(tmp_path / "a", [12, 0, 0], ["cat", "dog", "<i>"])
    found = modes(tmp_path)
    assert found["names"] == ["cat", "dog", "<i>"]
    assert found["note"] == "No dog and no <i> among 12 samples."


def test_the_mode_counts_with_the_most_samples_are_shown(tmp_path: Path) -> None:
    write_counts(tmp_path / "a", [6, 6, 0], None)
    counted = protocol("mode_counts", None, n_fake=1000)
    record = RunRecord(tmp_path / "a")
    write_evaluation(record, {"mode_counts_1k": [500, 450, 50]}, {"mode_counts_1k": counted})
    found = modes(tmp_path)
    assert found["score"].startswith("mode_counts_1k")
    assert found["note"] == "All 3 modes occur in 1,000 samples."


def test_many_modes_come_with_the_counts_that_chance_gives(tmp_path: Path) -> None:
    write_counts(tmp_path / "gan", [24] * 500 + [0] * 500, None, 12_000)
    found = game(tmp_path)
    (chance,) = found["chance"]
    assert (chance["count"], chance["samples"], len(chance["ranks"])) == (1000, 12_000, 200)
    # of 12 expected samples in a mode, the fullest of 1,000 has about 24 by chance, half of them 12
    assert chance["shares"][0] == pytest.approx(24 / 12, abs=0.2)
    assert chance["shares"][100] == 1.0
    assert chance["shares"] == sorted(chance["shares"], reverse=True)
    (mode,) = found["modes"].values()
    assert "No mode 500, no mode 501" in mode["note"] and "495 more" in mode["note"]


def test_unequal_modes_have_no_line_and_no_chance_of_an_even_distribution(tmp_path: Path) -> None:
    write_counts(tmp_path / "a", [12, 0, 0], None, shares=[0.8, 0.1, 0.1])
    assert not modes(tmp_path)["even"]
    shares = [0.5, *[0.5 / 99] * 99]
    write_counts(tmp_path / "many" / "a", [1] * 100, None, 100, shares=shares)
    assert game(tmp_path / "many")["chance"] == []


def test_the_table_of_seen_classes_with_the_most_samples_is_shown(tmp_path: Path) -> None:
    stated = {"n_fake": 20, "split": None, "class_names": ["cat", "<dog>"]}
    few, more = protocol("confusion", None, **stated), "confusion_digitsnet_2k"
    record = write_run(tmp_path / "0", protocols={FID: PROTOCOLS[FID], CONFUSION: few})
    record.append({"kimg": 2.0, "seconds": 4.0, "protocol": {CONFUSION: few}})
    record.append({"kimg": 2.0, "seconds": 4.0, CONFUSION: [8, 2, 0, 10]})
    many = protocol("confusion", None, **{**stated, "n_fake": 2000})
    write_evaluation(record, {more: [900, 100, 0, 1000]}, {more: many})
    (found,) = game(tmp_path)["confusions"].values()
    assert found["score"].startswith(more) and found["names"] == ["cat", "<dog>"]
    assert found["count"] == 2


def test_runs_without_classes_have_no_table_of_them(tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    found = game(tmp_path)
    assert found["confusions"] == {} and found["modes"] == {} and found["class_fids"] == []


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


def test_fid_infinity_and_the_errors_are_told_with_their_fid(tmp_path: Path) -> None:
    evaluated(tmp_path, "dcgan", 5.0, 3.0, error=0.4)
    evaluated(tmp_path, "gan", 9.0, 6.5, error=0.6, endless_error=0.7)
    first, second = measured(board_of(tmp_path), BIG)
    assert (first.fid, first.endless, first.residual) == (5.0, 3.0, 0.1)
    assert (first.bias, first.error, second.row.model) == (2.0, pytest.approx(0.4), "gan")
    (certainty,) = game(tmp_path)["certainty"]
    points = [(one["fid"], one["endless"]) for one in certainty["points"]]
    assert certainty["score"] == BIG and points == [(5.0, 3.0), (9.0, 6.5)]
    assert [one["endless_error"] for one in certainty["points"]] == [None, pytest.approx(0.7)]


def test_fid_infinity_of_another_protocol_or_checkpoint_is_not_used(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    other = {INFINITY: FIDS[INFINITY] | {"n_real": 10}}
    write_evaluation(record, {INFINITY: 3.0}, other)
    write_evaluation(record, {BIG: 5.0}, FIDS)
    write_evaluation(record, {"fid_infinity_x": 2.0}, {"fid_infinity_x": FIDS[INFINITY]}, "last.pt")
    (run,) = load([tmp_path])
    assert measured_with(run, BIG, "fid_infinity") is None


def test_biases_that_differ_by_more_than_the_scores_are_reported(tmp_path: Path) -> None:
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


def test_fidelity_is_paired_with_the_diversity_of_the_same_protocol(tmp_path: Path) -> None:
    stated = {
        "precision_a": protocol("precision", "maximize"),
        "recall_a": protocol("recall", "maximize"),
        "recall_b": protocol("recall", "maximize", split="test"),
    }
    scores = {"precision_a": [0.8], "recall_a": [0.3], "recall_b": [0.9]}
    write_run(tmp_path / "0", scores=scores, protocols=stated)
    pair = {"x": "recall_a", "y": "precision_a", "words": ["precision", "recall"]}
    assert game(tmp_path)["fidelity"] == [pair]


def test_a_pair_measured_in_training_and_after_it_is_shown_once(tmp_path: Path) -> None:
    stated = {word: protocol(word, "maximize") for word in ("density", "coverage")}
    scores = {"density": [0.9], "coverage": [0.7]}
    record = write_run(tmp_path / "a", scores=scores, protocols=stated)
    write_evaluation(record, {"density": 1.2, "coverage": 0.8}, stated)
    (pair,) = game(tmp_path)["fidelity"]
    assert pair["y"].startswith("density (checkpoint")


def test_the_line_of_perfect_samples_comes_from_the_protocol(tmp_path: Path) -> None:
    stated = {
        FID: protocol("fid", "minimize", floor=2.5),
        "fifty": protocol("fifty_fifty", "minimize"),
    }
    write_run(tmp_path / "a", scores={FID: [5.0], "fifty": [0.7]}, protocols=stated)
    marks = game(tmp_path)["marks"]
    assert (marks[FID]["value"], marks["fifty"]["value"]) == (2.5, 0.5)
    assert "perfect samples" in marks[FID]["note"]
