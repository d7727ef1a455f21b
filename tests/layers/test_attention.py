"""Self-attention: its definition, where it sits, and that it goes with other variants."""

import math

import pytest
import torch
from torch import Tensor

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers import resnet
from gansweep.layers.attention import SelfAttention, attending_side
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws


def slow_attention(layer: SelfAttention, maps: Tensor) -> Tensor:
    """Place by place: every key and value is the largest of a 2x2 square."""
    n, channels, height, width = maps.shape
    squares = [(top, left) for top in range(0, height - 1, 2) for left in range(0, width - 1, 2)]
    query, key, value, output = (
        projection.weight.flatten(1)
        for projection in (layer.query, layer.key, layer.value, layer.output)
    )

    def largest(weight: Tensor, image: Tensor, top: int, left: int) -> Tensor:
        places = [weight @ image[:, top + dy, left + dx] for dy in (0, 1) for dx in (0, 1)]
        return torch.stack(places).amax(0)

    out = maps.clone()
    for image in range(n):
        keys = [largest(key, maps[image], *square) for square in squares]
        values = [largest(value, maps[image], *square) for square in squares]
        for y in range(height):
            for x in range(width):
                asked = query @ maps[image, :, y, x]
                weights = [math.exp(float(asked @ k)) for k in keys]
                mixed = sum(
                    (w / sum(weights) * v for w, v in zip(weights, values, strict=True)),
                    torch.zeros(channels // 2),
                )
                out[image, :, y, x] += float(layer.gamma) * (output @ mixed)
    return out


@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 7)])
@torch.no_grad()
def test_attention_equals_an_explicit_softmax_over_places(height: int, width: int) -> None:
    torch.manual_seed(0)
    layer = SelfAttention(16)
    layer.gamma.fill_(0.7)
    maps = torch.randn(2, 16, height, width)
    torch.testing.assert_close(layer(maps), slow_attention(layer, maps))


def test_attention_is_the_identity_at_first_yet_learns_to_attend() -> None:
    torch.manual_seed(0)
    layer, maps = SelfAttention(8), torch.randn(2, 8, 4, 4)
    assert torch.equal(layer(maps), maps)
    (layer(maps) * torch.randn(2, 8, 4, 4)).sum().backward()
    assert layer.gamma.grad is not None and layer.gamma.grad.any()


def test_attention_reaches_across_the_map() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(8)
    torch.nn.init.ones_(layer.gamma)
    maps = torch.randn(1, 8, 8, 8, requires_grad=True)
    layer(maps)[0, :, 0, 0].sum().backward()
    assert maps.grad is not None and maps.grad[0, :, 4:, 4:].any(), "no 3x3 convolution does"


def test_the_largest_fitting_maps_attend() -> None:
    assert attending_side(32, [8, 16, 32, 64, 128]) == 32
    assert attending_side(32, [14, 28]) == 28
    assert attending_side(8, [64, 16, 4]) == 4
    with pytest.raises(UserError, match="attention=2 is smaller .*64, 16, 4.*attention=4 or more"):
        attending_side(2, [64, 16, 4])


@pytest.mark.parametrize("side", [8, 28, 64])
def test_both_networks_attend_once_at_the_side_that_was_asked_for(side: int) -> None:
    generator = resnet.Generator((1, side, side), 4, width=8, norm="batch", attention=16)
    discriminator = resnet.Discriminator(
        (1, side, side), width=8, norm="none", pooling="sum", attention=16
    )
    expected = {8: (8, 4), 28: (14, 14), 64: (16, 16)}[side]
    for network, wanted in zip((generator, discriminator), expected, strict=True):
        layers = [m for m in network.modules() if isinstance(m, SelfAttention)]
        seen: list[int] = []
        for layer in layers:
            layer.register_forward_hook(lambda m, given, made, seen=seen: seen.append(made.size(2)))
        network(torch.randn(2, 4) if network is generator else torch.randn(2, 1, side, side))
        assert seen == [wanted]


def game_of(variant: str, side: int, *overrides: str) -> Adversarial:
    cfg = config.compose([f"model={variant}", *overrides])
    cfg.model.merge_with(cfg.model.tiny)
    torch.manual_seed(0)
    model: Adversarial = config.instantiate(
        config.model_node(cfg, False), sample_shape=(3, side, side), n_classes=10
    )
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


@pytest.mark.parametrize("variant", ["wgan_gp", "sngan", "cgan_projection"])
@pytest.mark.parametrize("side", [8, 32, 64])
def test_attention_joins_other_variants_by_configuration(variant: str, side: int) -> None:
    """WGAN-GP differentiates through it twice."""
    game = game_of(
        variant, side, "+model.generator.attention=16", "+model.discriminator.attention=16"
    )
    rng = torch.Generator().manual_seed(2)
    batch = Batch(torch.rand(4, 3, side, side, generator=rng) * 2 - 1, torch.arange(4))
    for k in range(2 * game.n_critic):
        game.training_step(batch, k)
    layers = [m for m in game.modules() if isinstance(m, SelfAttention)]
    assert len(layers) == 2 and all(layer.gamma.any() for layer in layers)
    assert all(torch.tensor(list(game.recent_means().values())).isfinite())


def test_sagan_learns_at_two_rates_and_normalises_both_networks() -> None:
    game = game_of("sagan", 32)
    assert game.learning_rates == {"discriminator": 4e-4, "generator": 1e-4}
    for network in game.players.values():
        maps = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
        assert maps and all(hasattr(m, "parametrizations") for m in maps)
