"""Packing: what the discriminator of PacGAN sees, and that it captures more modes."""

import pytest
import torch
from torch import Tensor

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.metrics.scores.modes import mixture_modes
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.run.build import build_data, build_model
from gansweep.run.train import NOISE_OFFSET
from gansweep.terms.packing import packs


def build(*overrides: str, shape: tuple[int, ...] = (2,), n_classes: int | None = None) -> GAN:
    torch.manual_seed(0)
    node = config.model_node(config.compose(list(overrides)), len(shape) == 1)
    model: GAN = config.instantiate(node, sample_shape=shape, n_classes=n_classes)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


SMALL = ["model.points.generator.width=8", "model.points.discriminator.width=8"]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_pack_is_its_samples_side_by_side(size: int) -> None:
    points = torch.randn(6, 2)
    rows = [torch.cat(list(points[k : k + size])) for k in range(0, 6, size)]
    assert torch.equal(packs(points, size), torch.stack(rows))
    images = torch.randn(6, 3, 4, 4)
    stacks = [torch.cat(list(images[k : k + size])) for k in range(0, 6, size)]
    assert torch.equal(packs(images, size), torch.stack(stacks))


def test_a_batch_that_cannot_be_packed_names_one_that_can() -> None:
    with pytest.raises(UserError, match="10 samples.*packing=4.*batch_size=12"):
        packs(torch.randn(10, 2), 4)


def test_losses_are_those_of_the_packs_worked_out_one_by_one() -> None:
    model = build("model=pacgan", *SMALL, "model.packing=3")
    assert model.draws is not None
    model.eval()
    batch = Batch(torch.randn(6, 2))
    drawn = model.draw(model.draws, batch, model.clock)
    fakes = model.make(batch, drawn, model.clock)

    def softplus_of(samples: Tensor, sign: float) -> float:
        score = model.discriminator(samples.reshape(1, 6)).detach().double()
        return float(torch.log1p(torch.exp(sign * score)))

    real = [softplus_of(batch.images[k : k + 3], -1.0) for k in (0, 3)]
    fake = [softplus_of(fakes[k : k + 3], 1.0) for k in (0, 3)]
    fooled = [softplus_of(fakes[k : k + 3], -1.0) for k in (0, 3)]
    found = model.player_loss("discriminator", batch, drawn, fakes, model.clock).loss
    assert found.item() == pytest.approx((sum(real) + sum(fake)) / 2, rel=1e-5)
    found = model.player_loss("generator", batch, drawn, fakes, model.clock).loss
    assert found.item() == pytest.approx(sum(fooled) / 2, rel=1e-5)


def test_a_packing_discriminator_tells_a_repeated_sample_from_two() -> None:
    """Once trained to, which one without packing cannot be: each sample alone is a real one."""
    model = build("model=pacgan", *SMALL, "model.points.discriminator.width=32")
    rng = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.discriminator.parameters(), 1e-2)
    for _ in range(150):
        real = torch.randint(2, (128, 1), generator=rng).float() * 2 - 1
        real = torch.cat([real, torch.zeros_like(real)], 1)
        collapsed = real[::2].repeat_interleave(2, 0)
        logits = [model.judge(packs(x, 2), None, model.clock) for x in (real, collapsed)]
        loss = model.loss.discriminator(*logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # half the real pairs are repeated: D* is 1/3 on those and 1 on the others
    best = 0.5 * (-torch.tensor(1 / 3).log()) - torch.tensor(2 / 3).log()
    assert loss.item() == pytest.approx(float(best), abs=0.1)


def test_scores_are_given_for_every_sample_whatever_the_packing() -> None:
    model = build("model=pacgan", *SMALL, "model.packing=4")
    scores = model.scores(Batch(torch.randn(7, 2)), torch.Generator().manual_seed(0))
    assert scores.real.shape == scores.fake.shape == (7,)


def test_what_packing_cannot_be_combined_with_is_refused() -> None:
    with pytest.raises(UserError, match="several classes.*packing=1"):
        build("model=pacgan", "model.conditional=true", n_classes=10)
    with pytest.raises(UserError, match="model.packing=0"):
        build("model=pacgan", "model.packing=0")


# without packing, this game has 3 to 6 modes from the 250th of its 750 steps on
COLLAPSING = [
    "batch_size=64",
    "budget_kimg=48",
    "model.optimizer.discriminator.lr=1e-4",
    "model.points.generator.norm=none",
    "model.points.discriminator.activation=tanh",
]


def modes_captured(experiment: str) -> int:
    """Of the grid's 25, by 2,500 samples, after the experiment's game from an uneven start."""
    cfg = config.compose([f"experiment={experiment}", *COLLAPSING])
    data = build_data(cfg)
    model = build_model(cfg, data)
    model.configure_optimizers()
    model.draws = Draws(cfg.seed + NOISE_OFFSET, torch.device("cpu"))
    batches = data.train_batches(cfg.batch_size, seed=cfg.seed, device="cpu")
    steps = int(cfg.budget_kimg * 1000) // cfg.batch_size
    for k, batch in zip(range(steps), batches, strict=False):
        model.training_step(batch, k)
    points = model.fakes(Batch(torch.zeros(2500, 2)), torch.Generator().manual_seed(0))
    assert data.mixture is not None
    return mixture_modes(points, data.mixture).captured


@pytest.mark.slow
def test_packing_captures_more_modes_of_the_grid_than_the_same_game_without() -> None:
    """PacGAN, Table 1. 15 and 3 here; the header of grid_pacgan has longer games of ten seeds."""
    assert modes_captured("grid_pacgan") >= modes_captured("grid_gan") + 5
