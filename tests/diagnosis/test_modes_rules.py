"""The rule of mode collapse on scripted curves, and curves just below its thresholds."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from diagnosis_evidence import EVEN, evidence, found

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.diagnosis.modes import Filling, perfect_coverage


def kl(shares: Sequence[float]) -> float:
    """Reverse KL of a histogram over equally likely modes."""
    total = math.fsum(shares)
    return math.fsum(s / total * math.log(s / total * len(shares)) for s in shares if s)


def collapsed(shares: Sequence[float], **given: Any) -> Evidence:
    scores = {
        "reverse_kl": [kl(shares)] * 8,
        "modes": [float(sum(s > 0 for s in shares))] * 8,
        "high_quality": [0.9] * 8,
    }
    return evidence(scores=scores, counts=shares, **given)


def test_two_modes_of_eight_are_a_collapse_with_its_numbers_and_names() -> None:
    finding = found("mode_collapse", collapsed([450, 450, *[0] * 6], names=list("abcdefgh")))
    assert finding is not None and finding.severity == "failure"
    assert "fill 2 of 8 modes" in finding.text and "worth 2.0 evenly filled" in finding.text
    assert "no c" in finding.text and "among 1,000 samples" in finding.text
    assert finding.columns[:2] == ("modes", "reverse_kl")
    assert finding.kimg == (75, 100)


@pytest.mark.parametrize(
    ("shares", "severity"),
    [
        ([112] * 8, None),
        ([128] * 7 + [0], "warning"),
        ([150] * 6 + [0] * 2, "warning"),
        ([300] * 3 + [0] * 5, "failure"),
        ([840] + [10] * 7, "failure"),
        ([300] + [86] * 7, None),
        ([500] + [57] * 7, "warning"),
    ],
)
def test_missing_and_uneven_modes_weigh_by_what_is_left(
    shares: list[float], severity: str | None
) -> None:
    finding = found("mode_collapse", collapsed(shares))
    assert (finding.severity if finding else None) == severity


def test_a_run_that_recovered_its_modes_is_not_ill() -> None:
    scores = {
        "reverse_kl": [2.0] * 7 + [1.0, 0.01],
        "modes": [1.0] * 7 + [4.0, 8.0],
        "high_quality": [0.9] * 9,
    }
    assert found("mode_collapse", evidence(scores=scores, counts=EVEN)) is None


def test_lost_modes_are_told_with_the_time_when_there_were_more() -> None:
    scores = {
        "reverse_kl": [0.0] * 4 + [1.4] * 5,
        "modes": [8.0] * 4 + [2.0] * 5,
        "high_quality": [0.9] * 9,
    }
    finding = found("mode_collapse", evidence(scores=scores, counts=[450, 450, *[0] * 6]))
    assert finding is not None and "They filled 8 at 22.22 kimg." in finding.text


def test_images_are_judged_by_the_modes_that_a_classifier_is_sure_of() -> None:
    """The published scores count every sample as some class, even noise."""
    scores = {
        "reverse_kl": [0.02] * 8,
        "modes": [8.0] * 8,
        "confident_reverse_kl": [kl([450, 450, *[0] * 6])] * 8,
        "confident_modes": [2.0] * 8,
    }
    finding = found("mode_collapse", evidence(scores=scores, counts=[450, 450, *[0] * 6]))
    assert finding is not None and finding.severity == "failure"
    assert finding.columns[:2] == ("confident_modes", "confident_reverse_kl")
    even = {**scores, "confident_reverse_kl": [0.02] * 8, "confident_modes": [8.0] * 8}
    even |= {"reverse_kl": [1.4] * 8, "modes": [2.0] * 8}
    assert found("mode_collapse", evidence(scores=even, counts=EVEN)) is None


def test_too_few_good_samples_tell_nothing_of_modes() -> None:
    scores = {"reverse_kl": [1.4] * 9, "modes": [2.0] * 9, "high_quality": [0.01] * 9}
    assert found("mode_collapse", evidence(scores=scores, counts=[5, 5, *[0] * 6])) is None


def test_perfect_samples_of_a_thousand_modes_are_whole_though_some_modes_are_empty() -> None:
    """With 5,000 perfect samples about 7 of 1,000 modes are empty; the reverse KL is 0.1."""
    even = [0.001] * 1000
    perfect = Filling(kimg=1, captured=993, reverse_kl=0.1, good=5000, shares=even)
    assert perfect.missing < 1 and perfect.share == pytest.approx(1, abs=1e-3)
    assert Filling(kimg=1, captured=900, reverse_kl=0.2, good=5000, shares=even).missing > 80


def test_perfect_samples_of_rare_modes_are_whole_though_a_rare_one_is_empty() -> None:
    """A mode with a thousandth of the data is empty among 1,000 samples with 0.999^1000 = 0.37."""
    rare = Filling(kimg=1, captured=3, reverse_kl=0.001, good=1000, shares=[0.333] * 3 + [0.001])
    assert rare.missing < 1 and rare.share == pytest.approx(1, abs=1e-3)
    common = Filling(kimg=1, captured=3, reverse_kl=0.29, good=1000, shares=[0.25] * 4)
    assert common.missing == pytest.approx(1, abs=1e-6)


def test_unequal_modes_are_counted_by_their_share_of_the_data() -> None:
    """All samples in one mode of 9/16: the reverse KL is log(16/9)."""
    scores = {"reverse_kl": [math.log(16 / 9)] * 8, "modes": [1.0] * 8, "high_quality": [0.9] * 8}
    shares = [9 / 16, *[1 / 16] * 7]
    given = evidence(scores=scores, counts=[900, *[0] * 7], mode_shares=shares)
    finding = found("mode_collapse", given)
    assert finding is not None and "fill 1 of 8 modes" in finding.text
    assert "stand for 56% of the data" in finding.text


def test_a_run_that_comes_back_is_no_failure() -> None:
    scores = {
        "reverse_kl": [1.4] * 8 + [0.4],
        "modes": [2.0] * 8 + [6.0],
        "high_quality": [0.9] * 9,
    }
    finding = found("mode_collapse", evidence(scores=scores, counts=EVEN))
    assert finding is not None and finding.severity == "warning"
    assert "fill 6 of " in finding.text


def test_samples_are_judged_in_the_second_half_alone() -> None:
    for until, expected in ((49.0, False), (51.0, True)):
        given = collapsed([450, 450, *[0] * 6], until=until, status="running")
        assert (found("mode_collapse", given) is not None) == expected


def test_without_modes_recall_and_coverage_show_a_collapse() -> None:
    def of(precision: float, recall: float, coverage: float) -> Finding | None:
        scores = {"precision": precision, "recall": recall, "coverage": coverage}
        return found("mode_collapse", evidence(scores={w: [v] * 9 for w, v in scores.items()}))

    few = of(0.98, 0.18, 0.22)  # of digits, all 3s and 8s
    assert few is not None and few.severity == "failure" and "recall is 0.18" in few.text
    copied = of(0.91, 0.40, 0.40)
    assert copied is not None and copied.severity == "warning"
    assert of(0.50, 0.91, 0.62) is None  # a healthy run
    assert of(0.25, 0.46, 0.09) is None  # noise: no collapse
    assert of(0.0, 0.0, 0.0) is None


def test_coverage_shows_a_collapse_without_recall() -> None:
    def of(precision: float, coverage: float) -> Finding | None:
        scores = {"precision": [precision] * 9, "coverage": [coverage] * 9}
        return found("mode_collapse", evidence(scores=scores))

    few = of(0.95, 0.02)
    assert few is not None and few.severity == "failure"
    assert "data: coverage is 0.02" in few.text and "recall" not in few.text
    assert of(0.95, 0.90) is None and of(0.05, 0.02) is None


@pytest.mark.parametrize(("n_real", "n_fake"), [(1000, 1000), (1000, 360)])
def test_perfect_coverage_agrees_with_a_simulation(n_real: int, n_fake: int) -> None:
    """Samples on a line: a real one is covered if a fake is among its nearest."""
    import random

    rng = random.Random(0)
    real = sorted(rng.random() for _ in range(n_real))
    fake = [rng.random() for _ in range(n_fake)]
    covered = 0
    for value in real:
        radius = sorted(abs(other - value) for other in real)[5]
        covered += any(abs(other - value) < radius for other in fake)
    expected = perfect_coverage({"n_real": n_real, "n_fake": n_fake})
    assert covered / n_real == pytest.approx(expected, abs=0.03)


def test_a_constant_generator_is_the_collapse_that_the_record_says() -> None:
    given = evidence(status="collapsed", reason="constant since 3 kimg", until=8.0)
    finding = found("mode_collapse", given)
    assert finding is not None and "constant since 3 kimg" in finding.text
