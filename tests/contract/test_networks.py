"""Networks: shapes at every supported size, ranges, the initialisation of each paper, refusals."""

import itertools
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansweep.errors import UserError
from gansweep.layers import dcgan, mlp, progressive, r3, resnet, style
from gansweep.layers.mlp import Maxout
from gansweep.layers.normalization import normalization, normalize_weights
from gansweep.layers.resnet import DownBlock, UpBlock
from gansweep.layers.spatial import SIDES, channels_at, stages

CONVOLUTIONAL = [dcgan, resnet, r3]
FAMILIES = [mlp, *CONVOLUTIONAL]
OPTIONS: dict[str, dict[str, Any]] = {  # what a family asks for beside the width
    "mlp": {"depth": 2, "activation": "relu", "norm": "none"},
    "dcgan": {"norm": "batch"},
    "resnet": {"norm": "batch"},
    "r3": {"blocks": 2},
}
LATENT_DIM = 5


def name_of(family: ModuleType) -> str:
    return family.__name__.rpartition(".")[2]


def generator_of(family: ModuleType, shape: tuple[int, ...], **options: Any) -> nn.Module:
    merged = OPTIONS[name_of(family)] | options
    return family.Generator(sample_shape=shape, latent_dim=LATENT_DIM, **merged)


def discriminator_of(family: ModuleType, shape: tuple[int, ...], **options: Any) -> nn.Module:
    merged = OPTIONS[name_of(family)] | options
    if family is resnet:
        merged = {"pooling": "sum"} | merged
    return family.Discriminator(sample_shape=shape, **merged)


@pytest.mark.parametrize("family", FAMILIES, ids=name_of)
@pytest.mark.parametrize(
    ("side", "channels"), [(side, 1) for side in SIDES] + [(side, 3) for side in (8, 28, 32, 128)]
)
def test_a_pair_fits_every_size(family: ModuleType, side: int, channels: int) -> None:
    torch.manual_seed(0)
    shape = (channels, side, side)
    generator = generator_of(family, shape, width=2)
    discriminator = discriminator_of(family, shape, width=2)
    images = generator(10 * torch.randn(2, LATENT_DIM))
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1 or family is r3  # whose images no tanh holds
    assert discriminator(images).shape == (2,)


@pytest.mark.parametrize("family", FAMILIES, ids=name_of)
def test_every_weight_of_a_pair_gets_a_gradient(family: ModuleType) -> None:
    torch.manual_seed(0)
    generator = generator_of(family, (1, 16, 16), width=8)
    discriminator = discriminator_of(family, (1, 16, 16), width=8)
    with torch.no_grad():  # away from Fix-up's zeros, which hold back the gradients behind them
        for weight in [*generator.parameters(), *discriminator.parameters()]:
            weight.add_(0.05 * torch.randn_like(weight))
    discriminator(generator(torch.randn(4, LATENT_DIM))).square().sum().backward()
    for player in (generator, discriminator):
        without = [n for n, p in player.named_parameters() if p.grad is None or not p.grad.any()]
        assert not without


@pytest.mark.parametrize("family", FAMILIES, ids=name_of)
def test_float64_goes_through(family: ModuleType) -> None:
    shape = (3, 8, 8)
    generator = generator_of(family, shape, width=4).double()
    discriminator = discriminator_of(family, shape, width=4).double()
    assert discriminator(generator(torch.randn(2, LATENT_DIM).double())).dtype == torch.float64


@pytest.mark.parametrize("family", CONVOLUTIONAL, ids=name_of)
def test_an_unsupported_size_names_the_nearest_ones(family: ModuleType) -> None:
    with pytest.raises(UserError, match="image size 30 no .*network supports.*=28 or 32"):
        generator_of(family, (1, 30, 30), width=4)
    with pytest.raises(UserError, match="image size 30 no .*network supports.*=28 or 32"):
        discriminator_of(family, (1, 30, 30), width=4)


@pytest.mark.parametrize("family", CONVOLUTIONAL, ids=name_of)
def test_points_are_sent_to_the_fully_connected_pair(family: ModuleType) -> None:
    with pytest.raises(UserError, match=r"points.*gansweep\.layers\.mlp\.Generator"):
        discriminator_of(family, (2,), width=4)


@pytest.mark.parametrize(
    ("shape", "mend"),
    [
        ((1, 4, 4), "data.image_size=8,"),
        ((3, 200, 200), "data.image_size=128,"),
        ((3, 28, 32), "size 28x32 no .*data.image_size=28 or 32,"),
    ],
)
def test_too_small_too_large_and_oblong_images_are_refused(
    shape: tuple[int, ...], mend: str
) -> None:
    with pytest.raises(UserError, match=mend):
        stages(shape)


@pytest.mark.parametrize(
    ("side", "expected"), [(8, (4, 1)), (28, (7, 2)), (32, (4, 3)), (96, (6, 4)), (128, (4, 5))]
)
def test_the_number_of_doublings_follows_from_the_size(
    side: int, expected: tuple[int, int]
) -> None:
    assert stages((1, side, side)) == expected


def test_width_is_halved_beyond_32_pixels() -> None:
    assert [channels_at(side, 256) for side in (4, 32, 48, 64, 128)] == [256, 256, 128, 128, 64]
    assert [channels_at(side, 256, 8) for side in (4, 8, 16, 32)] == [256, 256, 128, 64]


@pytest.mark.parametrize("pair", [progressive, style, r3])
def test_small_images_get_fewer_channels_at_their_larger_maps(pair: ModuleType) -> None:
    more = {"blocks": 1} if pair is r3 else {}
    make = pair.Generator((1, 32, 32), 6, width=16, wide_to=8, **more)
    judge = pair.Discriminator((1, 32, 32), width=16, wide_to=8, **more)
    # 16 channels up to 8x8, 8 at 16x16, 4 at 32x32, where 1x1 convolutions meet the colours
    assert (1, 4, 1, 1) in [p.shape for p in make.parameters()]
    assert (4, 1, 1, 1) in [p.shape for p in judge.parameters()]


def test_points_are_unbounded() -> None:
    torch.manual_seed(0)
    generator = generator_of(mlp, (2,), width=16)
    points = generator(1000 * torch.randn(64, LATENT_DIM))
    assert points.shape == (64, 2)
    assert points.abs().max() > 1
    assert discriminator_of(mlp, (2,), width=16)(points).shape == (64,)


def test_maxout_takes_the_largest_of_five_neighbours() -> None:
    features = torch.tensor([[0.0, 3.0, -1.0, 2.0, 1.0, -9.0, -8.0, -7.0, -6.0, -5.0]])
    assert Maxout()(features).tolist() == [[3.0, -5.0]]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "maxout"])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_every_activation_goes_with_every_norm(activation: str, norm: str) -> None:
    network = mlp.Discriminator(
        sample_shape=(2,), width=8, depth=3, activation=activation, norm=norm
    )
    assert network(torch.randn(4, 2)).shape == (4,)


@pytest.mark.parametrize(("kind", "spatial"), [("instance", False), ("bacth", True)])
def test_a_norm_that_does_not_fit_is_refused(kind: str, spatial: bool) -> None:
    """Also in a network of a user, whose option the configuration's check takes for any text."""
    with pytest.raises(UserError, match=f"norm={kind} is not a normalisation.*norm=batch"):
        normalization(kind, 4, spatial=spatial)


def test_layer_norm_keeps_the_samples_of_a_batch_apart_and_batch_norm_does_not() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 8, 8)
    other = torch.cat([images[:1], torch.randn(3, 1, 8, 8)])
    for family in (dcgan, resnet):
        apart = discriminator_of(family, (1, 8, 8), width=4, norm="layer")
        assert torch.allclose(apart(images)[0], apart(other)[0], atol=1e-6)
    mixed = dcgan.Discriminator(sample_shape=(1, 8, 8), width=4, norm="batch")
    assert not torch.allclose(mixed(images)[0], mixed(other)[0], atol=1e-6)


@pytest.mark.parametrize("family", [mlp, dcgan, resnet], ids=name_of)
def test_spectral_normalisation_brings_every_weight_to_norm_one(family: ModuleType) -> None:
    torch.manual_seed(0)
    discriminator = discriminator_of(family, (1, 8, 8), width=4, spectral_norm=True)
    images = torch.randn(2, 1, 8, 8)
    for _ in range(60):  # power iterations, one at each pass
        discriminator(images)
    layers = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers
    for layer in layers:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert norm.item() == pytest.approx(1, abs=2e-2)


def test_a_spectrally_normalised_critic_is_lipschitz() -> None:
    torch.manual_seed(0)
    critic = discriminator_of(mlp, (2,), width=32, spectral_norm=True)
    with torch.no_grad():
        for layer in critic.parameters():
            layer.mul_(5)
    for _ in range(100):
        critic(torch.randn(2, 2))
    a, b = torch.randn(256, 2), torch.randn(256, 2)
    slopes = (critic(a) - critic(b)).abs() / (a - b).norm(dim=1)
    assert slopes.max() <= 1.01


def test_normalize_weights_reaches_every_linear_map() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    normalize_weights(network)
    assert sum("original" in name for name, _ in network.named_parameters()) == 2


def test_dcgan_starts_from_normal_weights_of_spread_two_hundredths() -> None:
    torch.manual_seed(0)
    generator = dcgan.Generator(sample_shape=(3, 32, 32), latent_dim=100, width=32, norm="batch")
    for layer in generator.modules():
        if isinstance(layer, nn.ConvTranspose2d | nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.weight.mean().item() == pytest.approx(1, abs=0.02)


def test_dcgan_at_64_pixels_has_the_maps_of_figure_1() -> None:
    generator = dcgan.Generator(sample_shape=(3, 64, 64), latent_dim=100, width=128, norm="batch")
    maps = [
        layer.num_features for layer in generator.modules() if isinstance(layer, nn.BatchNorm2d)
    ]
    assert maps == [1024, 512, 256, 128]


def parameters_of(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_sngan_at_32_pixels_has_the_parameters_of_table_4() -> None:
    generator = resnet.Generator(sample_shape=(3, 32, 32), latent_dim=128, width=256, norm="batch")
    discriminator = resnet.Discriminator(
        sample_shape=(3, 32, 32), width=128, norm="none", pooling="sum"
    )
    conv = 256 * 256 * 9 + 256
    shortcut, norm = 256 * 256 + 256, 2 * 256
    stem, to_image = 128 * 4096 + 4096, 256 * 3 * 9 + 3
    assert parameters_of(generator) == stem + 3 * (2 * conv + shortcut + 2 * norm) + norm + to_image
    conv, shortcut = 128 * 128 * 9 + 128, 128 * 128 + 128
    first = (3 * 128 * 9 + 128) + conv + (3 * 128 + 128)
    assert parameters_of(discriminator) == first + (2 * conv + shortcut) + 2 * (2 * conv) + 129


def test_residual_blocks_equal_their_definition() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 4, 4)
    up = UpBlock(3, 5, norm="none")

    def nearest(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    slow = up.conv2(up.conv1(nearest(maps.relu())).relu()) + up.shortcut(nearest(maps))
    assert torch.allclose(up(maps), slow, atol=1e-6)
    down = DownBlock(3, 5, norm="none")

    def pooled(x: Tensor) -> Tensor:
        return x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean(dim=(3, 5))

    slow = pooled(down.conv2(down.conv1(maps.relu()).relu()) + down.shortcut(maps))
    assert torch.allclose(down(maps), slow, atol=1e-6)


def test_r3_blocks_are_the_identity_at_the_start() -> None:
    torch.manual_seed(0)
    block = r3.Bottleneck(16, n_blocks=4)
    maps = torch.randn(2, 16, 4, 4)
    assert torch.equal(block(maps), maps)


def test_r3_weights_follow_fix_up() -> None:
    torch.manual_seed(0)
    block = r3.Bottleneck(64, n_blocks=16)
    gain = (2 / 1.04) ** 0.5 * 16**-0.25
    assert block.expand.weight.std().item() == pytest.approx(gain / 64**0.5, rel=0.05)
    fan_in = 9 * 16  # 16 channels in each of the 8 groups
    assert block.mix.groups == 8
    assert block.mix.weight.std().item() == pytest.approx(gain / fan_in**0.5, rel=0.05)


FILTERS = [
    pytest.param((1, 3, 3, 1), (1, 3, 3, 1), True, id="the paper's"),
    pytest.param((1, 2, 1, 0), (0, 1, 2, 1), False, id="of an older checkpoint"),
]


def resampled(kind: type, has_taps: bool, maps: Tensor) -> Tensor:
    """The map (H, W) after a layer that was loaded from a checkpoint with its taps, or without."""
    layer, state = kind(1, 1), kind(1, 1).state_dict()
    assert torch.equal(state["taps"], torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8)
    layer.load_state_dict(state if has_taps else {})
    changed: Tensor = layer(maps[None, None])[0, 0]
    return changed


@pytest.mark.parametrize(("halving", "doubling", "has_taps"), FILTERS)
def test_r3_halving_filters_around_each_four_pixels(
    halving: tuple[int, ...], doubling: tuple[int, ...], has_taps: bool
) -> None:
    maps = torch.randn(6, 6)
    padded = F.pad(maps, (1, 2, 1, 2))
    expected = torch.zeros(3, 3)
    for row, column in itertools.product(range(4), range(4)):
        weight = halving[row] * halving[column] / sum(halving) ** 2
        expected += weight * padded[row : row + 6 : 2, column : column + 6 : 2]
    assert torch.allclose(resampled(r3.Halve, has_taps, maps), expected, atol=1e-6)


@pytest.mark.parametrize(("halving", "doubling", "has_taps"), FILTERS)
def test_r3_doubling_gives_each_pixel_four_places(
    halving: tuple[int, ...], doubling: tuple[int, ...], has_taps: bool
) -> None:
    maps, line = torch.randn(5, 5), 2 * torch.tensor(doubling) / sum(doubling)
    kernel = torch.outer(line, line)[None, None]
    expected = F.conv_transpose2d(maps[None, None], kernel, stride=2, padding=1)[0, 0]
    assert torch.allclose(resampled(r3.Double, has_taps, maps), expected, atol=1e-6)


def test_r3_resampling_undoes_itself_on_a_plain_map() -> None:
    plain = torch.ones(1, 2, 8, 8)
    assert torch.allclose(r3.Halve(2, 2)(plain)[..., 1:-1, 1:-1], torch.ones(1, 2, 2, 2))
    assert torch.allclose(r3.Double(2, 2)(plain)[..., 1:-1, 1:-1], torch.ones(1, 2, 14, 14))


def test_r3_has_biases_in_front_of_activations_alone() -> None:
    networks = (
        generator_of(r3, (3, 64, 64), width=8, n_classes=3),
        discriminator_of(r3, (3, 64, 64), width=8, n_classes=3),
    )
    for network in networks:
        with_bias = {name for name, _ in network.named_parameters() if name.endswith("bias")}
        blocks = [name for name, m in network.named_modules() if isinstance(m, r3.Bottleneck)]
        assert with_bias == {f"{b}.{layer}.bias" for b in blocks for layer in ("expand", "mix")}


def test_r3_is_free_of_normalisation() -> None:
    norms = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)
    generator = generator_of(r3, (3, 64, 64), width=8)
    assert not any(isinstance(layer, norms) for layer in generator.modules())


def test_pooling_of_the_residual_discriminator_is_a_sum_or_a_mean() -> None:
    """On a 4x4 last map the sum is 16 times the mean, before the linear output."""
    images = torch.randn(3, 1, 8, 8)
    scores = {}
    for pooling in ("sum", "mean"):
        torch.manual_seed(0)
        scores[pooling] = discriminator_of(resnet, (1, 8, 8), width=4, pooling=pooling)(images)
    torch.testing.assert_close(scores["sum"], 16 * scores["mean"])
