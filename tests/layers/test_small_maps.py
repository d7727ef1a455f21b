"""A product of matrices in place of a convolution gives the same maps and gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansweep.layers import small_maps
from gansweep.layers.strided import Discriminator, Generator

# kernel, stride, padding, side: the larger side of the maps is below the kernel
SHAPES = [(5, 2, 2, 4), (5, 2, 2, 3), (5, 2, 2, 2), (5, 1, 2, 4), (3, 2, 1, 2), (4, 1, 3, 1)]
TRANSPOSED = [(5, 2, 2, 1, 2), (5, 2, 2, 0, 2), (5, 1, 2, 0, 3), (3, 2, 1, 1, 1), (4, 2, 1, 0, 1)]


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Tensor]:
    """The arguments of the calls of torch's function from now on."""
    calls: list[Tensor] = []
    original = getattr(F, name)

    def count(images: Tensor, *args: object, **kwargs: object) -> Tensor:
        calls.append(images)
        return original(images, *args, **kwargs)

    monkeypatch.setattr(F, name, count)
    return calls


def agree(ours: nn.Module, plain: nn.Module, images: Tensor) -> None:
    """Maps, gradients, and the gradients of a penalty on the gradient, in 64 bits."""
    plain.load_state_dict(ours.state_dict())
    found = []
    for layer in (ours, plain):
        leaf = images.clone().requires_grad_()
        maps = layer(leaf)
        weights = torch.linspace(-1, 1, maps.numel(), dtype=maps.dtype).view_as(maps)
        inner = ((maps**2 + maps) * weights).sum()
        (slope,) = torch.autograd.grad(inner, leaf, create_graph=True)
        parameters = list(layer.parameters())
        first = torch.autograd.grad(inner, parameters, retain_graph=True)
        second = torch.autograd.grad((slope**2).sum(), [leaf, *parameters])
        found.append([maps, slope, *first, *second])
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "padding", "side"), SHAPES)
def test_a_convolution_agrees_with_torch(
    kernel: int, stride: int, padding: int, side: int, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    products = counted(monkeypatch, "unfold")
    settings = {"stride": stride, "padding": padding, "bias": bias, "dtype": torch.float64}
    ours, plain = small_maps.Conv2d(3, 4, kernel, **settings), nn.Conv2d(3, 4, kernel, **settings)
    agree(ours, plain, torch.randn(2, 3, side, side, dtype=torch.float64))
    assert len(products) == 1


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "stride", "padding", "rest", "side"), TRANSPOSED)
def test_a_transposed_convolution_agrees_with_torch(
    kernel: int,
    stride: int,
    padding: int,
    rest: int,
    side: int,
    bias: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    products = counted(monkeypatch, "fold")
    settings = {
        "stride": stride,
        "padding": padding,
        "output_padding": rest,
        "bias": bias,
        "dtype": torch.float64,
    }
    ours = small_maps.ConvTranspose2d(3, 4, kernel, **settings)
    plain = nn.ConvTranspose2d(3, 4, kernel, **settings)
    agree(ours, plain, torch.randn(2, 3, side, side, dtype=torch.float64))
    assert len(products) == 1


def test_larger_maps_are_convolved(monkeypatch: pytest.MonkeyPatch) -> None:
    patches, sums = counted(monkeypatch, "unfold"), counted(monkeypatch, "fold")
    small_maps.Conv2d(3, 4, 5, stride=2, padding=2)(torch.randn(2, 3, 5, 5))
    small_maps.ConvTranspose2d(3, 4, 5, stride=2, padding=2)(torch.randn(2, 3, 3, 3))
    assert small_maps.Conv2d(3, 4, 5, padding=2)(torch.randn(2, 3, 4, 6)).shape == (2, 4, 4, 6)
    assert not patches and not sums


def test_bfloat16_rounds_no_more_than_twice_what_a_convolution_does() -> None:
    torch.manual_seed(0)
    pairs = [
        (small_maps.Conv2d(64, 32, 5, stride=2, padding=2), nn.Conv2d, 4),
        (
            small_maps.ConvTranspose2d(64, 32, 5, stride=2, padding=2, output_padding=1),
            nn.ConvTranspose2d,
            2,
        ),
    ]
    for layer, plain, side in pairs:
        images = torch.randn(8, 64, side, side)
        exact = plain.forward(layer, images)
        with torch.autocast("cpu", torch.bfloat16):
            ours, theirs = layer(images), plain.forward(layer, images)
        assert ours.dtype == theirs.dtype == torch.bfloat16
        wrong, usual = ((one.float() - exact).pow(2).mean().sqrt() for one in (ours, theirs))
        assert 0 < wrong < 2 * usual


def test_the_pair_on_stacks_of_digits_uses_it_at_its_smallest_maps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patches, sums = counted(monkeypatch, "unfold"), counted(monkeypatch, "fold")
    images = Generator((3, 28, 28), 5, widths=[8, 4, 4, 2])(torch.randn(2, 5))
    Discriminator((3, 28, 28), widths=[2, 4, 4, 8])(images)
    assert [tuple(one.shape[1:]) for one in patches] == [(4, 4, 4)]
    assert [tuple(one.shape[1:]) for one in sums] == [(4 * 25, 4)]


def test_an_export_keeps_the_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    patches = counted(monkeypatch, "unfold")
    layer, images = small_maps.Conv2d(3, 4, 5, stride=2, padding=2), torch.randn(2, 3, 4, 4)
    product = layer(images)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(layer(images), product)
    assert len(patches) == 1
