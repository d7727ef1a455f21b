"""A user's own loss, term, network or model that returns a wrong shape or type is named."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.models.player_loss import PlayerLoss
from gansweep.terms.losses import NonSaturating
from gansweep.terms.term import Step, Term

WRONG = [
    pytest.param(torch.zeros(8), r"is a tensor of shape \(8,\)", id="vector"),
    pytest.param(torch.zeros(1), r"is a tensor of shape \(1,\)", id="one entry"),
    pytest.param(1.5, "is a float", id="float"),
]


class Returns(NonSaturating):
    def __init__(self, value: Any, player: str) -> None:
        self.value, self.player = value, player

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        own = super().discriminator(real_scores, fake_scores)
        return self.value if self.player == "discriminator" else own

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return self.value if self.player == "generator" else super().generator(None, fake_scores)


class ReturnsTerm(Term):
    value: Any

    def generator(self, step: Step) -> Tensor:
        return self.value


class Kept(nn.Module):
    """A network whose scores are given another shape."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, samples: Tensor) -> Tensor:
        return self.network(samples)[:, None]


def build() -> GAN:
    torch.manual_seed(0)
    small = ["model.points.generator.width=4", "model.points.discriminator.width=4"]
    cfg = config.compose(["model=gan", "data=ring", *small])
    model: GAN = config.instantiate(config.model_node(cfg, True), sample_shape=(2,))
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def train(model: GAN) -> None:
    model.training_step(Batch(torch.rand(8, 2)), 0)


@pytest.mark.parametrize(("value", "words"), [*WRONG, pytest.param(None, "is None", id="none")])
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_loss_that_returns_no_scalar_is_named(player: str, value: Any, words: str) -> None:
    model = build()
    model.loss = Returns(value, player)
    with pytest.raises(UserError, match=rf"value of Returns\.{player} {words}.*values\.mean\(\)"):
        train(model)


@pytest.mark.parametrize(("value", "words"), WRONG)
def test_a_term_that_returns_no_scalar_is_named(value: Any, words: str) -> None:
    model, term = build(), ReturnsTerm()
    term.value = value
    model.terms.by_name["mine"] = term
    model.terms.labels["mine"] = "term/mine"
    with pytest.raises(UserError, match=rf"ReturnsTerm\.generator \(term/mine\) {words}"):
        train(model)


@pytest.mark.parametrize(("value", "words"), WRONG)
def test_a_part_of_a_players_loss_that_is_no_scalar_is_named(
    value: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = PlayerLoss(torch.zeros((), requires_grad=True), {"spread": value})
    monkeypatch.setattr(GAN, "discriminator_loss", lambda self, *_: made)
    with pytest.raises(UserError, match=rf"part 'spread' of the loss of GAN's disc.* {words}"):
        train(build())


def test_a_players_loss_of_another_type_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GAN, "discriminator_loss", lambda self, *_: torch.zeros(()))
    with pytest.raises(UserError, match=r"GAN's discriminator is a tensor.*Return PlayerLoss"):
        train(build())


def test_a_discriminator_with_a_dimension_too_many_is_named() -> None:
    model = build()
    model.discriminator = Kept(model.discriminator)
    with pytest.raises(UserError, match=r"discriminator Kept returned .*\(16, 1\).*mean\(1\)"):
        train(model)
