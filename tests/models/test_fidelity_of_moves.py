"""The whole loss of each player, the settings that follow a schedule, and the first biases and
gains: of every file of conf/model/ and every published run, against tests/models/fidelity/.

`game` has the losses at the first step on these knowns, worked out by hand. Real samples are 0.4
everywhere, generated ones -0.8. D's score is the mean of a sample's first two numbers, which is
also its one feature; where D says more than a score, that is the first number and the others are
0. An encoder says 0.5 for each number of a code, with a log-variance of 0, VEEGAN's says 0.1.
Uniform draws are 0.5, normal ones 0. So a gradient of D has the length 2^-1/2, and R1 is 1/4.
"""

import copy
import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from published import NUMBERS, full_size, narrow
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.data.batch import Batch
from gansweep.models.acgan import ACGAN
from gansweep.models.adversarial import Adversarial
from gansweep.models.autoencoder import Coding
from gansweep.models.began import BEGAN
from gansweep.models.draws import Draws
from gansweep.models.infogan import InfoGAN
from gansweep.models.progan import ProGAN
from gansweep.models.sgan import SGAN
from gansweep.models.stylegan2 import StyleGAN2
from gansweep.models.vae import VAE
from gansweep.models.veegan import VEEGAN
from gansweep.terms.clock import Clock

REAL, FAKE = 0.4, -0.8
TRANSLATORS = {name for name, stated in NUMBERS.items() if "images" in stated}


class Known(Draws):
    """0.5 for every uniform number, 0 for every normal one."""

    def _rows(self, draw: Any, n: int, shape: tuple[int, ...], dtype: Any) -> Tensor:
        return torch.full((n, *shape), 0.5 if draw is torch.rand else 0.0, dtype=dtype)


class Judge(nn.Module):
    """D: the mean of the first two numbers, and zeros behind it up to `outputs` numbers."""

    def __init__(self, outputs: int | None, auxiliary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.outputs = outputs
        self.output = SimpleNamespace(auxiliary=lambda said: F.pad(said, (0, auxiliary - 1)))

    def features(self, samples: Tensor, *given: Any, **named: Any) -> Tensor:
        return self.weight * samples.flatten(1)[:, :2].mean(1, keepdim=True)

    def forward(self, samples: Tensor, *given: Any, **named: Any) -> Tensor:
        said = self.features(samples)
        return said[:, 0] if self.outputs is None else F.pad(said, (0, self.outputs - 1))


class Maker(nn.Module):
    """A network of two equal filters that gives the same numbers for all that it is given."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.ones(2, 2))
        self.numbers = numbers

    def forward(self, given: Tensor, *more: Any) -> Tensor:
        return self.numbers.expand(len(given), *self.numbers.shape)

    def styles(self, z: Tensor, labels: Tensor | None) -> tuple[Tensor, None]:
        return torch.zeros(len(z), 1, 1, requires_grad=True), None

    def synthesis(self, w: Tensor, noise: None) -> Tensor:
        return w[..., None] * self.numbers


def with_knowns(name: str) -> tuple[Any, dict[str, Tensor]]:
    """A model whose networks are known functions, and its draws."""
    model: Any = copy.deepcopy(full_size(name))
    drawn = model.draw(Known(0, torch.device("cpu")), batch_for(model), Clock())
    shape = model.sample_shape
    if isinstance(model, Coding):
        n = model.latent_dim
        code = torch.full((n,), 0.5)
        model.coder.encoder = Maker(F.pad(code, (0, n)) if isinstance(model, VAE) else code)
        model.coder.decoder = Maker(torch.full(shape, FAKE))
    elif isinstance(model, VEEGAN):
        model.generator.reconstructor = Maker(torch.full((model.latent_dim,), 0.1))
        model.generator.generator = Maker(torch.full(shape, FAKE))
    else:
        model.generator = Maker(torch.full(shape, FAKE))
    if "discriminator" in model.players:
        auxiliary = 1
        if isinstance(model, InfoGAN):
            auxiliary = sum(model.categories) + model.continuous
        elif isinstance(model, ACGAN):
            auxiliary = model.n_classes or 0
        outputs = None
        if isinstance(model, SGAN):
            outputs = (model.n_classes or 0) + model.learns_fake_logit
        model.discriminator = Judge(outputs, auxiliary)
        model._spreads = []  # this one judges no groups
    # what remembers something begins with zeros
    model._apply(lambda t: torch.zeros_like(t, device="cpu") if t.is_meta else t)
    if isinstance(model, BEGAN):
        model.control.k.fill_(0.5)
    if isinstance(model, StyleGAN2):
        model.path_mean.value.fill_(1)
    return model, drawn


def batch_for(model: Adversarial) -> Batch:
    """Two samples, of the classes 0 and 1; of a ProGAN at the side of its first level."""
    shape = model.sample_shape
    if isinstance(model, ProGAN):
        shape = (shape[0], model.present.side, model.present.side)
    return Batch(torch.full((2, *shape), REAL), torch.tensor([0, 1]))


def test_every_file_states_the_losses_of_its_game() -> None:
    stated = {name for name, numbers in NUMBERS.items() if "game" in numbers}
    assert stated | TRANSLATORS == NUMBERS.keys()


@pytest.mark.parametrize("name", sorted(NUMBERS.keys() - TRANSLATORS))
def test_losses_of_the_first_step_are_the_hand_worked_ones(name: str) -> None:
    model, drawn = with_knowns(name)
    model.configure_optimizers()
    batch = batch_for(model)
    fakes = torch.full_like(batch.images, FAKE)
    losses = {
        player: model.player_loss(player, batch, drawn, fakes, Clock()).loss.item()
        for player in model.players
    }
    assert losses == pytest.approx(NUMBERS[name]["game"], abs=2e-6, rel=1e-6)


@pytest.mark.parametrize("name", NUMBERS)
def test_settings_follow_the_published_schedules(name: str) -> None:
    """After thousands of images: of penalties, moments, averages and augmentation."""
    stated, model = NUMBERS[name], full_size(name)
    clock = Clock(budget_kimg=stated.get("budget_kimg", 100))
    corners = stated.get("settings", {})
    if not corners:
        assert not model.scheduled(clock)
    for kimg, settings in corners.items():
        moment = replace(clock, images_seen=round(kimg * 1000))
        assert model.scheduled(moment) == pytest.approx(settings, rel=1e-9, abs=1e-12), kimg


NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


@pytest.mark.parametrize("name", sorted(NUMBERS.keys() - {"paper_dirac_gan"}))
def test_first_biases_and_gains_are_the_published_ones(name: str) -> None:
    """Biases are 0 and gains 1, unless the numbers say otherwise.

    init.gains: the spread of gains around 1.   init.vectors: pattern -> value of other vectors.
    Where the weights are PyTorch's, so are the biases: within 1 / sqrt(fan-in).
    """
    init, model = NUMBERS[name]["init"], narrow(name)
    spread, others = init.get("gains", 0), init.get("vectors", {})
    unused = set(others)
    for player, network in model.players.items():
        for place, layer in network.named_modules():
            for key, vector in layer.named_parameters(recurse=False):
                full = f"{place}.{key}"
                if vector.ndim > 1:
                    continue
                found = vector.detach().double()
                if isinstance(layer, NORMS) and key == "weight":
                    off = (found - 1).square().mean().sqrt().item()
                    within = 5 * spread / math.sqrt(2 * len(found))
                    assert abs(off - spread) <= within, (player, full, off)
                    continue
                rule = next(r for pattern, r in init[player].items() if re.search(pattern, full))
                if rule == "pytorch" and isinstance(layer, nn.Linear | nn.Conv2d):
                    limit = 1 / math.sqrt(layer.weight[0].numel())
                    assert 0 < found.abs().max() <= limit, (player, full)
                    continue
                pattern = next((p for p in others if re.search(p, full)), None)
                unused.discard(pattern)
                value = 0 if pattern is None else others[pattern]
                assert (found == value).all(), (player, full)
    assert not unused
