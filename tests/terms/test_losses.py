"""Losses against values worked out by hand, and the Dirac-GAN of Mescheder et al. 2018."""

import json
import math

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from gansweep.config import compose as config
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.models.progan import DriftingWasserstein
from gansweep.run.build import build_data, build_model
from gansweep.terms.losses import (
    EnergyMargin,
    Hinge,
    LeastSquares,
    Loss,
    Minimax,
    NonSaturating,
    RelativisticAverage,
    RelativisticPairing,
    Wasserstein,
)

LOG2 = math.log(2)
REAL = torch.tensor([2.0, -0.5, 0.3], dtype=torch.float64)
FAKE = torch.tensor([-1.0, 0.7, 0.0], dtype=torch.float64)
LOSSES = [
    NonSaturating(),
    Minimax(),
    LeastSquares(),
    Wasserstein(),
    Hinge(),
    RelativisticPairing(),
    RelativisticAverage(),
    EnergyMargin(margin=3.0),
]


def gradient_of_generator(loss: Loss, real: Tensor | None, fake: Tensor) -> Tensor:
    fake = fake.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss.generator(real, fake), fake)
    return gradient


def test_at_the_equilibrium_the_value_is_minus_log_4() -> None:
    zeros = torch.zeros(4)  # D = 1/2 everywhere
    assert -NonSaturating().discriminator(zeros, zeros).item() == pytest.approx(-math.log(4))
    assert NonSaturating().generator(None, zeros).item() == pytest.approx(LOG2)
    assert Minimax().discriminator(zeros, zeros).item() == pytest.approx(math.log(4))
    assert Minimax().generator(None, zeros).item() == pytest.approx(-LOG2)


def test_non_saturating_equals_the_logarithms_of_probabilities() -> None:
    d_real, d_fake = REAL.sigmoid(), FAKE.sigmoid()
    expected = -d_real.log().mean() - (1 - d_fake).log().mean()
    assert NonSaturating().discriminator(REAL, FAKE).item() == pytest.approx(expected.item())
    assert NonSaturating().generator(None, FAKE).item() == pytest.approx(
        -d_fake.log().mean().item()
    )
    assert Minimax().generator(None, FAKE).item() == pytest.approx((1 - d_fake).log().mean().item())


def test_generator_gradients_are_those_of_the_paper() -> None:
    n = len(FAKE)
    non_saturating = gradient_of_generator(NonSaturating(), None, FAKE)
    assert torch.allclose(non_saturating, (FAKE.sigmoid() - 1) / n)
    minimax = gradient_of_generator(Minimax(), None, FAKE)
    assert torch.allclose(minimax, -FAKE.sigmoid() / n)


def test_only_the_minimax_generator_starves_under_a_winning_discriminator() -> None:
    rejected = torch.full((1,), -20.0, dtype=torch.float64)
    assert gradient_of_generator(Minimax(), None, rejected).abs().item() < 1e-8
    assert gradient_of_generator(NonSaturating(), None, rejected).item() == pytest.approx(-1)


EVERY = [*LOSSES, LeastSquares(fake_target=-1.0, generator_target=0.0), DriftingWasserstein()]


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: type(loss).__name__)
def test_declared_value_at_a_tie_is_that_of_equal_scores(loss: Loss) -> None:
    tied = torch.full((3,), 0.0 if loss.boundary is None else loss.boundary)
    if loss.tie is None:
        assert loss.needs_lipschitz, "a loss with a best value tells what it is at a tie"
    else:
        assert loss.discriminator(tied, tied).item() == pytest.approx(loss.tie)


@pytest.mark.parametrize("loss", EVERY, ids=lambda loss: type(loss).__name__)
def test_declarations_are_what_the_loss_does(loss: Loss) -> None:
    # of slices the mean, unless it compares the samples of a batch
    halves = [loss.discriminator(REAL[k : k + 1], FAKE[k : k + 1]) for k in range(3)]
    slices_add_up = torch.allclose(loss.discriminator(REAL, FAKE), torch.stack(halves).mean())
    assert slices_add_up == (not loss.compares_samples) == ("accumulate" in loss.combines_with)
    rejected = torch.full((1,), -20.0, dtype=torch.float64)
    gradient = gradient_of_generator(loss, REAL[:1], rejected)
    assert (gradient.abs().item() < 1e-6) == loss.saturates
    better = [loss.discriminator(torch.full((1,), x), torch.full((1,), -x)) for x in (1e3, 1e4)]
    falls = bool(better[1] < better[0] - 100)
    assert falls == loss.needs_lipschitz or isinstance(loss, DriftingWasserstein)
    if not loss.pairs_real:
        assert loss.generator(None, FAKE).isfinite()


def test_declarations_are_plain_values() -> None:
    for loss in EVERY:
        assert json.loads(json.dumps(loss.declared())) == loss.declared()


@pytest.mark.parametrize("model", ["dcgan", "pix2pix", "context_encoder", "aae"])
def test_a_loss_that_compares_samples_refuses_slices_of_a_batch(model: str) -> None:
    data = ["data=digits"] if model in ("dcgan", "aae") else ["data=paired", "data.task=hole"]
    own = ["model.loss._target_=gansweep.terms.losses.RelativisticAverage"]

    def build(accumulate: int, *more: str) -> Adversarial:
        cfg = config.compose([f"model={model}", *data, f"model.accumulate={accumulate}", *more])
        cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
        return build_model(cfg, build_data(cfg))

    build(2)
    assert "accumulate" not in build(1, *own).loss.combines_with  # type: ignore[operator, union-attr]
    with pytest.raises(UserError, match=r"accumulate=2.*compare the samples.*accumulate=1"):
        build(2, *own)


def test_a_loss_that_compares_samples_refuses_top_k() -> None:
    cfg = config.compose(["model=dcgan", "data=digits", "term=[top_k]"])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    cfg.model.loss._target_ = "gansweep.terms.losses.RelativisticAverage"
    with pytest.raises(UserError, match="model.top_k=null"):
        build_model(cfg, build_data(cfg))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_huge_scores_stay_finite(loss: Loss) -> None:
    for sign in (1.0, -1.0):
        real = torch.full((2,), sign * 1e4, requires_grad=True)
        fake = torch.full((2,), -sign * 1e4, requires_grad=True)
        total = loss.discriminator(real, fake) + loss.generator(real, fake)
        gradients = torch.autograd.grad(total, [real, fake], allow_unused=True)
        assert total.isfinite()
        assert all(g is None or g.isfinite().all() for g in gradients)


def test_least_squares_by_hand() -> None:
    # 1/2 mean (1, 2.25, 0.49) + 1/2 mean (1, 0.49, 0) and 1/2 mean (4, 0.09, 1)
    assert LeastSquares().discriminator(REAL, FAKE).item() == pytest.approx(5.23 / 6)
    assert LeastSquares().generator(None, FAKE).item() == pytest.approx(5.09 / 6)


def test_least_squares_with_the_targets_of_equation_8() -> None:
    pearson = LeastSquares(fake_target=-1, real_target=1, generator_target=0)
    # 1/2 mean (1, 2.25, 0.49) + 1/2 mean (0, 2.89, 1) and 1/2 mean (1, 0.49, 0)
    assert pearson.discriminator(REAL, FAKE).item() == pytest.approx(7.63 / 6)
    assert pearson.generator(None, FAKE).item() == pytest.approx(1.49 / 6)


def test_wasserstein_by_hand() -> None:
    assert Wasserstein().discriminator(REAL, FAKE).item() == pytest.approx(-0.1 - 0.6)
    assert Wasserstein().generator(None, FAKE).item() == pytest.approx(0.1)


def test_hinge_by_hand() -> None:
    # mean (0, 1.5, 0.7) + mean (0, 1.7, 1)
    assert Hinge().discriminator(REAL, FAKE).item() == pytest.approx(4.9 / 3)
    assert Hinge().generator(None, FAKE).item() == pytest.approx(0.1)


def test_hinge_ignores_what_is_beyond_the_margin() -> None:
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    fake = torch.tensor([-1.5, -0.5], requires_grad=True)
    Hinge().discriminator(real, fake).backward()
    assert real.grad is not None and real.grad.tolist() == [0, -0.5]
    assert fake.grad is not None and fake.grad.tolist() == [0, 0.5]


def test_relativistic_pairing_against_a_loop_over_pairs() -> None:
    pairs = list(zip(REAL.tolist(), FAKE.tolist(), strict=True))
    discriminator = sum(-math.log(1 / (1 + math.exp(-(r - f)))) for r, f in pairs) / 3
    generator = sum(-math.log(1 / (1 + math.exp(-(f - r)))) for r, f in pairs) / 3
    assert RelativisticPairing().discriminator(REAL, FAKE).item() == pytest.approx(discriminator)
    assert RelativisticPairing().generator(REAL, FAKE).item() == pytest.approx(generator)


def test_relativistic_pairing_sees_differences_alone() -> None:
    shifted = RelativisticPairing().discriminator(REAL + 3, FAKE + 3)
    assert torch.allclose(shifted, RelativisticPairing().discriminator(REAL, FAKE))


def test_relativistic_average_against_a_loop_over_samples() -> None:
    real, fake = REAL.tolist(), FAKE.tolist()
    mean_real, mean_fake = sum(real) / 3, sum(fake) / 3  # 0.6 and -0.1

    def cost(better: float, worse: float) -> float:
        return -math.log(1 / (1 + math.exp(worse - better)))

    discriminator = sum(cost(r, mean_fake) / 3 for r in real)
    discriminator += sum(cost(mean_real, f) / 3 for f in fake)
    generator = sum(cost(f, mean_real) / 3 for f in fake) + sum(
        cost(mean_fake, r) / 3 for r in real
    )
    loss = RelativisticAverage()
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(discriminator)
    assert loss.generator(REAL, FAKE).item() == pytest.approx(generator)
    assert loss.discriminator(REAL + 3, FAKE + 3).item() == pytest.approx(discriminator)


def test_energy_margin_by_hand() -> None:
    real, fake = torch.tensor([1.0, 0.5]), torch.tensor([0.25, 2.0, 5.0])
    # mean (1, 0.5) + mean (2.75, 1, 0), and the mean of the fakes' energies
    assert EnergyMargin(margin=3).discriminator(real, fake).item() == pytest.approx(0.75 + 1.25)
    assert EnergyMargin(margin=3).generator(None, fake).item() == pytest.approx(7.25 / 3)
    # any energy up to the margin costs the same where the two kinds are alike
    for energy in (0.0, 1.0, 3.0):
        tied = torch.full((4,), energy)
        assert EnergyMargin(margin=3).discriminator(tied, tied).item() == pytest.approx(3)


def test_kinds_say_what_a_score_is() -> None:
    kinds = {type(loss).__name__: loss.kind for loss in LOSSES}
    assert kinds == {
        "NonSaturating": "logit",
        "Minimax": "logit",
        "LeastSquares": "critic",
        "Wasserstein": "critic",
        "Hinge": "critic",
        "RelativisticPairing": "paired_logit",
        "RelativisticAverage": "paired_logit",
        "EnergyMargin": "energy",
    }


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_loss_that_pairs_no_real_samples_needs_none(loss: Loss) -> None:
    if loss.pairs_real:
        with pytest.raises(AssertionError):
            loss.generator(None, FAKE)
    else:
        assert torch.equal(loss.generator(None, FAKE), loss.generator(REAL, FAKE))
