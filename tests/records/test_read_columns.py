"""Scores of evaluations after training get separate columns."""

from pathlib import Path
from typing import Any

import pytest
from report_records import COUNTS, FID, PROTOCOLS, protocol, write_evaluation, write_run

from gansweep.judging.leaderboard import leaderboard
from gansweep.metrics.protocol import score_name
from gansweep.records.read import load

BIG = "fid_digitsnet_10k_test"
BIG_PROTOCOL = protocol("fid", "minimize", n_fake=10_000, split="test", n_real=360)


def test_a_score_under_a_new_protocol_becomes_a_score_of_the_run(tmp_path: Path) -> None:
    for number, value in enumerate([4.0, 3.0]):
        record = write_run(tmp_path / str(number), seed=number)
        entry = {"value": value, "std": 0.2, "interval": [value - 0.4, value + 0.4]}
        write_evaluation(record, {BIG: entry}, {BIG: BIG_PROTOCOL}, kimg=2.0)
    runs = load([tmp_path])
    found = runs[0].last(BIG)
    assert found and (found.value, found.kimg, found.std) == (4.0, 2.0, 0.2)
    assert found.interval == (3.6, 4.4)
    board = leaderboard(runs, BIG)
    assert board.rows[0].last[BIG].mean == 3.5
    assert set(board.scores) == {FID, BIG} and not board.refused


def test_a_score_of_the_same_name_gets_a_column_that_says_what_differs(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a", scores={FID: [9.0, 8.0]})
    write_run(tmp_path / "b", seed=1, scores={FID: [7.0, 6.0]})
    write_evaluation(record, {FID: 5.0}, {FID: PROTOCOLS[FID]})
    board = leaderboard(load([tmp_path]))
    own = f"{FID} (checkpoint best.pt)"
    assert set(board.scores) == {FID, own} and not board.refused
    assert board.rows[0].last[FID].values == (8.0, 6.0)
    assert board.rows[0].last[own].values == (5.0,)


@pytest.mark.parametrize(
    ("checkpoint", "changed", "difference"),
    [
        ("last.pt", {}, "(checkpoint last.pt)"),
        ("best.pt", {"n_real": 500}, "(n_real 500)"),
        ("best.pt", {"noise_seed": 1}, ""),
    ],
)
def test_evaluations_that_differ_never_share_a_column(
    tmp_path: Path, checkpoint: str, changed: dict[str, int], difference: str
) -> None:
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=1)
    write_evaluation(first, {BIG: 5.0}, {BIG: BIG_PROTOCOL})
    write_evaluation(second, {BIG: 4.0}, {BIG: {**BIG_PROTOCOL, **changed}}, checkpoint)
    board = leaderboard(load([tmp_path]))
    assert not board.refused
    columns = set(board.scores) - {FID}
    if not difference:
        assert columns == {BIG} and board.rows[0].last[BIG].values == (5.0, 4.0)
    else:
        assert len(columns) == 2 and f"{BIG} {difference}" in columns


CONFIDENT, EVERY = {"min_confidence": 0.55}, {"counted": "every sample"}
ASKED = {"asked": "labels of the training split"}


@pytest.mark.parametrize(
    ("word", "before", "now"),
    [
        ("modes", CONFIDENT, EVERY),
        ("reverse_kl", CONFIDENT, EVERY),
        ("fid", {}, {"asked": "every class alike"}),
        ("class_agreement", {"asked": "as often as in training"}, ASKED),
        ("support", {"real_support": 1e5}, {"real_support": 1e5, "real_copies": 0}),
        ("recall", {"n_fake": 2000, "n_real": 1437}, {"n_fake": 1437, "n_real": 1437}),
    ],
)
def test_scores_with_a_changed_rule_share_no_column_with_older_ones(
    tmp_path: Path, word: str, before: dict[str, Any], now: dict[str, Any]
) -> None:
    for seed, changed in enumerate((before, now)):
        stated = protocol(word, "maximize", **changed)
        name = score_name(stated)
        write_run(tmp_path / str(seed), seed=seed, scores={name: [1.0]}, protocols={name: stated})
    board = leaderboard(load([tmp_path]))
    named = {name for run in board.runs for name in run.protocols}
    assert len(named) == 2 or [refusal.score for refusal in board.refused] == [*named]


def test_the_newest_of_equal_evaluations_counts(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    for value in (5.0, 4.5):
        write_evaluation(record, {BIG: value}, {BIG: BIG_PROTOCOL})
    (run,) = load([tmp_path])
    found = run.last(BIG)
    assert found and found.value == 4.5


def test_evaluated_mode_counts_are_read_as_a_list(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    counts = "mode_counts_10k"
    write_evaluation(record, {counts: [5, 0, 7]}, {counts: protocol("mode_counts", None)})
    (run,) = load([tmp_path])
    assert run.numbers(counts) == [5.0, 0.0, 7.0] and run.called("mode_counts") == [counts]
    assert counts not in run.scores() and run.numbers(COUNTS) == []


def test_a_torn_evaluation_becomes_a_note(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    with open(record.evaluations_path, "ab") as file:
        file.write(b'{"when": "2026')
    (run,) = load([tmp_path])
    assert run.scores() == [FID]
    assert any("evaluations.jsonl: skipped 1 damaged line" in note for note in run.notes)
