"""Each rule on scripted curves: what it fires on, and how little less leaves it silent."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from diagnosis_evidence import BALANCED, evidence, points, scored

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.diagnosis.gaps import gaps
from gansweep.diagnosis.modes import Filling, perfect_coverage
from gansweep.diagnosis.rules import RULES, diagnose

EVEN = [125.0] * 8  # 1,000 samples in eight modes


def found(rule: str, given: Evidence) -> Finding | None:
    finding = RULES[rule](given)
    assert finding is None or finding.rule == rule
    return finding


def kl(shares: Sequence[float]) -> float:
    """Reverse KL of a histogram over equally likely modes."""
    total = math.fsum(shares)
    return math.fsum(s / total * math.log(s / total * len(shares)) for s in shares if s)


# ---- mode collapse


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
    assert finding.numbers["modes"] == 2 and finding.numbers["of"] == 8
    assert finding.numbers["evenly_filled"] == pytest.approx(2, rel=0.01)
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


def test_too_few_good_samples_tell_nothing_of_modes() -> None:
    scores = {"reverse_kl": [1.4] * 9, "modes": [2.0] * 9, "high_quality": [0.01] * 9}
    assert found("mode_collapse", evidence(scores=scores, counts=[5, 5, *[0] * 6])) is None


def test_perfect_samples_of_a_thousand_modes_are_whole_though_some_modes_are_empty() -> None:
    """Of 5,000 perfect samples about 7 of 1,000 modes get none, at a reverse KL of 0.1."""
    perfect = Filling(kimg=1, captured=993, reverse_kl=0.1, good=5000, modes=1000)
    assert perfect.missing < 1 and perfect.share == pytest.approx(1, abs=1e-3)
    assert Filling(kimg=1, captured=900, reverse_kl=0.2, good=5000, modes=1000).missing > 80


def test_a_run_that_comes_back_is_no_failure() -> None:
    scores = {
        "reverse_kl": [1.4] * 8 + [0.4],
        "modes": [2.0] * 8 + [6.0],
        "high_quality": [0.9] * 9,
    }
    finding = found("mode_collapse", evidence(scores=scores, counts=EVEN))
    assert finding is not None and finding.severity == "warning"
    assert finding.numbers["modes"] == 6


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


@pytest.mark.parametrize(("n_real", "n_fake"), [(1000, 1000), (1000, 360)])
def test_perfect_coverage_agrees_with_a_simulation(n_real: int, n_fake: int) -> None:
    """Samples of one line: a real one is covered where a fake is among its nearest."""
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


# ---- the game


def game(**changed: Sequence[float]) -> dict[str, Sequence[float]]:
    named = {name.replace("__", "/"): values for name, values in changed.items()}
    return {**BALANCED, **named}


WINNING = game(
    balance__real_accuracy=[1.0] * 20,
    balance__fake_accuracy=[1.0] * 20,
    balance__fake_mean=[0.01] * 20,
)


def test_a_discriminator_without_an_error_overpowers() -> None:
    finding = found("discriminator_overpowers", evidence(WINNING))
    assert finding is not None and finding.severity == "failure"
    assert "D(G(z)) = 0.01" in finding.text
    assert finding.columns[0] == "balance/fake_mean"


@pytest.mark.parametrize(
    "changed",
    [
        {"balance/fake_mean": [0.06] * 20},
        {"balance/fake_accuracy": [0.98] * 20},
        {"balance/fake_accuracy": [1.0] * 14 + [0.8] * 6},  # recovered
        {"balance/fake_accuracy": [1.0] * 5, "balance/real_accuracy": [1.0] * 5},  # too few looks
    ],
)
def test_an_able_discriminator_does_not_overpower(changed: dict[str, list[float]]) -> None:
    assert found("discriminator_overpowers", evidence({**WINNING, **changed})) is None


def test_it_is_a_warning_while_quality_improves() -> None:
    scores = {"fid": [50, 45, 40, 35, 30, 25, 20, 15, 10]}
    finding = found("discriminator_overpowers", evidence(WINNING, scores=scores))
    assert finding is not None and finding.severity == "warning"
    assert finding.text.startswith("Quality still improves")


def test_winning_by_memory_is_told() -> None:
    given = evidence({**WINNING, "overfit/r_v": [0.9] * 9, "overfit/r_t": [1.0] * 9})
    finding = found("discriminator_overpowers", given)
    assert finding is not None and "r_v = 0.90" in finding.text


@pytest.mark.parametrize(
    ("loss", "value", "fires"),
    [
        ("Hinge", 0.03, True),
        ("Hinge", 0.05, False),
        ("LeastSquares", 0.004, True),
        ("Wasserstein", 1e-9, False),
    ],
)
def test_of_other_losses_the_value_shows_who_wins(loss: str, value: float, fires: bool) -> None:
    config = {"model": {"loss": {"_target_": f"gansweep.losses.{loss}"}}}
    columns = {"loss/discriminator": [value] * 20, "critic/gap": [2.0] * 20}
    given = evidence(columns, config=config)
    assert (found("discriminator_overpowers", given) is not None) == fires


@pytest.mark.parametrize(
    ("norms", "columns", "fires"),
    [
        ([1.0] * 5 + [0.01] * 15, WINNING, True),
        ([1.0] * 5 + [0.03] * 15, WINNING, False),  # thirty times less: it still learns
        ([1.0] * 5 + [0.01] * 15, BALANCED, False),  # an equilibrium has small gradients too
        ([1.0] * 5 + [0.0] * 15, WINNING, True),
        ([1.0] * 5 + [0.01] * 8 + [0.5] * 7, WINNING, False),  # it came back
    ],
)
def test_a_gradient_vanishes_only_while_the_discriminator_wins(
    norms: list[float], columns: dict[str, Sequence[float]], fires: bool
) -> None:
    given = evidence({**columns, "grad_norm/generator": norms})
    assert (found("vanishing_gradient", given) is not None) == fires


def test_a_fooled_discriminator_takes_all_for_real() -> None:
    columns = game(balance__fake_accuracy=[0.02] * 20, balance__fake_mean=[0.9] * 20)
    finding = found("discriminator_fooled", evidence(columns))
    assert finding is not None and "right on 2.0% of generated" in finding.text
    columns = game(balance__fake_accuracy=[0.2] * 20)
    assert found("discriminator_fooled", evidence(columns)) is None


def test_a_dead_discriminator_is_told_from_an_equilibrium() -> None:
    flat = {"balance/distance": [0.0] * 20}
    dead = game(grad_norm__discriminator=[1.0] * 4 + [0.0] * 16) | flat
    assert found("discriminator_fooled", evidence(dead)) is not None
    at_rest = game(grad_norm__discriminator=[1.0] * 4 + [0.05] * 16) | flat
    assert found("discriminator_fooled", evidence(at_rest)) is None
    critic = {
        "critic/gap": [0.0] * 20,
        "critic/real_mean": [3.0] * 20,
        "grad_norm/discriminator": [1.0] * 4 + [0.0] * 16,
    }
    assert found("discriminator_fooled", evidence(critic)) is not None


def test_the_game_is_not_judged_in_the_first_fifth() -> None:
    for rule in ("discriminator_overpowers", "discriminator_fooled"):
        assert found(rule, evidence(WINNING, until=19.0, status="running")) is None


# ---- oscillation


@pytest.mark.parametrize(
    ("word", "values", "fires"),
    [
        ("high_quality", [0.5] * 5 + [0.9, 0.5, 0.9, 0.5, 0.9], True),
        ("high_quality", [0.5] * 5 + [0.6, 0.5, 0.6, 0.5, 0.6], False),  # too small
        ("high_quality", [0.9, 0.3, 0.9, 0.3, 0.9] + [0.8] * 5, False),  # it has settled
        ("high_quality", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95], False),  # it rises
        ("fid", [20.0] * 5 + [20, 45, 20, 45, 20], True),
        ("fid", [20.0] * 5 + [20, 35, 20, 35, 20], False),
    ],
)
def test_quality_swings_up_and_down_and_up_again(
    word: str, values: list[float], fires: bool
) -> None:
    finding = found("oscillation", evidence(scores={word: values}))
    assert (finding is not None) == fires
    assert finding is None or finding.severity == "failure"


def test_reverse_kl_of_few_good_samples_is_noise_not_a_swing() -> None:
    scores = {"reverse_kl": [0.2, 1.0] * 6, "modes": [6.0, 3.0] * 6}
    for good, fires in ((0.9, True), (0.01, False)):
        given = evidence(scores={**scores, "high_quality": [good] * 12}, counts=EVEN)
        assert (found("oscillation", given) is not None) == fires


@pytest.mark.parametrize(
    ("columns", "fires"),
    [
        ({"balance/fake_accuracy": [0.0, 1.0] * 12}, True),
        ({"balance/fake_accuracy": [0.3, 0.8] * 12}, False),
        ({"balance/fake_accuracy": [1.0] * 12 + [0.0] * 12}, False),
        ({"critic/gap": [-1.0, 1.2] * 12}, True),
        ({"critic/gap": [0.5, 1.2] * 12}, False),
    ],
)
def test_a_balance_that_swings_between_its_ends_is_a_warning(
    columns: dict[str, list[float]], fires: bool
) -> None:
    finding = found("oscillation", evidence(columns))
    assert (finding is not None) == fires
    assert finding is None or finding.severity == "warning"


# ---- divergence


def test_a_loss_that_is_not_finite_diverges_at_once() -> None:
    given = evidence({"loss/generator": [1.0, 2.0, math.nan]}, until=3.0, status="running")
    finding = found("divergence", given)
    assert finding is not None and "not finite from 3 kimg on" in finding.text
    healed = evidence({"loss/generator": [1.0, math.nan, 2.0]})
    assert found("divergence", healed) is None


@pytest.mark.parametrize(
    ("values", "fires"),
    [
        ([1.0] * 10 + [1e7] * 10, True),
        ([1.0] * 10 + [-2e3] * 10, True),
        ([1.0] * 10 + [500.0] * 10, False),
        ([1e4] * 10 + [1e5] * 10, False),  # scores of that size from the beginning
        ([1e7] * 10 + [1.0] * 10, False),
    ],
)
def test_exploding_losses_diverge(values: list[float], fires: bool) -> None:
    given = evidence({"loss/discriminator": values})
    assert (found("divergence", given) is not None) == fires


@pytest.mark.parametrize(
    ("word", "values", "fires"),
    [
        ("fid", [200, 100, 49, 49, 49, 90, 120, 137, 137], True),
        ("fid", [200, 100, 49, 49, 49, 60, 70, 80, 80], False),
        ("fid", [200, 100, 10, 10, 10, 21, 22, 23, 24], False),  # a small part of what was gained
        ("fid", [200, 100, 49, 49, 49, 137, 90, 60, 50], False),  # it recovered
        ("high_quality", [0, 0.3, 0.8, 0.8, 0.8, 0.3, 0.2, 0.2, 0.2], True),
        ("high_quality", [0, 0.1, 0.2, 0.2, 0.2, 0.05, 0.0, 0.0, 0.0], False),  # never good
    ],
)
def test_lost_quality_diverges(word: str, values: list[float], fires: bool) -> None:
    finding = found("divergence", evidence(scores={word: values}))
    assert (finding is not None) == fires
    assert finding is None or "best.pt" in finding.text


def test_a_diverged_run_says_why_it_ended() -> None:
    given = evidence({"loss/generator": [1.0]}, status="diverged", reason="loss/generator is nan")
    finding = found("divergence", given)
    assert finding is not None and "loss/generator is nan" in finding.text


# ---- over-generalisation, memorisation, slow convergence


@pytest.mark.parametrize(
    ("good", "severity"),
    [(0.55, None), (0.4, "warning"), (0.2, "failure"), (0.0, "failure")],
)
def test_samples_in_no_mode_are_over_generalisation(good: float, severity: str | None) -> None:
    scores = {"reverse_kl": [0.05] * 9, "modes": [8.0] * 9, "high_quality": [good] * 9}
    finding = found("over_generalisation", evidence(scores=scores, counts=EVEN))
    assert (finding.severity if finding else None) == severity


def test_samples_that_still_move_into_the_modes_are_not() -> None:
    rising = [0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.18, 0.2, 0.22]
    scores = {"reverse_kl": [0.05] * 9, "modes": [8.0] * 9, "high_quality": rising}
    assert found("over_generalisation", evidence(scores=scores, counts=EVEN)) is None


@pytest.mark.parametrize(
    ("values", "fires"),
    [
        ({"precision": 0.21, "recall": 0.67, "density": 0.15, "coverage": 0.31}, True),
        ({"precision": 0.9, "recall": 0.9, "density": 0.1, "coverage": 0.6}, True),
        ({"precision": 0.4, "recall": 0.84, "density": 0.2, "coverage": 0.32}, False),
        ({"precision": 0.25, "recall": 0.46, "density": 0.12, "coverage": 0.09}, False),
        ({"precision": 0.47, "recall": 0.47, "density": 1.05, "coverage": 0.97}, False),
    ],
)
def test_low_precision_with_good_recall_is_over_generalisation(
    values: dict[str, float], fires: bool
) -> None:
    """The means of two digits; a thin cloud; a healthy run; noise; identical normals."""
    given = evidence(scores={word: [value] * 9 for word, value in values.items()})
    assert (found("over_generalisation", given) is not None) == fires


@pytest.mark.parametrize(
    ("share", "n", "severity"),
    [
        (0.5, 1000, None),
        (0.6, 1000, None),
        (0.7, 1000, "warning"),
        (0.95, 1000, "failure"),
        (0.7, 15, None),  # within three errors of chance
    ],
)
def test_copies_are_memorisation(share: float, n: int, severity: str | None) -> None:
    given = Evidence(
        curves={"memorisation": points([share] * 3)},
        protocols={"memorisation": scored("memorisation", n_fake=n, n_real=n)},
        status="finished",
    )
    finding = found("memorisation", given)
    assert (finding.severity if finding else None) == severity


@pytest.mark.parametrize(
    ("values", "fires"),
    [
        ([90, 80, 70, 60, 50, 45, 40, 33, 28, 22], True),
        ([90, 60, 40, 30, 25, 24, 23.5, 23, 22.8, 22.5], False),  # nearly at rest
        ([90, 60, 40, 30, 25, 40, 20, 33, 22, 18], False),  # no certain trend
        ([20, 25, 30, 35, 40, 45, 50, 55, 60, 65], False),  # it rises
    ],
)
def test_a_score_that_falls_to_the_end_is_slow(values: list[float], fires: bool) -> None:
    assert (found("slow_convergence", evidence(scores={"fid": values})) is not None) == fires


def test_slow_is_only_what_spent_its_budget() -> None:
    scores = {"fid": [90, 80, 70, 60, 50, 45, 40, 33, 28, 22]}
    for status in ("running", "equilibrium", "plateau", "pruned", "interrupted"):
        assert found("slow_convergence", evidence(scores=scores, status=status)) is None
    assert found("slow_convergence", evidence(scores=scores, until=60.0)) is None


def test_a_reverse_kl_near_its_floor_has_nothing_to_gain() -> None:
    for scale, fires in ((0.01, False), (1.0, True)):
        values = [scale * value for value in (1.5, 1.3, 1.1, 1.0, 0.9, 0.8, 0.6, 0.5, 0.4, 0.3)]
        given = evidence(scores={"reverse_kl": values, "modes": [8] * 10}, counts=EVEN)
        assert (found("slow_convergence", given) is not None) == fires


# ---- all together


def test_a_healthy_run_has_no_finding_and_no_gap() -> None:
    scores = {
        "fid": [90, 40, 20, 15, 12, 11, 10.5, 10.2, 10.1, 10.0],
        "recall": [0.8] * 10,
        "precision": [0.7] * 10,
        "memorisation": [0.3] * 10,
    }
    healthy = evidence(BALANCED, scores=scores)
    assert diagnose(healthy) == []
    assert gaps(healthy) == []


def test_a_run_without_a_number_is_judged_by_none_of_the_rules() -> None:
    assert diagnose(Evidence(curves={})) == []
    assert diagnose(evidence()) == []
    columns = {name: values[:2] for name, values in WINNING.items()}
    few = evidence(columns, scores={"fid": [9.0, 90.0], "high_quality": [0.1, 0.0]})
    assert diagnose(few) == []


def test_failures_come_first_and_hide_their_consequences() -> None:
    scores = {"reverse_kl": [0.05] * 9, "modes": [8.0] * 9, "high_quality": [0.1] * 9}
    told = [f.rule for f in diagnose(evidence(WINNING, scores=scores, counts=EVEN))]
    assert told == ["discriminator_overpowers"]
    circling = {"balance/fake_accuracy": [0.0, 1.0] * 12}
    both = diagnose(evidence(circling, scores=scores, counts=EVEN))
    assert [(f.rule, f.severity) for f in both] == [
        ("over_generalisation", "failure"),
        ("oscillation", "warning"),
    ]


def test_a_finding_names_only_curves_that_the_run_has() -> None:
    scores = {"reverse_kl": [1.4] * 9, "modes": [2.0] * 9}
    given = evidence(WINNING, scores=scores, counts=[450, 450, *[0] * 6])
    for finding in diagnose(given):
        assert finding.columns and set(finding.columns) <= given.curves.keys()
        first, last = finding.kimg
        assert 0 < first <= last <= 100


def test_what_was_not_measured_is_named_with_the_way_to_measure_it() -> None:
    bare = evidence({"loss/generator": [1.0] * 20}, directory="runs/my run")
    told = {gap.rule: gap.mend for gap in gaps(bare)}
    assert told["mode_collapse"] == "gansweep evaluate 'runs/my run'"
    assert {"memorisation", "over_generalisation", "discriminator_overpowers"} <= told.keys()
    rare = evidence(BALANCED, scores={"fid": [3.0, 2.0]})
    assert (
        "callbacks.quality.every_kimg=10"
        in {g.rule: g.mend for g in gaps(rare)}["slow_convergence"]
    )
    early = gaps(evidence(BALANCED, until=10.0, status="running"))
    assert len(early) == 1 and "too early" in early[0].text
