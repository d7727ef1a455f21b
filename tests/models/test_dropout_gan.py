"""The first GAN with dropout in its discriminator: its losses with given noise, what it refuses."""

from pathlib import Path

import pytest
import torch
from tiny_runs import KEEPER, TINY
from torch.nn import functional as F

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.data.images import Digits
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.dropout_gan import DropoutGAN
from gansweep.run.build import load_run
from gansweep.run.train import train

IMAGE = (1, 4, 4)


def build(*options: str) -> DropoutGAN:
    cfg = config.compose(["experiment=paper_gan", *options])
    cfg.model.generator.width, cfg.model.discriminator.width = 8, 4
    torch.manual_seed(0)
    model: DropoutGAN = config.instantiate(config.model_node(cfg, False), sample_shape=IMAGE)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch() -> Batch:
    return Batch(torch.rand(6, *IMAGE, generator=torch.Generator().manual_seed(3)) * 2 - 1)


def test_each_pass_has_dropout_of_its_own() -> None:
    """Real samples, fakes, and fakes in the generator's move: three draws, given to D as noise."""
    model = build("model.simultaneous=false")
    assert model.draws is not None
    drawn = model.draw(model.draws, batch(), model.clock)
    fakes = model.make(batch(), drawn, model.clock)
    judge = model.discriminator
    real = judge(batch().images, noise=drawn["dropout/real"])
    fake = judge(fakes, noise=drawn["dropout/fake"])
    again = judge(fakes, noise=drawn["dropout/generator"])
    assert not torch.equal(fake, again)
    d = model.player_loss("discriminator", batch(), drawn, fakes, model.clock)
    torch.testing.assert_close(d.loss, F.softplus(-real).mean() + F.softplus(fake).mean())
    g = model.player_loss("generator", batch(), drawn, fakes, model.clock)
    torch.testing.assert_close(g.loss, F.softplus(-again).mean())


def test_players_that_move_at_once_share_the_dropout_of_fakes() -> None:
    model = build()
    assert model.simultaneous and model.draws is not None
    drawn = model.draw(model.draws, batch(), model.clock)
    fakes = model.make(batch(), drawn, model.clock)
    fake = model.discriminator(fakes, noise=drawn["dropout/fake"])
    g = model.player_loss("generator", batch(), drawn, fakes, model.clock)
    torch.testing.assert_close(g.loss, F.softplus(-fake).mean())


def test_nothing_is_dropped_outside_training() -> None:
    model = build()
    scores = model.scores(batch(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(scores.real, model.discriminator(batch().images))


def test_a_step_moves_both_players_with_momentum() -> None:
    model = build()
    before = [p.detach().clone() for net in model.players.values() for p in net.parameters()]
    model.training_step(batch(), 0)
    after = [p.detach() for net in model.players.values() for p in net.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert model.learning_rates == {"discriminator": 0.05, "generator": 0.1}


def test_terms_are_refused() -> None:
    with pytest.raises(UserError, match=r"and packing would add to it.*model\.packing=1"):
        build("model.packing=2")


def test_a_run_begins_at_the_mean_of_its_training_images(tmp_path: Path) -> None:
    words = ["experiment=paper_gan", "data=digits", "data.n_validation=0", *TINY, *KEEPER]
    narrow = ["model.generator.width=4", "model.discriminator.width=4"]
    cfg = config.compose([*words, *narrow, "model.optimizer.generator.lr=1e-12"])
    train(cfg, run_dir=tmp_path / "run", progress=False)
    model, _ = load_run(tmp_path / "run")
    images = torch.cat([images for images, _ in Digits().arrays("train")]).float() / 255
    begun = model.players["generator"].output.bias.sigmoid()
    torch.testing.assert_close(begun, images.mean(0).flatten(), atol=1e-6, rtol=0)
