"""StyleGAN2 and R3GAN with classes, against loops in plain PyTorch."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn.functional import softplus

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN

N, SHAPE, N_CLASSES, STEPS, BUDGET = 8, (1, 8, 8), 3, 4, 64
LABELS = torch.arange(N) % N_CLASSES


def build(variant: str, *words: str) -> GAN:
    torch.manual_seed(0)
    cfg = config.compose([f"model={variant}", "model.augment=null", *words])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    node = config.model_node(cfg, is_points=False)
    model: GAN = config.instantiate(node, sample_shape=SHAPE, n_classes=N_CLASSES).double()
    for name, weight in model.named_parameters():
        if name.endswith("reduce.weight"):  # else blocks are the identity, and teach nothing
            nn.init.normal_(weight, 0, 0.1)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    model.budget_kimg = BUDGET / 1000
    return model


def images(step: int) -> Tensor:
    rng = torch.Generator().manual_seed(step)
    return torch.rand(N, *SHAPE, generator=rng, dtype=torch.float64) * 2 - 1


class Loop:
    """One game by hand: its networks, the average of G, the random numbers."""

    def __init__(self, model: GAN, rate: float, betas: tuple[float, float]) -> None:
        self.g, self.d = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
        self.average = copy.deepcopy(self.g)
        self.rng = torch.Generator().manual_seed(1)
        self.og, self.od = (
            torch.optim.Adam(net.parameters(), rate, betas) for net in (self.g, self.d)
        )

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.rng, dtype=torch.float64)

    def step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def squared_slope(self, samples: Tensor) -> Tensor:
        """Mean squared norm of D's gradient at samples of the classes LABELS."""
        samples = samples.detach().requires_grad_(True)
        scores = self.d(samples, LABELS)
        (slope,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
        return slope.square().flatten(1).sum(1).mean()  # type: ignore[no-any-return]

    def follow(self, half_life: float) -> None:
        """half_life: in images."""
        with torch.no_grad():
            for kept, live in zip(self.average.parameters(), self.g.parameters(), strict=True):
                kept.lerp_(live, 1 - 0.5 ** (N / max(half_life, 1e-8)))


def r3gan(model: GAN) -> Loop:
    """Huang et al. 2024, Appendix D: pairs of a real and a generated sample, R1 and R2, ramps."""
    loop = Loop(model, 2e-4, (0.0, 0.9))
    for k in range(STEPS):
        share = (1 - math.cos(math.pi * k * N / BUDGET)) / 2
        for optimizer in (loop.og, loop.od):
            optimizer.param_groups[0]["betas"] = (0.0, 0.9 + 0.09 * share)
            optimizer.param_groups[0]["lr"] = 2e-4 * (1 - 0.75 * share)
        real, fake = images(k), loop.g(loop.normal(N, model.latent_dim), LABELS)
        slopes = loop.squared_slope(real) + loop.squared_slope(fake)
        pairs = softplus(loop.d(fake.detach(), LABELS) - loop.d(real, LABELS)).mean()
        loop.step(loop.od, pairs + (0.05 - 0.045 * share) / 2 * slopes)
        scores = loop.d(real, LABELS).detach()
        loop.step(loop.og, softplus(scores - loop.d(fake, LABELS)).mean())
        loop.follow(5000 * (1 - math.cos(math.pi * (k + 1) * N / BUDGET)) / 2)
    return loop


def stylegan2(model: GAN) -> Loop:
    """Karras et al. 2020 (ADA), CIFAR-10: one style, no path lengths, R1 in every second step."""
    loop = Loop(model, 2.5e-3, (0.0, 0.99))
    for k in range(STEPS):
        maps = loop.normal(N, model.generator.synthesis.noise_numbers)  # type: ignore
        z = torch.cat([loop.normal(N, model.latent_dim), maps], 1)
        loop.normal(N, model.latent_dim)  # the second style, of no sample here
        torch.rand(2, N, generator=loop.rng, dtype=torch.float64)
        real, fake = images(k), loop.g(z, LABELS)
        loss = (
            softplus(-loop.d(real, LABELS)).mean() + softplus(loop.d(fake.detach(), LABELS)).mean()
        )
        if k % 2 == 0:
            loss = loss + 2 * 0.01 / 2 * loop.squared_slope(real)
        loop.step(loop.od, loss)
        loop.step(loop.og, softplus(-loop.d(fake, LABELS)).mean())
        loop.follow(min(500_000, 0.05 * (k + 1) * N))
    return loop


@pytest.mark.parametrize("by_hand", [r3gan, stylegan2])
def test_training_with_classes_is_that_of_a_plain_loop(by_hand: Callable[[GAN], Loop]) -> None:
    model = build(f"{by_hand.__name__}_conditional")
    before = [p.detach().clone() for p in model.parameters()]
    loop = by_hand(model)
    for k in range(STEPS):
        model.training_step(Batch(images(k), LABELS), k)
    ours = [model.generator, model.discriminator, model.sampler()]
    for network, expected in zip(ours, (loop.g, loop.d, loop.average), strict=True):
        for (name, a), b in zip(network.named_parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-10, msg=name)
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert sum(moved) > 0.9 * len(moved)
