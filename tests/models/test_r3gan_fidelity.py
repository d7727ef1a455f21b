"""R3GAN at the sizes of its paper: what tests/models/fidelity/ does not hold.

Huang et al. 2024, arXiv:2501.05441.

Counts of parameters, batches and rates: the table of hyperparameters of its Appendix D. Its
configurations for 32x32 images without classes and with ten differ in the class vectors alone.
"""

import math

import pytest
import torch
from torch import nn

from gansweep.config import compose as config
from gansweep.layers import r3
from gansweep.models.gan import GAN

SMALL = ["model.generator.width=64", "model.discriminator.width=64"]


def built(variant: str, side: int = 32, *words: str, device: str = "meta") -> GAN:
    node = config.model_node(config.compose([f"model={variant}", *words]), is_points=False)
    torch.manual_seed(0)
    with torch.device(device):
        model: GAN = config.instantiate(node, sample_shape=(3, side, side), n_classes=10)
    return model


def parameters_of(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("variant", "side", "generator", "discriminator"),
    [
        ("r3gan", 32, 20.73, 20.68),  # StackedMNIST
        ("r3gan_conditional", 32, 20.78, 21.28),  # CIFAR-10
        ("r3gan", 64, 22.43, 22.38),  # FFHQ at 64x64
    ],
)
def test_r3gan_has_as_many_million_parameters_as_published(
    variant: str, side: int, generator: float, discriminator: float
) -> None:
    model = built(variant, side)
    counts = [parameters_of(net) / 1e6 for net in (model.generator, model.discriminator)]
    assert [round(count, 2) for count in counts] == [generator, discriminator]


def test_r3gan_weights_begin_with_the_spread_of_the_paper() -> None:
    """Fix-up with L = 8 blocks; each other layer keeps the spread of its inputs.

    The classes are those of brownvc/R3GAN, R3GAN/Networks.py: linear maps of one-hot codes of ten.
    """
    model = built("r3gan_conditional", 32, *SMALL, device="cpu")
    scaled = math.sqrt(2 / (1 + 0.2**2)) * 8**-0.25
    for network in (model.generator, model.discriminator):
        for layer in network.modules():
            if isinstance(layer, r3.Bottleneck):
                assert not layer.reduce.weight.any()
                near(layer.expand.weight, scaled / math.sqrt(64))
                near(layer.mix.weight, scaled / math.sqrt(16 * 9))
    generator, discriminator = model.generator, model.discriminator
    assert isinstance(generator, r3.Generator) and isinstance(discriminator, r3.Discriminator)
    near(generator.basis, 1)
    near(generator.modulation.weight, 1 / math.sqrt(128))
    near(generator.embedding.weight, 1 / math.sqrt(10))
    near(discriminator.basis.weight, 1 / 4)
    near(discriminator.output.project.weight, 1 / math.sqrt(64))
    near(discriminator.output.embedding.weight, 1 / math.sqrt(64 * 10))


def near(weight: torch.Tensor, spread: float) -> None:
    """Within five standard errors of a sample of that size."""
    tolerance = 5 / math.sqrt(2 * weight.numel())
    assert weight.detach().std(correction=0).item() == pytest.approx(spread, rel=tolerance)


def test_r3gan_images_of_random_networks_have_about_unit_spread() -> None:
    """Without a tanh, and with blocks that are the identity at first."""
    model = built("r3gan", 32, *SMALL, device="cpu")
    made = model.generator(torch.randn(64, 64))
    assert 0.3 < made.std().item() < 3
    assert made.abs().max() > 1
