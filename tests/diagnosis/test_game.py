"""The rules on who wins and on oscillation, with scripted curves that trigger them or do not."""

from collections.abc import Sequence

import pytest
from diagnosis_evidence import BALANCED, EVEN, WINNING, evidence, found, game

from gansweep.terms.losses import Hinge, LeastSquares, Loss, Wasserstein


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
        (Hinge(), 0.03, True),
        (Hinge(), 0.05, False),
        (LeastSquares(), 0.004, True),
        (LeastSquares(fake_target=-1), 0.015, True),  # of 1, not of the default targets' 0.25
        (LeastSquares(), 0.015, False),
        (Wasserstein(), 1e-9, False),
    ],
)
def test_of_other_losses_the_value_shows_who_wins(loss: Loss, value: float, fires: bool) -> None:
    columns = {"loss/discriminator": [value] * 20, "critic/gap": [2.0] * 20}
    given = evidence(columns, game={"loss": loss.declared()})
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
