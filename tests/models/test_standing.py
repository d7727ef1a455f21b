"""Standing statistics: measured on samples, and without any effect on the run."""

from __future__ import annotations

import copy

import pytest
import torch
from omegaconf import OmegaConf
from states import same
from torch import nn

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.models.standing import ROWS, SEED, StandingStatistics, batch_norms

SHAPE, N_CLASSES, BATCHES = (1, 8, 8), 3, 4


def trained(*words: str, steps: int = 3, shape: tuple[int, ...] = SHAPE) -> GAN:
    torch.manual_seed(0)
    cfg = config.compose([*words])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    node = config.model_node(cfg, is_points=len(shape) == 1)
    model: GAN = config.instantiate(node, sample_shape=shape, n_classes=N_CLASSES)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    for k in range(steps):
        step(model, k)
    return model


def step(model: GAN, k: int) -> None:
    rng = torch.Generator().manual_seed(k)
    images = torch.rand(8, *model.sample_shape, generator=rng) * 2 - 1
    model.training_step(Batch(images, torch.arange(8) % N_CLASSES), k)


def by_hand(model: GAN) -> nn.Module:
    """The averaged weights in training mode, on batches of noise and of equally likely classes."""
    network = copy.deepcopy(model._averages.networks["generator"]).train()
    for layer in batch_norms(network):
        layer.reset_running_stats()
        layer.momentum = None
    rng = torch.Generator().manual_seed(SEED)
    for _ in range(BATCHES):
        z = torch.randn(ROWS, model.latent_dim, generator=rng)
        given = [z]
        if model.conditional:
            u = torch.rand(ROWS, generator=rng, dtype=torch.float64)
            given.append((u * N_CLASSES).long())
        with torch.no_grad():
            network(*given)
    return network.eval()


@pytest.mark.parametrize("variant", ["dcgan", "cgan_projection"])
def test_statistics_are_those_of_batches_of_samples(variant: str) -> None:
    words = [f"model={variant}", "model.ema_kimg=0.01", "model.n_critic=1"]
    words += ["model.latent_distribution=normal", f"model.standing_statistics={BATCHES}"]
    model = trained(*words)
    kept = dict(model._averages.networks["generator"].named_buffers())
    expected, state = by_hand(model), copy.deepcopy(model.game_state())
    sampler = model.sampler()
    same(sampler.state_dict(), expected.state_dict())
    assert any(not torch.equal(b, kept[name]) for name, b in sampler.named_buffers())
    model.fakes(Batch(torch.zeros(4, *SHAPE), torch.arange(4) % 3), torch.Generator())
    same(model.game_state(), state)
    assert model.sampler() is sampler, "measured twice"
    assert model.declared()["standing_statistics"] == BATCHES


def test_new_weights_are_measured_whatever_training_has_averaged() -> None:
    """So two processes, whose running averages differ, sample with the same statistics."""
    words = ["model=dcgan", "model.standing_statistics=2"]
    model, other = trained(*words), trained(*words, steps=1)
    first = model.sampler()
    step(model, 3)
    assert model.sampler() is not first
    other.sampler()
    other.steps = model.steps  # it is not the clock alone that tells the weights
    other.load_networks(model.game_state())
    for layer in batch_norms(other.generator):
        layer.reset_running_stats()
    same(other.sampler().state_dict(), model.sampler().state_dict())


def test_a_part_that_makes_no_samples_keeps_its_running_averages() -> None:
    """As VEEGAN's reconstructor, which is the generator's player too."""
    network = nn.ModuleList([nn.BatchNorm1d(2), nn.BatchNorm1d(2)])
    for layer in batch_norms(network):
        layer(torch.arange(8.0).reshape(4, 2))
    copied = StandingStatistics(3).of(network, 0, lambda parts, rng: parts[0](torch.eye(2) + 5))
    made, kept = batch_norms(copied)
    assert made.running_mean is not None and made.running_mean.tolist() == [5.5, 5.5]
    same(kept.state_dict(), network[1].state_dict())


def test_statistics_of_a_generator_without_batch_normalisation_are_refused() -> None:
    with pytest.raises(UserError, match="this generator has none"):
        trained("model=dcgan", "model.standing_statistics=2", shape=(2,))


def test_samples_come_with_the_running_averages_by_default() -> None:
    model = trained("model=dcgan", steps=1)
    assert model.sampler() is model.generator
    assert "standing_statistics" not in model.declared()


def test_statistics_are_those_of_the_truncation_at_present() -> None:
    model = trained("model=biggan", f"model.standing_statistics={BATCHES}")
    before = copy.deepcopy(model.sampler().state_dict())
    model.truncate(0.2)
    truncated = copy.deepcopy(model.sampler().state_dict())
    model.standing.forget()
    same(truncated, model.sampler().state_dict())
    assert any(not torch.equal(before[name], one) for name, one in truncated.items())
    model.truncate(None)
    same(before, model.sampler().state_dict())
