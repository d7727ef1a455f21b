"""Whose move it is, of which noise and how many fakes: against a loop in plain PyTorch."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from states import same
from torch import Tensor
from torch.nn import functional as F
from variants import VARIANTS, class_of

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config import compose as config
from gansweep.data.batch import Batch, widened
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.run.build import build_data, build_model
from gansweep.run.train import train

N, N_CLASSES, SHAPE, IMAGE = 8, 3, (2,), (1, 8, 8)
ENDS = torch.tensor([1, 1, 4])  # one of four training samples is of class 0, three of class 2


def build(*words: str, shape: tuple[int, ...] = SHAPE) -> GAN:
    torch.manual_seed(0)
    cfg = config.compose([*words])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    node = config.model_node(cfg, is_points=len(shape) == 1)
    source = {"source_shape": shape} if len(shape) == 3 else {}
    model = config.instantiate(node, sample_shape=shape, n_classes=N_CLASSES, **source).double()
    model.class_ends = ENDS
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model  # type: ignore[no-any-return]


def batch_of(step: int) -> Batch:
    rng = torch.Generator().manual_seed(step)
    images = torch.rand(N, *SHAPE, generator=rng, dtype=torch.float64)
    return Batch(images, torch.arange(N) % N_CLASSES)


def by_hand(model: GAN, steps: int, n_critic: int, n_generator: int, shared: bool, k: int) -> GAN:
    """The same game as a loop: the non-saturating loss and Adam."""
    twin = copy.deepcopy(model)
    rng = torch.Generator().manual_seed(1)
    g, d = (twin.players[name] for name in ("generator", "discriminator"))
    g_adam, d_adam = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (g, d))

    def noise(n: int) -> Tensor:
        return torch.randn(n, twin.latent_dim, generator=rng, dtype=torch.float64)

    def called(net: torch.nn.Module, x: Tensor, labels: Tensor | None) -> Tensor:
        made: Tensor = net(x, labels) if twin.conditional else net(x)
        return made

    for step in range(steps):
        batch, z = batch_of(step), noise(N)
        fakes = called(g, z, batch.labels).detach()
        real, fake = (called(d, x, batch.labels) for x in (batch.images, fakes))
        d_adam.zero_grad()
        (F.softplus(-real).mean() + F.softplus(fake).mean()).backward()
        d_adam.step()
        for move in range(n_generator if (step + 1) % n_critic == 0 else 0):
            labels = batch.labels
            if move or not shared:
                if twin.conditional:
                    u = torch.rand(k * N, generator=rng, dtype=torch.float64)
                    labels = torch.where(u < 0.25, 0, 2)
                z = noise(k * N)
            g_adam.zero_grad()
            F.softplus(-called(d, called(g, z, labels), labels)).mean().backward()
            g_adam.step()
    return twin


@pytest.mark.parametrize(
    ("model", "n_critic", "n_generator", "shared", "k", "accumulate"),
    [
        ("dcgan", 1, 3, True, 1, 1),
        ("cgan_mlp", 2, 2, True, 1, 2),
        ("dcgan", 1, 1, False, 1, 1),
        ("cgan_mlp", 1, 1, False, 2, 1),
        ("cgan_mlp", 2, 2, False, 3, 2),
    ],
)
def test_moves_are_those_of_a_plain_loop(
    model: str, n_critic: int, n_generator: int, shared: bool, k: int, accumulate: int
) -> None:
    words = [f"model={model}", f"model.n_critic={n_critic}", f"model.n_generator={n_generator}"]
    words += [f"model.shared_noise={shared}", f"model.generator_batch={k}"]
    words += ["model.latent_distribution=normal", "model.optimizer.generator.lr=2e-4"]
    game = build(*words, f"model.accumulate={accumulate}")
    before = [p.detach().clone() for p in game.generator.parameters()]
    twin = by_hand(game, 4, n_critic, n_generator, shared, k)
    for step in range(4):
        game.training_step(batch_of(step), step)
    assert game.images_seen == 4 * N and game.steps == 4
    for a, b in zip(game.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert not any(map(torch.equal, before, game.generator.parameters()))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_players_that_move_at_once_learn_at_the_weights_before(accumulate: int) -> None:
    words = ["model=gan", "model.simultaneous=true", "model.latent_distribution=normal"]
    game = build(*words, f"model.accumulate={accumulate}")
    twin = copy.deepcopy(game)
    g, d = twin.generator, twin.discriminator
    rates = [o.param_groups[0]["lr"] for o in game._optimizers.values()]
    d_adam, g_adam = (
        torch.optim.Adam(net.parameters(), rate, (0.5, 0.999))
        for net, rate in zip((d, g), rates, strict=True)
    )
    rng = torch.Generator().manual_seed(1)
    for step in range(4):
        batch = batch_of(step)
        fakes = g(torch.randn(N, twin.latent_dim, generator=rng, dtype=torch.float64))
        real, fake = d(batch.images), d(fakes)
        d_loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        d_slope = torch.autograd.grad(d_loss, list(d.parameters()), retain_graph=True)
        g_slope = torch.autograd.grad(F.softplus(-fake).mean(), list(g.parameters()))
        for net, slopes, adam in ((d, d_slope, d_adam), (g, g_slope, g_adam)):
            for weight, slope in zip(net.parameters(), slopes, strict=True):
                weight.grad = slope
            adam.step()
        game.training_step(batch, step)
    for a, b in zip(game.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


FROM_NOISE = [v for v in VARIANTS if class_of(v).from_noise and issubclass(class_of(v), GAN)]


@pytest.mark.parametrize("variant", FROM_NOISE)
def test_every_game_from_noise_draws_anew_for_each_move(variant: str) -> None:
    game = build(f"model={variant}", "model.n_generator=2", "model.shared_noise=false", shape=IMAGE)
    game.n_critic = 1
    drawn: list[Tensor] = []
    draw = game.draw

    def watched(*given: Any) -> dict[str, Tensor]:
        found = draw(*given)
        drawn.append(found["z"])
        return found

    game.draw = watched  # type: ignore[method-assign]
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(N, *IMAGE, generator=rng, dtype=torch.float64) * 2 - 1
    for step in range(2):
        game.training_step(Batch(images, torch.arange(N) % N_CLASSES), step)
    assert len(drawn) == 6 and len({z[0, 0].item() for z in drawn}) == 6
    assert all(p.isfinite().all() for p in game.parameters())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("model=autoencoder model.n_generator=2", "n_generator=2: this model has one player"),
        ("model=vae model.shared_noise=false", "shared_noise=false: this model has one player"),
        ("model=cyclegan model.shared_noise=false", "nothing random"),
        ("model=context_encoder model.shared_noise=false", "nothing random"),
        ("model=pix2pix model.shared_noise=false +model.generator_batch=2", "each sample of one"),
        ("model=gan model.simultaneous=true model.n_generator=2", "move once in a turn"),
        ("model=gan model.generator_batch=2", "Add model.shared_noise=false"),
        ("model=cgan model.conditional=false", "needs it. Use model.conditional=true"),
        ("model=wgan model.conditional=true", "one here takes none. Use model=cgan"),
    ],
)
def test_moves_that_a_game_cannot_have_are_refused(words: str, reason: str) -> None:
    shape = SHAPE if "model=gan" in words else (1, 8, 8)
    with pytest.raises(UserError, match=reason):
        build(*words.split(), shape=shape)


@pytest.mark.parametrize("option", ["n_generator=0", "generator_batch=0", "shared_noise=2"])
def test_wrong_turns_are_refused_before_anything_is_built(option: str) -> None:
    with pytest.raises(UserError, match=f"model.{option}"):
        config.compose([f"model.{option}"])


@pytest.mark.parametrize("world", [1, 2])
def test_classes_are_drawn_as_they_occur_and_each_process_takes_its_rows(world: int) -> None:
    parts = [Draws(0, torch.device("cpu"), rank, world) for rank in range(world)]
    labels = torch.cat([draws.classes(4000 // world, ENDS) for draws in parts])
    assert torch.equal(labels, Draws(0, torch.device("cpu")).classes(4000, ENDS))
    shares = labels.bincount(minlength=3) / 4000
    assert shares[1] == 0 and shares[0] == pytest.approx(0.25, abs=0.02)


def test_the_data_say_how_often_a_class_is_drawn() -> None:
    cfg = config.compose(["model=cgan_mlp", "model.shared_noise=false"])
    data = build_data(cfg)
    labels = data.labels_of("train")
    assert labels is not None
    assert torch.equal(build_model(cfg, data).class_ends, labels.bincount().cumsum(0))


@pytest.mark.parametrize(
    "words",
    [
        ["model.loss._target_=gansweep.terms.losses.RelativisticPairing"],
        # its generator's loss has real samples in it, whatever the loss
        ["model._target_=gansweep.models.unrolled.UnrolledGAN", "+model.unrolling_steps=1"],
    ],
)
def test_a_fake_beside_a_real_sample_keeps_its_class(words: list[str]) -> None:
    game = build("model=cgan_mlp", "model.shared_noise=false", "model.generator_batch=2", *words)
    game.training_step(batch_of(0), 0)
    assert game.last_asked is not None and game.last_asked.labels is not None
    assert game.last_asked.labels.tolist() == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 0, 0, 1, 1]


def test_widened_slices_are_slices_of_the_widened_batch_and_keep_neighbours() -> None:
    batch = batch_of(0)
    assert batch.labels is not None
    wide = widened(batch, 2, together=2)
    assert wide.labels is not None
    assert wide.labels.tolist() == [0, 1, 0, 1, 2, 0, 2, 0, 1, 2, 1, 2, 0, 1, 0, 1]
    assert torch.equal(widened(batch[4:8], 2, together=2).images, wide.images[8:16])


def test_a_run_in_parts_ends_as_the_whole_one(tmp_path: Path) -> None:
    """A pause in the middle, of a game with moves and noise of every kind."""
    words = ["model=cgan_mlp", "model.n_critic=2", "model.n_generator=2", "model.ema_kimg=0.02"]
    words += ["model.shared_noise=false", "model.generator_batch=2", "model.generator.width=8"]
    words += ["model.discriminator.width=8", "batch_size=8", "budget_kimg=0.048", "metrics=none"]
    words += ["tracker=none", "trainer=cpu", "~callbacks.quality", "~callbacks.samples"]
    cfg = config.compose(words)
    train(cfg, run_dir=tmp_path / "whole", progress=False)
    train(cfg, run_dir=tmp_path / "parts", progress=False, until_kimg=0.024)
    torch.manual_seed(12345)
    train(cfg, run_dir=tmp_path / "parts", progress=False)
    whole, parts = (
        read_checkpoint(tmp_path / name / "checkpoints" / "last.pt")["game"]
        for name in ("whole", "parts")
    )
    same(whole, parts)
