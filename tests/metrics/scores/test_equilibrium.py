"""The state of the game, computed by hand, and the theory of the Dirac-GAN."""

import math

import pytest
import torch
from torch import Tensor

from gansweep.errors import UserError
from gansweep.metrics.scores.equilibrium import balance, game_value, overfitting
from gansweep.terms.losses import Loss, Minimax, NonSaturating, Wasserstein
from gansweep.terms.penalties import R1, R2, Penalty

LOG_3 = 1.0986123  # sigmoid(log 3) = 3/4


def test_logits_give_probabilities_and_accuracies() -> None:
    found = balance(torch.tensor([LOG_3, -LOG_3, LOG_3]), torch.tensor([-LOG_3, LOG_3]), "logit")
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {
            "balance/real_mean": (0.75 + 0.25 + 0.75) / 3,
            "balance/fake_mean": 0.5,
            "balance/real_accuracy": 2 / 3,
            "balance/fake_accuracy": 0.5,
            "balance/distance": 0.25,
        }
    )


def test_a_discriminator_that_cannot_distinguish_has_distance_zero() -> None:
    found = balance(torch.zeros(4), torch.zeros(4), "logit")
    assert found["balance/distance"] == 0
    assert found["balance/real_mean"] == found["balance/fake_mean"] == 0.5


@pytest.mark.parametrize("kind", ["critic", "energy", "paired_logit"])
def test_other_scores_are_never_squashed(kind: str) -> None:
    found = balance(torch.tensor([[40.0, 60.0]]), torch.tensor([[-10.0, 20.0]]), kind)
    values = {name: value.item() for name, value in found.items()}
    assert values == {"critic/real_mean": 50, "critic/fake_mean": 5, "critic/gap": 45}


def test_without_a_discriminator_there_is_no_balance() -> None:
    assert balance(torch.zeros(0), torch.zeros(0), None) == {}


def test_half_precision_scores_are_averaged_in_float32() -> None:
    found = balance(torch.ones(4096, dtype=torch.bfloat16), torch.ones(3), "critic")
    assert found["critic/real_mean"].dtype == torch.float32
    assert found["critic/gap"].shape == ()
    assert not found["critic/gap"].requires_grad


def test_global_measure_of_an_energy_is_the_real_energy_where_the_ratio_is_met() -> None:
    real = torch.tensor([0.3, 0.5])
    at_equilibrium = balance(real, torch.tensor([0.2, 0.2]), "energy", gamma=0.5)
    assert at_equilibrium["critic/global_measure"].item() == pytest.approx(0.4)
    away = balance(real, torch.tensor([0.1, 0.0]), "energy", gamma=0.5)
    assert away["critic/global_measure"].item() == pytest.approx(0.4 + abs(0.5 * 0.4 - 0.05))


def test_only_an_energy_with_a_stated_ratio_has_a_global_measure() -> None:
    for kind, gamma in (("energy", None), ("critic", 0.5)):
        assert "critic/global_measure" not in balance(torch.ones(2), torch.ones(2), kind, gamma)


# The discriminator's overfitting


def test_discriminator_that_treats_held_out_images_as_its_own_does_not_overfit() -> None:
    found = overfitting(torch.tensor([3.0, 1.0]), torch.tensor([2.0]), torch.zeros(2), "logit")
    assert found["overfit/r_v"] == 0 and found["overfit/r_t"] == 1


def test_discriminator_that_takes_held_out_images_for_generated_ones_overfits_fully() -> None:
    found = overfitting(
        torch.tensor([3.0, -1.0]), torch.tensor([-2.0]), torch.full((3,), -2.0), "critic"
    )
    assert {name: value.item() for name, value in found.items()} == {"overfit/r_v": 1}


def test_overfitting_by_hand() -> None:
    found = overfitting(
        torch.tensor([2.0, 1.0, -1.0, 0.0]), torch.tensor([0.2]), torch.tensor([-0.5]), "logit"
    )
    assert found["overfit/r_t"].item() == pytest.approx((1 + 1 - 1 + 0) / 4)
    assert found["overfit/r_v"].item() == pytest.approx((0.5 - 0.2) / (0.5 + 0.5))


# The value of the game


def test_value_is_minus_log_4_where_the_discriminator_cannot_distinguish() -> None:
    zeros = torch.zeros(5)
    assert game_value(zeros, zeros, "logit").item() == pytest.approx(-1.386294, abs=5e-7)
    assert game_value(zeros + 3, zeros + 3, "paired_logit").item() == pytest.approx(-math.log(2))
    assert game_value(zeros + 3, zeros + 3, "critic").item() == 0


def test_value_by_hand() -> None:
    real, fake = torch.tensor([LOG_3, -LOG_3]), torch.tensor([-LOG_3, 0.0])
    log = math.log
    logit = (log(3 / 4) + log(1 / 4)) / 2 + (log(3 / 4) + log(1 / 2)) / 2
    assert game_value(real, fake, "logit").item() == pytest.approx(logit, abs=1e-6)
    assert game_value(real, fake, "critic").item() == pytest.approx(LOG_3 / 2, abs=1e-6)
    paired = (log(9 / 10) + log(1 / 4)) / 2  # sigmoid(2 log 3) = 9/10, sigmoid(-log 3) = 1/4
    assert game_value(real, fake, "paired_logit").item() == pytest.approx(paired, abs=1e-6)


def test_value_stays_finite_for_a_certain_discriminator() -> None:
    sure = torch.full((3,), 1e4)
    assert game_value(sure, -sure, "logit") == 0
    assert game_value(-sure, sure, "logit").item() == -2e4


def test_energies_have_no_value() -> None:
    with pytest.raises(UserError, match="energy.*~callbacks.duality_gap"):
        game_value(torch.zeros(2), torch.zeros(2), "energy")


def test_discriminators_loss_is_minus_the_value() -> None:
    rng = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(50, generator=rng, dtype=torch.float64) for _ in "ab")
    for loss in (NonSaturating(), Wasserstein()):
        value = game_value(real, fake, loss.kind)
        assert -loss.discriminator(real, fake).item() == pytest.approx(value.item(), rel=1e-12)


# The Dirac-GAN (Mescheder et al. 2018, arXiv:1801.04406, Section 2): the data are the point 0, the
# generator makes the point theta, the discriminator is x -> psi x. A state is (theta, psi).


def flow(state: Tensor, loss: Loss, penalty: Penalty | None) -> Tensor:
    """The players' velocities under gradient flow: minus the gradient of each one's own loss."""
    theta, psi = state
    real, fake = state.new_zeros(1, 1), theta.reshape(1, 1)

    def discriminator(x: Tensor) -> Tensor:
        return psi * x.squeeze(1)

    d_loss = loss.discriminator(discriminator(real), discriminator(fake))
    if penalty is not None:
        d_loss = d_loss + penalty.weight * penalty(discriminator, real, fake, {})
    g_loss = loss.generator(None, discriminator(fake))
    (for_theta,) = torch.autograd.grad(g_loss, theta, create_graph=True)
    (for_psi,) = torch.autograd.grad(d_loss, psi, create_graph=True)
    return -torch.stack([for_theta, for_psi])


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating()], ids=["minimax", "non_saturating"])
@pytest.mark.parametrize("penalty_type", [R1, R2])
@pytest.mark.parametrize(
    ("gamma", "rates"),
    [
        (0.0, (-0.5j, 0.5j)),  # cycles for ever
        (0.3, (-0.15 - 0.477j, -0.15 + 0.477j)),
        (1.0, (-0.5, -0.5)),  # critical: the fastest
        (2.0, (-1.866, -0.134)),
    ],
)
def test_dirac_gan_converges_at_the_rates_of_the_theory(
    gamma: float, rates: tuple[complex, complex], penalty_type: type[R1 | R2], loss: Loss
) -> None:
    """-gamma/2 +- sqrt(gamma^2/4 - f'(0)^2) with f'(0) = 1/2."""
    penalty = penalty_type(weight=gamma)
    jacobian = torch.autograd.functional.jacobian(
        lambda state: flow(state, loss, penalty), torch.zeros(2, dtype=torch.float64)
    )
    found = sorted(torch.linalg.eigvals(jacobian).tolist(), key=lambda z: (z.real, z.imag))
    assert found == pytest.approx(list(rates), abs=1e-3)


@pytest.mark.parametrize(("alternate", "modulus"), [(False, 0.9747), (True, 0.9695)])
def test_steps_of_a_regularised_dirac_gan_shrink_by_the_modulus_of_the_theory(
    alternate: bool, modulus: float
) -> None:
    """Gradient steps of 0.2 under R1 of weight 0.3, from a state near the equilibrium."""
    state = torch.tensor([1e-3, 1e-3], dtype=torch.float64, requires_grad=True)
    distances = []
    for _ in range(1000):
        first = flow(state, Minimax(), R1(weight=0.3)) * 0.2
        if alternate:  # the generator moves after the discriminator
            half = torch.stack([state[0], state[1] + first[1]])
            first = torch.stack([flow(half, Minimax(), R1(weight=0.3))[0] * 0.2, first[1]])
        state = (state + first).detach().requires_grad_(True)
        distances.append(state.norm().item())
    # over many turns of the spiral, since its distance from 0 oscillates within each turn
    rate = (distances[-1] / distances[99]) ** (1 / 900)
    assert rate == pytest.approx(modulus, abs=1e-3)
