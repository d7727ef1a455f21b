"""VEEGAN's two losses by hand, and what either player's step reaches."""

import pytest
import torch
from torch.nn import functional as F

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.veegan import VEEGAN


def build(*options: str) -> VEEGAN:
    cfg = config.compose(["experiment=paper_veegan_grid", "model.latent_dim=5", *options])
    torch.manual_seed(0)
    model: VEEGAN = config.instantiate(config.model_node(cfg, True), sample_shape=(2,))
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch() -> Batch:
    return Batch(torch.randn(6, 2, generator=torch.Generator().manual_seed(3)))


def test_both_losses_are_those_of_pairs() -> None:
    model = build()
    assert model.draws is not None
    drawn = model.draw(model.draws, batch(), model.clock)
    fakes = model.make(batch(), drawn, model.clock)
    back = model.generator.reconstructor
    real = model.discriminator(
        torch.cat([batch().images, back(batch().images) + drawn["noise"]], 1)
    )
    fake = model.discriminator(torch.cat([fakes, drawn["z"]], 1))
    d = model.player_loss("discriminator", batch(), drawn, fakes, model.clock)
    torch.testing.assert_close(d.loss, F.softplus(-real).mean() + F.softplus(fake).mean())
    g = model.player_loss("generator", batch(), drawn, fakes, model.clock)
    error = (drawn["z"] - back(fakes)).square().sum() / 6 / 2
    torch.testing.assert_close(g.loss, error - fake.mean())
    torch.testing.assert_close(g.parts["veegan/reconstruction"], error)


def test_the_reconstructor_learns_with_the_generator_and_not_with_the_discriminator() -> None:
    model = build()
    assert model.draws is not None
    drawn = model.draw(model.draws, batch(), model.clock)
    fakes = model.make(batch(), drawn, model.clock)
    model.player_loss("discriminator", batch(), drawn, fakes, model.clock).loss.backward()
    assert all(p.grad is None for p in model.generator.parameters())
    model.player_loss("generator", batch(), drawn, fakes, model.clock).loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.generator.parameters())


def test_it_trains_and_scores_and_makes_points() -> None:
    model = build()
    for step in range(2):
        model.training_step(batch(), step)
    rng = torch.Generator().manual_seed(0)
    assert model.fakes(batch(), rng).shape == (6, 2)
    assert model.scores(batch(), rng).real.shape == (6,)
    assert {"loss/generator", "veegan/reconstruction"} <= model.recent_means().keys()


def test_pairs_are_judged_from_the_latents_of_training() -> None:
    model = build("model.latent_distribution=uniform").eval()
    rng = torch.Generator().manual_seed(4)
    z = torch.rand(6, 5, generator=torch.Generator().manual_seed(4)) * 2 - 1
    fake = model.discriminator(torch.cat([model.generator(z), z], 1))
    torch.testing.assert_close(model.scores(batch(), rng).fake, fake.detach())


def test_terms_are_refused() -> None:
    with pytest.raises(UserError, match=r"packing would see one of them.*model\.packing=1"):
        build("model.packing=2")
