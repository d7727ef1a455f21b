"""Penalties on critics whose gradient is known, and the Dirac-GAN's eigenvalues."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gansweep.layers import dcgan, mlp, resnet
from gansweep.terms.losses import Loss, Minimax, NonSaturating, Wasserstein
from gansweep.terms.penalties import DRAGAN, R1, R2, GradientPenalty, Penalty

PENALTIES = [
    GradientPenalty(weight=10.0),
    DRAGAN(weight=10.0),
    R1(weight=1.0),
    R2(weight=1.0),
]
SHAPES = [(1, 2), (5, 2), (1, 1, 8, 8), (3, 3, 8, 8)]


def name_of(penalty: Penalty) -> str:
    return type(penalty).__name__


def drawn(penalty: Penalty, real: Tensor, seed: int = 0) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        name: (torch.rand if distribution == "uniform" else torch.randn)(
            shape, generator=rng, dtype=real.dtype
        )
        for name, (distribution, shape) in penalty.noise(real).items()
    }


def linear_critic(shape: tuple[int, ...], norm: float, dtype: torch.dtype) -> nn.Sequential:
    slope = nn.Linear(torch.Size(shape).numel(), 1, dtype=dtype)
    with torch.no_grad():
        slope.weight.mul_(norm / slope.weight.norm())
    return nn.Sequential(nn.Flatten(), slope, nn.Flatten(0))


def batch(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    real, fake = (torch.rand(shape, generator=rng, dtype=dtype) * 2 - 1 for _ in range(2))
    return real, fake


def value_of(penalty: Penalty, critic: nn.Module, shape: tuple[int, ...]) -> float:
    real, fake = batch(shape)
    return penalty(critic, real, fake, drawn(penalty, real)).item()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("penalty", [GradientPenalty(weight=10), DRAGAN(weight=10)], ids=name_of)
def test_penalty_is_zero_for_a_unit_gradient_critic(
    penalty: Penalty, shape: tuple[int, ...]
) -> None:
    critic = linear_critic(shape[1:], 1.0, torch.float64)
    assert value_of(penalty, critic, shape) == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("norm", [0.25, 3.0])
def test_penalties_of_a_linear_critic(norm: float, shape: tuple[int, ...]) -> None:
    critic = linear_critic(shape[1:], norm, torch.float64)
    for penalty in (GradientPenalty(weight=10), DRAGAN(weight=10)):
        assert value_of(penalty, critic, shape) == pytest.approx((norm - 1) ** 2)
    for zero_centred in (R1(weight=1), R2(weight=1)):
        assert value_of(zero_centred, critic, shape) == pytest.approx(0.5 * norm**2)


def half_square(x: Tensor) -> Tensor:
    """A critic whose gradient at x is x itself: its penalties show where they look."""
    return 0.5 * x.flatten(1).square().sum(1)


def test_each_penalty_looks_at_its_own_samples() -> None:
    real, fake = batch((6, 1, 8, 8))
    norms = [x.flatten(1).norm(dim=1) for x in (real, fake)]
    assert torch.allclose(R1(weight=1)(half_square, real, fake, {}), 0.5 * (norms[0] ** 2).mean())
    assert torch.allclose(R2(weight=1)(half_square, real, fake, {}), 0.5 * (norms[1] ** 2).mean())

    gradient_penalty = GradientPenalty(weight=10)
    epsilon = drawn(gradient_penalty, real)["epsilon"]
    rows = [e * r + (1 - e) * f for e, r, f in zip(epsilon, real, fake, strict=True)]
    slow = sum((row.norm() - 1) ** 2 for row in rows) / len(rows)
    fast = gradient_penalty(half_square, real, fake, {"epsilon": epsilon})
    assert torch.allclose(fast, torch.as_tensor(slow))


def test_dragan_looks_around_real_samples() -> None:
    real, fake = batch((4, 2))
    dragan = DRAGAN(weight=10)
    draw = drawn(dragan, real)
    spread = real.numpy().std()
    rows = [
        r + a * 0.5 * spread * u
        for r, a, u in zip(real, draw["alpha"], draw["perturbation"], strict=True)
    ]
    slow = sum((row.norm() - 1) ** 2 for row in rows) / len(rows)
    assert torch.allclose(dragan(half_square, real, fake, draw), torch.as_tensor(slow))


@pytest.mark.parametrize("penalty", PENALTIES, ids=name_of)
def test_noise_has_the_batch_as_its_first_dimension(penalty: Penalty) -> None:
    for shape in SHAPES:
        for distribution, noise_shape in penalty.noise(torch.zeros(shape)).values():
            assert distribution in ("uniform", "normal")
            assert noise_shape[0] == shape[0]
            assert len(noise_shape) == len(shape)


@pytest.mark.parametrize("penalty", PENALTIES, ids=name_of)
def test_penalty_reaches_the_discriminator_and_never_the_generator(penalty: Penalty) -> None:
    torch.manual_seed(0)
    discriminators: list[nn.Module] = [
        mlp.Discriminator(sample_shape=(1, 8, 8), width=8, depth=2, activation="tanh", norm="none"),
        dcgan.Discriminator(sample_shape=(1, 8, 8), width=4, norm="layer"),
        resnet.Discriminator(
            sample_shape=(1, 8, 8), width=4, norm="none", pooling="sum", spectral_norm=True
        ),
    ]
    generator = dcgan.Generator(sample_shape=(1, 8, 8), latent_dim=3, width=4, norm="batch")
    real = torch.rand(4, 1, 8, 8) * 2 - 1
    for discriminator in discriminators:
        fake = generator(torch.randn(4, 3))
        penalty(discriminator, real, fake, drawn(penalty, real)).backward()
        assert all(p.grad is None for p in generator.parameters())
        first = next(p for p in discriminator.parameters() if p.dim() > 1)
        assert first.grad is not None and first.grad.any()
        assert first.grad.isfinite().all()
    assert not real.requires_grad


@pytest.mark.parametrize("penalty", PENALTIES, ids=name_of)
def test_gradient_of_a_penalty_agrees_with_finite_differences(penalty: Penalty) -> None:
    torch.manual_seed(0)
    critic = mlp.Discriminator(
        sample_shape=(2,), width=4, depth=2, activation="tanh", norm="none"
    ).double()
    real, fake = batch((3, 2))
    draw = drawn(penalty, real)

    def of_weights(*weights: Tensor) -> Tensor:
        named = dict(zip(dict(critic.named_parameters()), weights, strict=True))
        return penalty(lambda x: torch.func.functional_call(critic, named, (x,)), real, fake, draw)

    weights = tuple(p.detach().clone().requires_grad_(True) for p in critic.parameters())
    assert torch.autograd.gradcheck(of_weights, weights)


@pytest.mark.parametrize("penalty", PENALTIES, ids=name_of)
def test_penalty_leaves_autocast(penalty: Penalty) -> None:
    torch.manual_seed(0)
    critic = mlp.Discriminator(sample_shape=(2,), width=8, depth=2, activation="tanh", norm="none")
    real, fake = batch((4, 2), torch.float32)
    draw = drawn(penalty, real)
    expected = penalty(critic, real, fake, draw)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = penalty(critic, real, fake, draw)
    assert under_autocast.dtype == torch.float32
    assert torch.equal(under_autocast, expected)


@pytest.mark.parametrize("penalty", PENALTIES, ids=name_of)
def test_fakes_of_lower_precision_are_taken_in_the_dtype_of_real(penalty: Penalty) -> None:
    critic = linear_critic((2,), 3.0, torch.float32)
    real, fake = batch((4, 2), torch.float32)
    result = penalty(critic, real, fake.bfloat16(), drawn(penalty, real))
    assert result.dtype == torch.float32


def test_a_dead_critic_gives_a_finite_gradient() -> None:
    critic = linear_critic((2,), 0.0, torch.float64)
    real, fake = batch((4, 2))
    for penalty in PENALTIES:
        penalty(critic, real, fake, drawn(penalty, real)).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in critic.parameters())


# The Dirac-GAN (Mescheder et al. 2018, arXiv:1801.04406, Section 2): the data are the point 0, the
# generator makes the point theta, the discriminator is x -> psi x.

STEP = 0.2
Update = Callable[[Tensor], Tensor]


def player_gradients(state: Tensor, loss: Loss, penalty: Penalty | None) -> tuple[Tensor, Tensor]:
    """Gradients of the generator's loss in theta and of the discriminator's in psi."""
    theta, psi = state
    theta, psi = theta.clone(), psi.clone()
    if not state.requires_grad:
        theta.requires_grad_(True)
        psi.requires_grad_(True)

    def discriminator(x: Tensor) -> Tensor:
        return psi * x.squeeze(1)

    real, fake = state.new_zeros(1, 1), theta.reshape(1, 1)
    d_loss = loss.discriminator(discriminator(real), discriminator(fake))
    if penalty is not None:
        draw = {name: state.new_full(s, 0.5) for name, (_, s) in penalty.noise(real).items()}
        d_loss = d_loss + penalty.weight * penalty(discriminator, real, fake, draw)
    g_loss = loss.generator(None, discriminator(fake))
    (for_theta,) = torch.autograd.grad(g_loss, theta, create_graph=True)
    (for_psi,) = torch.autograd.grad(d_loss, psi, create_graph=True)
    return for_theta, for_psi


def simultaneous(loss: Loss, penalty: Penalty | None) -> Update:
    def update(state: Tensor) -> Tensor:
        for_theta, for_psi = player_gradients(state, loss, penalty)
        return state - STEP * torch.stack([for_theta, for_psi])

    return update


def alternating(loss: Loss, penalty: Penalty | None) -> Update:
    def update(state: Tensor) -> Tensor:
        _, for_psi = player_gradients(state, loss, penalty)
        state = torch.stack([state[0], state[1] - STEP * for_psi])
        for_theta, _ = player_gradients(state, loss, penalty)
        return torch.stack([state[0] - STEP * for_theta, state[1]])

    return update


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax()], ids=["non_saturating", "minimax"])
@pytest.mark.parametrize(
    ("make", "gamma", "modulus"),
    [
        (simultaneous, None, 1.00499),  # sqrt(1 + h^2/4): spirals outwards
        (alternating, None, 1.0),  # circles for ever
        (simultaneous, 0.3, 0.9747),
        (alternating, 0.3, 0.9695),
    ],
)
def test_dirac_gan_has_the_eigenvalues_of_the_theory(
    make: Callable[[Loss, Penalty | None], Update], gamma: float | None, modulus: float, loss: Loss
) -> None:
    for penalty_type in (R1, R2):
        penalty = None if gamma is None else penalty_type(weight=gamma)
        origin = torch.zeros(2, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(make(loss, penalty), origin)
        moduli = torch.linalg.eigvals(jacobian).abs()
        assert moduli.tolist() == pytest.approx([modulus] * 2, abs=6e-5)


def after_500_steps(loss: Loss, penalty: Penalty | None) -> Tensor:
    # theta = 1 and a discriminator that tells 0 from 1 with slope 1; the paper's sign of psi is
    # the opposite of ours
    state = torch.tensor([1.0, -1.0], dtype=torch.float64)
    for _ in range(500):
        state = simultaneous(loss, penalty)(state).detach()
    return state


@pytest.mark.parametrize(
    ("loss", "penalty", "distance"),
    [
        (Minimax(), None, 3.10),
        (NonSaturating(), None, 0.64),
        (Minimax(), R1(weight=0.3), 2.6e-6),
    ],
    ids=["minimax", "non_saturating", "r1"],
)
def test_dirac_gan_ends_where_it_was_worked_out_to_end(
    loss: Loss, penalty: Penalty | None, distance: float
) -> None:
    assert after_500_steps(loss, penalty).norm().item() == pytest.approx(distance, rel=0.02)


def test_dirac_gan_never_settles_under_a_gradient_penalty_with_target_one() -> None:
    state = after_500_steps(Wasserstein(), GradientPenalty(weight=0.3))
    assert state.norm().item() > 0.5
