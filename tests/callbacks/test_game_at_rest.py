"""The game near its rest: the Dirac-GAN's eigenvalues, contraction and limit cycle.

The Dirac-GAN (Mescheder et al. 2018, arXiv:1801.04406, Section 2): the data are the point 0, the
generator makes the point theta, the discriminator is x -> psi x.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch

from gansweep.callbacks.game_at_rest import GameAtRest
from gansweep.callbacks.journal import Journal
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.dirac import Discriminator, Generator
from gansweep.layers.mlp import Generator as Mlp
from gansweep.models.gan import GAN
from gansweep.terms.losses import Loss, Minimax, Wasserstein
from gansweep.terms.penalties import R1, GradientPenalty

STEP = 0.2


def dirac(loss: Loss, theta: float = 1.0, psi: float = -1.0, **penalties: Any) -> GAN:
    model = GAN(
        sample_shape=(1,),
        generator=partial(Generator, start=theta),
        discriminator=partial(Discriminator, start=psi),
        loss=loss,
        penalties=penalties,
        latent_dim=1,
        optimizer=dict.fromkeys(("generator", "discriminator"), partial(torch.optim.SGD, lr=STEP)),
    ).double()
    model.configure_optimizers()
    return model


def looked_at(model: GAN, steps: int = 0) -> dict[str, float]:
    """The scores after two looks, `steps` turns apart."""
    from gansweep.models.draws import Draws

    model.draws = Draws(0, model.device)
    callback = GameAtRest(every_kimg=1)
    callback.journal = Journal(None, None)
    callback.batch = Batch(torch.zeros(1, 1, dtype=torch.float64))
    callback.work(model)
    for number in range(steps):
        model.training_step(callback.batch, number)
    callback.work(model)
    return {name: entry["value"] for name, entry in callback.journal.last.items()}


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.5])
def test_eigenvalues_are_those_of_the_theory(gamma: float) -> None:
    model = dirac(Minimax(), r1=R1(weight=gamma))
    before = [p.detach().clone() for p in model.parameters()]
    found = looked_at(model)
    root = complex(gamma**2 / 4 - 0.25) ** 0.5
    assert found["eigenvalue_real"] == pytest.approx(-gamma / 2 + root.real, abs=1e-6)
    assert found["eigenvalue_imaginary"] == pytest.approx(root.imag, abs=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert found["distance_to_rest"] == pytest.approx(math.sqrt(2))


def test_an_alternating_turn_contracts_by_the_root_of_its_determinant() -> None:
    found = looked_at(dirac(Minimax(), 1e-3, 1e-3, r1=R1(weight=0.3)), steps=400)
    assert found["contraction"] == pytest.approx(math.sqrt(1 - 0.3 * STEP), abs=1e-3)


def test_a_kink_at_rest_has_no_eigenvalues() -> None:
    found = looked_at(dirac(Wasserstein(), gradient=GradientPenalty(weight=0.15)))
    assert "eigenvalue_real" not in found and "distance_to_rest" in found


def test_a_game_of_many_parameters_is_refused() -> None:
    model = dirac(Minimax())
    network = {"width": 64, "depth": 2, "activation": "relu", "norm": "none"}
    model.generator = Mlp((1,), 1, **network)
    with pytest.raises(UserError, match="4,353 *. Leave it out|this game has 4,"):
        looked_at(model)


def test_wgan_gp_ends_at_1_18_with_the_authors_target() -> None:
    """500 simultaneous steps of 0.2 from (1, 1) end at distance 1.18 where the penalty is
    0.3/2 (|psi| - 0.3)^2, whose target is the default of the authors' notebook, and not at 1.

    The field (-psi, theta - 0.3 sign(psi) (|psi| - t)) is homogeneous: multiplied by c, a path for
    the target t is one for c t. So our penalty, whose target is 1, must end at 1.18 / 0.3 from
    (1, 1) / 0.3. While psi has one sign the field turns around (-0.3 t sign(psi), 0) with the
    eigenvalues -0.15 +- i sqrt(1 - 0.15^2): half a turn multiplies the distance from there by
    q = exp(-0.15 pi / 0.9887) = 0.621. On a cycle theta + 0.3 t = (theta - 0.3 t) / q at each
    change of sign, so theta = 0.3 t (1 + q) / (1 - q) = 1.283 t: the flow never settles, and its
    cycle grows in steps of 0.2 to 1.08 to 1.22 for t = 0.3.
    """
    theta, psi = 1 / 0.3, -1 / 0.3  # the paper's sign of psi is the opposite of ours
    penalty = GradientPenalty(weight=0.15)
    distances = []
    for _ in range(500):
        at = torch.tensor([theta, psi], dtype=torch.float64, requires_grad=True)
        real, fake = at.new_zeros(1, 1), at[0].reshape(1, 1)
        judge = lambda x, at=at: at[1] * x.squeeze(1)  # noqa: E731
        d_loss = Wasserstein().discriminator(judge(real), judge(fake.detach()))
        d_loss = d_loss + 0.15 * penalty(judge, real, fake, {"epsilon": at.new_full((1, 1), 0.5)})
        g_loss = Wasserstein().generator(None, judge(fake))
        for_psi = torch.autograd.grad(d_loss, at, retain_graph=True)[0][1].item()
        for_theta = torch.autograd.grad(g_loss, at)[0][0].item()
        theta, psi = theta - STEP * for_theta, psi - STEP * for_psi
        distances.append(0.3 * math.hypot(theta, psi))
    assert distances[-1] == pytest.approx(1.1827, abs=1e-4)
    assert min(distances[-100:]) > 1.07 and max(distances[-100:]) < 1.22

    q = math.exp(-0.15 * math.pi / math.sqrt(1 - 0.15**2))
    assert 0.3 * (1 + q) / (1 - q) == pytest.approx(1.283, abs=1e-3)
