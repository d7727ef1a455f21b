"""Names of scores, and which numbers can be compared."""

import subprocess
import sys

import pytest
from report_records import protocol

from gansweep.metrics.protocol import (
    Score,
    comparable,
    count_word,
    interval_holds,
    protocol_key,
    score_name,
    scores_called,
)

FID = protocol("fid", "minimize")


@pytest.mark.parametrize(
    ("n", "word"), [(500, "500"), (1000, "1k"), (2500, "2500"), (10_000, "10k"), (50_000, "50k")]
)
def test_counts_are_short_words(n: int, word: str) -> None:
    assert count_word(n) == word


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "fid_digitsnet_2k_train"),
        ({"backbone": "inception", "n_fake": 10_000}, "fid_10k_train"),
        ({"backbone": "inception0a1b2c3d"}, "fid_inception0a1b2c3d_2k_train"),
        ({"score": "kid", "split": "test"}, "kid_digitsnet_2k_test"),
        ({"score": "is", "splits": 10, "split": None}, "is_digitsnet_2k_10splits"),
        ({"score": "modes", "n_fake": 2500, "backbone": None}, "modes_2500"),
        ({"score": "mode_counts", "n_fake": 500}, "mode_counts_500"),
    ],
)
def test_a_name_carries_its_protocol(changes: dict[str, object], name: str) -> None:
    assert score_name(FID | changes) == name
    assert Score(1.0, FID | changes).name == name


def test_only_the_noise_may_differ_between_compared_numbers() -> None:
    assert comparable(FID, FID | {"noise_seed": 8})
    assert protocol_key(FID) == protocol_key(FID | {"noise_seed": 8})
    for key in FID.keys() - {"noise_seed"}:
        assert not comparable(FID, FID | {key: "another"}), key


def test_the_interval_of_fid_says_that_it_is_of_its_number_of_samples() -> None:
    assert interval_holds(FID) == "the mean FID of 2,000 samples"
    assert interval_holds(FID | {"score": "fid_infinity"}) == "the FID of infinitely many samples"
    assert interval_holds(FID | {"score": "fifty_fifty"}) == ""


def test_a_word_stands_for_every_score_of_its_kind() -> None:
    scores = {"fid_a": FID, "fid_b": FID | {"n_fake": 1000}, "unknown": {}}
    assert scores_called(scores, "fid") == ["fid_a", "fid_b"]
    assert scores_called(scores, "kid") == []


def test_the_protocol_needs_no_torch() -> None:
    code = "import sys, gansweep.metrics.protocol; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
