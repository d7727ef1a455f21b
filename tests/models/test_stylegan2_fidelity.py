"""StyleGAN2 at the sizes of its papers: what tests/models/fidelity/ does not hold.

Configuration F at 1024x1024: Karras et al. 2020, arXiv:1912.04958, Appendix B. CIFAR-10: Karras et
al. 2020 (ADA), arXiv:2006.06676, the appendix' table of hyperparameters. The papers state no exact
counts of parameters; those below were printed at the start of training by the authors' programs,
in logs that users published: github.com/NVlabs/stylegan3/issues/209 and its like.
"""

import math

import pytest
import torch
from torch import nn

from gansweep.config import compose as config
from gansweep.layers import equalized, style
from gansweep.models.stylegan2 import StyleGAN2


def built(variant: str, side: int, *words: str, device: str = "meta") -> StyleGAN2:
    node = config.model_node(config.compose([f"model={variant}", *words]), is_points=False)
    torch.manual_seed(0)
    with torch.device(device):
        model = config.instantiate(node, sample_shape=(3, side, side), n_classes=10)
    assert isinstance(model, StyleGAN2)
    return model


def parameters_of(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_stylegan2_at_1024_pixels_has_the_parameters_that_its_authors_print() -> None:
    """With two mapping layers, as in the printed log, and with the eight of configuration F."""
    two = built("stylegan2", 1024, "model.generator.depth=2")
    assert parameters_of(two.generator) == 28_794_124
    assert parameters_of(two.discriminator) == 29_012_513
    assert parameters_of(built("stylegan2", 1024).generator) == 28_794_124 + 6 * 262_656


def test_stylegan2_layers_at_1024_pixels_are_those_that_its_authors_print() -> None:
    """Layers of 512 maps, and on the way to 32 maps at 1024 pixels."""
    synthesis = built("stylegan2", 1024).generator.synthesis
    layers = [parameters_of(layer) for layer in synthesis.layers]
    assert layers[:9] == [2_622_465] * 9
    assert layers[9:] == [1_442_561, 721_409, 426_369, 213_249, 139_457, 69_761, 51_297, 25_665]
    colours = [parameters_of(layer) for layer in synthesis.colours]
    assert colours == [264_195] * 5 + [132_099, 66_051, 33_027, 16_515]


def test_stylegan2_of_cifar_10_adds_to_the_printed_layers_what_classes_need() -> None:
    """G: 5,120 + 512 of the embedding (3,072 with five classes) and twice the inputs (524,800).

    D: plain blocks of two convolutions of 2,359,808, eight mapping layers of 262,656, and 512
    outputs in the place of one.
    """
    model = built("stylegan2_conditional", 32)
    synthesis = 8_192 + 7 * 2_622_465 + 4 * 264_195
    mapping = 11 * 512 + 524_800 + 262_656
    assert parameters_of(model.generator.mapping) == mapping
    assert parameters_of(model.generator) == synthesis + mapping
    last = 2_364_416 + 4_194_816
    plain = 4 * 512 + 6 * 2_359_808 + last
    classes = 11 * 512 + 8 * 262_656
    assert parameters_of(model.discriminator) == plain + 262_656 + classes


@pytest.mark.parametrize("variant", ["stylegan2", "stylegan2_conditional"])
def test_stylegan2_weights_are_unit_normal_and_scaled_where_they_are_used(variant: str) -> None:
    """Equalised learning rates; those of the mapping layers are a hundredth of the others'."""
    words = ["model.generator.width=32", "model.discriminator.width=32", "model.latent_dim=64"]
    model = built(variant, 32, *words, device="cpu")
    mapping = set(model.generator.mapping.layers)
    mapping |= set(model.discriminator.classes.layers) if model.conditional else set()
    for layer in [*model.generator.modules(), *model.discriminator.modules()]:
        if isinstance(layer, equalized.Linear):
            slower = 0.01 if layer in mapping else 1.0
            near(layer.weight, 1 / slower)
            assert layer.scale == pytest.approx(slower / math.sqrt(layer.weight.shape[1]))
            assert layer.lr_multiplier == slower
        elif isinstance(layer, equalized.Conv2d | style.ModulatedConv2d):
            near(layer.weight, 1)
            assert layer.scale == pytest.approx(1 / math.sqrt(layer.weight[0].numel()))
        if isinstance(layer, style.ModulatedConv2d):
            assert (layer.style.bias == 1).all()
    near(model.generator.synthesis.constant, 1)
    assert not any(layer.noise_strength for layer in model.generator.synthesis.layers)


def near(weight: torch.Tensor, spread: float) -> None:
    """Within five standard errors of a sample of that size."""
    tolerance = 5 / math.sqrt(2 * weight.numel())
    assert weight.detach().std(correction=0).item() == pytest.approx(spread, rel=tolerance)


@pytest.mark.parametrize(
    ("interval", "rate", "decay"), [(16, 0.00188235, 0.990586), (8, 0.00177778, 0.991106)]
)
def test_lazy_steps_of_the_authors_move_weights_as_far_as_ours(
    interval: int, rate: float, decay: float
) -> None:
    """They take one more step of every k, with rate and moments corrected by k / (k + 1).

    Source: Karras et al. 2020, arXiv:1912.04958, Appendix B.
    """
    share = interval / (interval + 1)
    assert (2e-3 * share, 0.99**share) == (pytest.approx(rate, rel=1e-5), pytest.approx(decay))
    assert (interval + 1) * rate == pytest.approx(interval * 2e-3, rel=1e-5)
    assert decay ** (interval + 1) == pytest.approx(0.99**interval, rel=1e-5)
