"""The networks that make images of images: their layers at the papers' sizes and at small ones."""

import itertools

import pytest
import torch
from torch import nn

from gansweep.errors import UserError
from gansweep.layers.inpainting import Inpainter, Judge
from gansweep.layers.patchgan import PatchGAN, largest_patch, mean_score
from gansweep.layers.translation import ResidualBlock, ResNet
from gansweep.layers.unet import UNet


def convolutions(network: nn.Module) -> list[tuple[str, int, int, int, int]]:
    """Kind, channels in and out, kernel and stride of each convolution in order."""
    return [
        ("up" if isinstance(m, nn.ConvTranspose2d) else "conv",
         m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    ]  # fmt: skip


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# PatchGAN


def test_the_70_pixel_patchgan_is_c64_c128_c256_c512() -> None:
    network = PatchGAN((6, 256, 256), width=64, norm="batch")
    assert convolutions(network) == [
        ("conv", 6, 64, 4, 2), ("conv", 64, 128, 4, 2), ("conv", 128, 256, 4, 2),
        ("conv", 256, 512, 4, 1), ("conv", 512, 1, 4, 1),
    ]  # fmt: skip
    assert count(network) == 2_768_705  # of the released code
    assert network(torch.zeros(1, 6, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(("halvings", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_score_sees_just_its_patch(halvings: int, patch: int) -> None:
    network = PatchGAN((1, 96, 96), width=2, norm="none", halvings=halvings).double()
    image = torch.zeros(1, 1, 96, 96, dtype=torch.float64, requires_grad=True)
    scores = network(image)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == patch


@pytest.mark.parametrize(
    ("side", "halvings"), [(8, 1), (28, 1), (33, 1), (34, 2), (64, 2), (70, 3), (256, 3)]
)
def test_the_patch_is_the_largest_that_fits(side: int, halvings: int) -> None:
    assert largest_patch(side) == halvings
    strides = [
        stride for *_, stride in convolutions(PatchGAN((1, side, side), width=2, norm="none"))
    ]
    assert strides == [2] * halvings + [1, 1]


def test_the_score_of_an_image_is_the_mean_of_its_patches() -> None:
    patches = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]], [[[0.0, 0.0], [0.0, -4.0]]]])
    assert mean_score(patches).tolist() == [3.0, -1.0]


def test_a_patch_too_large_for_the_image_is_refused() -> None:
    with pytest.raises(UserError, match="halvings=2 does not fit"):
        PatchGAN((1, 8, 8), width=2, norm="none", halvings=2)


# U-Net


def test_the_unet_at_256_pixels_is_the_papers() -> None:
    network = UNet((3, 256, 256), (3, 256, 256), width=64)
    down = [64, 128, 256, 512, 512, 512, 512, 512]
    up = [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64)]
    expected = [("conv", n_in, n_out, 4, 2) for n_in, n_out in itertools.pairwise([3, *down])]
    expected += [("up", n_in, n_out, 4, 2) for n_in, n_out in up] + [("up", 128, 3, 4, 2)]
    assert convolutions(network) == expected
    assert network.n_dropped == 512 * (2 * 2 + 4 * 4 + 8 * 8)
    norms = [isinstance(layer[1], nn.BatchNorm2d) for layer in network.down]
    assert norms == [False, True, True, True, True, True, True, False]


@pytest.mark.parametrize(("side", "halvings"), [(8, 3), (28, 2), (48, 4), (64, 6), (512, 8)])
def test_the_unet_halves_as_often_as_the_side_allows(side: int, halvings: int) -> None:
    network = UNet((1, side, side), (3, side, side), width=2)
    assert len(network.down) == halvings
    noise = torch.rand(2, network.n_dropped)
    made = network(torch.zeros(2, 1, side, side), noise)
    assert made.shape == (2, 3, side, side) and made.abs().max() <= 1


def test_an_odd_side_is_refused() -> None:
    with pytest.raises(UserError, match="odd"):
        UNet((1, 15, 15), (1, 15, 15), width=2)


def test_dropout_silences_half_the_features_and_doubles_the_others() -> None:
    network = UNet((1, 16, 16), (1, 16, 16), width=4).eval()
    source = torch.rand(3, 1, 16, 16)
    n = network.n_dropped
    masks = network._masks(torch.rand(200, n, generator=torch.Generator().manual_seed(0)))
    values = torch.cat([mask.flatten() for mask in masks])
    assert set(values.tolist()) == {0.0, 2.0}
    assert abs(float(values.mean()) - 1) < 0.02
    assert [tuple(mask.shape[1:]) for mask in masks] == [(16, 2, 2), (8, 4, 4), (4, 8, 8)]
    assert torch.equal(network(source), network(source))
    assert not torch.equal(network(source), network(source, torch.rand(3, n)))


def test_bridges_carry_what_the_bottleneck_loses() -> None:
    """With the deepest layers silenced, the output still depends on the source around a pixel."""
    torch.manual_seed(0)  # with some weights no ReLU near the corner is active
    network = UNet((1, 8, 8), (1, 8, 8), width=4, norm="none").double()
    for parameter in [*network.down[-1].parameters(), *network.up[0].parameters()]:
        nn.init.zeros_(parameter)
    source = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    network(source.requires_grad_())[0, 0, 0, 0].backward()
    assert source.grad.abs()[0, 0, :3, :3].sum() > 0


# ResNet generator


@pytest.mark.parametrize(("side", "blocks"), [(256, 9), (128, 6), (8, 6)])
def test_the_resnet_has_nine_blocks_at_256_pixels_and_six_below(side: int, blocks: int) -> None:
    network = ResNet((3, side, side), (3, side, side), width=2)
    assert sum(isinstance(m, ResidualBlock) for m in network.modules()) == blocks


def test_the_resnet_at_256_pixels_is_the_papers() -> None:
    network = ResNet((3, 256, 256), (3, 256, 256), width=64)
    found = convolutions(network)
    assert found[:3] == [("conv", 3, 64, 7, 1), ("conv", 64, 128, 3, 2), ("conv", 128, 256, 3, 2)]
    assert found[3:21] == [("conv", 256, 256, 3, 1)] * 18
    assert found[21:] == [("up", 256, 128, 3, 2), ("up", 128, 64, 3, 2), ("conv", 64, 3, 7, 1)]
    assert count(network) == 11_378_179  # of the released code
    weights = torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim == 4])
    assert abs(float(weights.std()) - 0.02) < 1e-4


def test_a_side_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(UserError, match="multiple of 4"):
        ResNet((1, 14, 14), (1, 14, 14), width=2)


@pytest.mark.parametrize("kind", [UNet, ResNet])
def test_generators_change_the_number_of_channels(kind: type) -> None:
    network = kind((1, 8, 8), (3, 8, 8), width=2)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 3, 8, 8)


# Inpainting


def test_the_inpainter_at_128_pixels_is_the_released_one() -> None:
    network = Inpainter((3, 128, 128), width=64, codes=4000)
    assert convolutions(network) == [
        ("conv", 3, 64, 4, 2), ("conv", 64, 64, 4, 2), ("conv", 64, 128, 4, 2),
        ("conv", 128, 256, 4, 2), ("conv", 256, 512, 4, 2), ("conv", 512, 4000, 4, 1),
        ("up", 4000, 512, 4, 1), ("up", 512, 256, 4, 2), ("up", 256, 128, 4, 2),
        ("up", 128, 64, 4, 2), ("up", 64, 3, 4, 2),
    ]  # fmt: skip


def test_the_inpainter_leaks_up_to_and_after_its_bottleneck_and_not_beyond() -> None:
    layers = [m for m in Inpainter((3, 128, 128), width=1, codes=4).modules()
              if isinstance(m, (nn.LeakyReLU, nn.ReLU))]  # fmt: skip
    slopes = [m.negative_slope if isinstance(m, nn.LeakyReLU) else 0 for m in layers]
    assert slopes == [0.2] * 6 + [0] * 4


@pytest.mark.parametrize("side", [8, 14, 16, 28, 32])
def test_the_inpainter_and_its_judge_take_the_middle_of_any_side(side: int) -> None:
    middle = Inpainter((2, side, side), width=4, codes=8)(torch.zeros(2, 2, side, side))
    assert middle.shape == (2, 2, side // 2, side // 2)
    assert Judge((2, side // 2, side // 2), width=4)(middle).shape == (2,)


def test_the_judge_of_64_pixels_is_the_released_one() -> None:
    network = Judge((3, 64, 64), width=64)
    assert convolutions(network) == [
        ("conv", 3, 64, 4, 2), ("conv", 64, 128, 4, 2), ("conv", 128, 256, 4, 2),
        ("conv", 256, 512, 4, 2),
    ]  # fmt: skip
