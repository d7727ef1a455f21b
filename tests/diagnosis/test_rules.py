"""Rules on the course of training and on samples, with scripted curves; and all rules together."""

import math
from dataclasses import replace

import pytest
from diagnosis_evidence import BALANCED, EVEN, WINNING, evidence, found, points, scored

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.gaps import gaps
from gansweep.diagnosis.rules import diagnose

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
    rules = [f.rule for f in diagnose(evidence(WINNING, scores=scores, counts=EVEN))]
    assert rules == ["discriminator_overpowers"]
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
    fixes = {gap.rule: gap.fix for gap in gaps(bare)}
    assert fixes["mode_collapse"] == "gansweep evaluate 'runs/my run'"
    assert {"memorisation", "over_generalisation", "discriminator_overpowers"} <= fixes.keys()
    rare = evidence(BALANCED, scores={"fid": [3.0, 2.0]})
    assert (
        "callbacks.quality.every_kimg=10" in {g.rule: g.fix for g in gaps(rare)}["slow_convergence"]
    )
    assert "1 evaluation of fid" in gaps(evidence(BALANCED, scores={"fid": [3.0]}))[-1].text
    early = gaps(evidence(BALANCED, until=10.0, status="running"))
    assert len(early) == 1 and "too early" in early[0].text


@pytest.mark.parametrize("rows", [0, 5])
def test_a_run_that_is_too_short_for_the_rules_is_not_advised_to_log_more(rows: int) -> None:
    """Every 50 steps of 100 images is 5 kimg; of twelve rows six are in the late part."""
    watched = {"balance": {"every_steps": 50}, "gradients": {"every_steps": 50}}
    config = {"budget_kimg": 25.0, "batch_size": 100, "callbacks": watched}
    columns = {
        "loss/generator": [1.0],
        **{name: values[:rows] for name, values in BALANCED.items()},
    }
    short = evidence(columns, until=25.0, config=config)
    (gap,) = [gap for gap in gaps(short) if gap.rule == "discriminator_overpowers"]
    assert gap.text.startswith("the run is too short") and "every 5 kimg" in gap.text
    assert gap.fix == "Train for 60 kimg or more (budget_kimg=60)."
    often = {**config, "callbacks": {"balance": {"every_steps": None}}}  # 125 rows in 25 kimg
    found = gaps(evidence(columns, until=25.0, config=often))
    (gap,) = [gap for gap in found if gap.rule == "discriminator_overpowers"]
    assert gap.text.startswith("the run is too short") and "every 0.2 kimg" in gap.text
    assert gap.fix == "Train for 60 kimg or more (budget_kimg=60)."
    without = evidence(columns, until=25.0, config={**config, "callbacks": {}})
    assert "Train with callbacks=default." in {gap.fix for gap in gaps(without)}
    assert not any(
        "outputs" in gap.text for gap in gaps(replace(short, game={"players": ["coder"]}))
    )


def test_scores_at_clocks_that_double_are_diagnosed() -> None:
    """As an own loop may measure them: the second half of the clock has one evaluation."""
    given = evidence(scores={"fid": [90, 60, 40, 30, 20, 80, 90, 95]})
    doubling = [(2.0**k, value) for k, (_, value) in enumerate(given.curves["fid"])]
    assert found("divergence", replace(given, curves={"fid": doubling})) is None


def test_density_without_coverage_shows_no_samples_beyond_the_data() -> None:
    given = evidence(scores={"fid": [50.0] * 9, "density": [0.1] * 9})
    assert found("over_generalisation", given) is None


def test_a_score_that_was_measured_once_does_not_end_the_diagnosis() -> None:
    often = {"density": [0.1] * 9, "coverage": [0.8] * 9, "recall": [0.9] * 9}
    finding = found("over_generalisation", evidence(scores={"precision": [0.9], **often}))
    assert finding is not None and finding.kimg == (pytest.approx(200 / 3), 100)
