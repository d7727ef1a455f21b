"""Unrolled GAN against steps that are written out by hand."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.unrolled import UnrolledGAN

TINY = [
    *("model.points.generator.width=3", "model.points.discriminator.width=3", "model.latent_dim=2"),
    *("model.points.generator.depth=1", "model.points.discriminator.depth=1"),
    *("model.optimizer.discriminator.lr=0.1", "model.optimizer.generator.lr=0.1"),
]


def build(*overrides: str, shape: tuple[int, ...] = (2,)) -> UnrolledGAN:
    torch.manual_seed(0)
    cfg = config.compose(["model=unrolled_gan", *TINY, *overrides])
    node = config.model_node(cfg, len(shape) == 1)
    model: UnrolledGAN = config.instantiate(node, sample_shape=shape).double()
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch(seed: int = 0, n: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return Batch(torch.randn(n, 2, generator=rng, dtype=torch.float64))


def gradients_of_generator(model: UnrolledGAN, given: Batch) -> tuple[Tensor, list[Tensor]]:
    assert model.draws is not None
    state = model.draws.generator.get_state()
    drawn = model.draw(model.draws, given, model.clock)
    model.draws.generator.set_state(state)
    loss = model.player_loss(
        "generator", given, drawn, model.make(given, drawn, model.clock), model.clock
    ).loss
    return loss.detach(), list(torch.autograd.grad(loss, list(model.generator.parameters())))


def by_hand(model: UnrolledGAN, given: Batch, steps: int) -> tuple[Tensor, list[Tensor]]:
    """Both networks a tanh and a linear layer, the plain gradient steps of D written out."""
    assert model.draws is not None
    state = model.draws.generator.get_state()
    z = model.draw(model.draws, given, model.clock)["z"]
    model.draws.generator.set_state(state)
    generator = [p.detach().clone().requires_grad_(True) for p in model.generator.parameters()]
    w1, b1, w2, b2 = generator
    fakes = torch.tanh(z @ w1.T + b1) @ w2.T + b2
    weights = [p.detach().clone().requires_grad_(True) for p in model.discriminator.parameters()]

    def loss(v1: Tensor, c1: Tensor, v2: Tensor, c2: Tensor) -> Tensor:
        real, fake = (
            (torch.tanh(x @ v1.T + c1) @ v2.T + c2).squeeze(1) for x in (given.images, fakes)
        )
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    for _ in range(steps):
        slopes = torch.autograd.grad(loss(*weights), weights, create_graph=True)
        weights = [w - 0.1 * slope for w, slope in zip(weights, slopes, strict=True)]
    value = -loss(*weights)
    return value.detach(), list(torch.autograd.grad(value, generator))


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_generators_gradient_goes_through_the_steps_of_the_discriminator(steps: int) -> None:
    model = build("model.unrolled=sgd", f"model.unrolling_steps={steps}")
    loss, gradients = gradients_of_generator(model, batch())
    expected, slow = by_hand(model, batch(), steps)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-14)
    for fast, reference in zip(gradients, slow, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-10, atol=1e-14)


def test_the_gradient_is_that_of_finite_differences() -> None:
    """Through Adam too, whose moments depend on the generator as well."""
    model = build("model.unrolling_steps=2")
    for k in range(2):
        model.training_step(batch(k), k)
    _, gradients = gradients_of_generator(model, batch(5))
    weight = next(model.generator.parameters())
    for place in ((0, 0), (2, 1)):
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight[place] += step
            values.append(gradients_of_generator(model, batch(5))[0].item())
            with torch.no_grad():
                weight[place] -= step
        slope = (values[0] - values[1]) / 2e-5
        assert float(gradients[0][place]) == pytest.approx(slope, rel=1e-5)


CLIPPED = ("model.clip_grad_norm=0.05", "model.weight_clip=0.5")


@pytest.mark.parametrize(
    ("rule", "moves", "limits"),
    [("adam", 0, ()), ("adam", 3, ()), ("adam", 3, CLIPPED), ("sgd", 3, CLIPPED)],
    ids=["from none", "from present moments", "clipped", "plain steps clipped"],
)
def test_steps_ahead_are_those_that_torch_would_make(
    rule: str, moves: int, limits: tuple[str, ...]
) -> None:
    model = build("model.unrolling_steps=3", f"model.unrolled={rule}", *limits)
    for k in range(moves):
        model.training_step(batch(k), k)
    assert model.draws is not None
    given = batch(7)
    drawn = model.draw(model.draws, given, model.clock)
    fakes = model.make(given, drawn, model.clock).detach()
    own = model._optimizers["discriminator"]
    copied = copy.deepcopy(model.discriminator)
    optimizer: torch.optim.Optimizer = torch.optim.SGD(copied.parameters(), lr=0.1)
    if rule == "adam":
        optimizer = torch.optim.Adam(copied.parameters(), lr=0.1, betas=(0.5, 0.999))
        optimizer.load_state_dict(copy.deepcopy(own.state_dict()))
    for _ in range(3):
        loss = model.loss.discriminator(copied(given.images), copied(fakes))
        optimizer.zero_grad()
        loss.backward()
        if limits:
            norm = nn.utils.clip_grad_norm_(copied.parameters(), 0.05)
            assert norm > 0.05, "the limit does nothing here"
        optimizer.step()
        if limits:
            assert any(weight.abs().max() > 0.5 for weight in copied.parameters())
            for weight in copied.parameters():
                weight.data.clamp_(-0.5, 0.5)
    found = model.player_loss("generator", given, drawn, fakes, model.clock).loss
    expected = -model.loss.discriminator(copied(given.images), copied(fakes))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_discriminator_itself_stays_where_it_is() -> None:
    words = ["model.discriminator.width=4", "model.generator.width=4"]
    model = build(*words, shape=(1, 8, 8))  # with batch statistics
    rng = torch.Generator().manual_seed(0)
    given = Batch(torch.rand(6, 1, 8, 8, generator=rng, dtype=torch.float64) * 2 - 1)
    model.training_step(given, 0)
    assert model.draws is not None
    drawn = model.draw(model.draws, given, model.clock)
    before = copy.deepcopy(model.discriminator.state_dict())
    moments = copy.deepcopy(model._optimizers["discriminator"].state_dict())
    loss = model.player_loss(
        "generator", given, drawn, model.make(given, drawn, model.clock), model.clock
    ).loss
    loss.backward(inputs=list(model.generator.parameters()))
    for name, value in model.discriminator.state_dict().items():
        assert torch.equal(value, before[name]), name
    after = model._optimizers["discriminator"].state_dict()
    for key, state in moments["state"].items():
        for name, value in state.items():
            assert torch.equal(value, after["state"][key][name]), (key, name)


def test_a_weight_without_gradient_gives_finite_gradients() -> None:
    """Adam divides by the root of the squared gradients, whose slope at 0 is infinite."""
    model = build("model.points.discriminator.activation=relu")
    first = model.discriminator.hidden[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.bias[0] = -1e3  # a rectifier that no sample reaches
    loss, gradients = gradients_of_generator(model, batch())
    assert loss.isfinite() and all(g.isfinite().all() for g in gradients)


def test_one_step_ahead_answers_a_generator_that_moved_to_one_mode() -> None:
    """The loss that the generator minimises is the zero-sum one: more for D, less for G."""
    model = build("model.unrolled=sgd", "model.unrolling_steps=1")
    assert model.draws is not None
    given = batch()
    drawn = model.draw(model.draws, given, model.clock)
    fakes = model.make(given, drawn, model.clock)
    game = model.player_loss("discriminator", given, drawn, fakes, model.clock).loss
    terms = model.player_loss("generator", given, drawn, fakes, model.clock)
    assert float(terms.parts["unrolled/gain"]) == pytest.approx((game + terms.loss).item())
    assert float(terms.parts["unrolled/gain"]) > 0


def test_the_game_has_the_weight_that_was_asked_for() -> None:
    loss, gradients = gradients_of_generator(build(), batch())
    weighed, slopes = gradients_of_generator(build("model.adversarial=0.25"), batch())
    torch.testing.assert_close(weighed, 0.25 * loss)
    torch.testing.assert_close(slopes, [0.25 * gradient for gradient in gradients])


def test_what_cannot_be_unrolled_is_refused() -> None:
    with pytest.raises(UserError, match="unrolling_steps=-1"):
        build("model.unrolling_steps=-1")
    with pytest.raises(UserError, match="unrolled=lbfgs"):
        build("model.unrolled=lbfgs")
    with pytest.raises(UserError, match="add to it.*model=gan"):
        build(
            "+model.penalties.r1._target_=gansweep.terms.penalties.R1",
            "+model.penalties.r1.weight=1",
        )
    with pytest.raises(UserError, match="torch.optim.Adam.*unrolled=sgd"):
        build("+model.optimizer.discriminator.weight_decay=0.1")
