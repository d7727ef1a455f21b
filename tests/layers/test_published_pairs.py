"""Networks in the sizes of published code: sides, counts worked out by hand, refusals, dropout."""

import pytest
import torch
from torch import nn

from gansweep.errors import UserError
from gansweep.layers import lenet, maxout, sndcgan, strided
from gansweep.layers.heads import Codes


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def sides(network: nn.Module, given: torch.Tensor) -> list[int]:
    """The side of each map that a convolution makes."""
    seen: list[int] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[-1]))
    network(given)
    return seen


def test_an_odd_side_is_halved_upwards_and_doubled_back() -> None:
    """28 pixels: 14, 7, 4, 2 and back, as TensorFlow's "same" convolutions have it."""
    widths = [4, 3, 2, 1]
    generator = strided.Generator((3, 28, 28), 5, widths=widths, norm="none")
    assert sides(generator, torch.zeros(1, 5)) == [4, 7, 14, 28]
    judge = strided.Discriminator((3, 28, 28), widths=widths[::-1], norm="none")
    assert sides(judge, torch.zeros(1, 3, 28, 28)) == [14, 7, 4, 2]
    assert judge(torch.zeros(2, 3, 28, 28)).shape == (2,)


def test_a_last_convolution_of_the_same_side_leaves_one_doubling_out() -> None:
    generator = strided.Generator((3, 28, 28), 5, widths=[4, 3, 2, 1], kernel=3, last="same")
    assert sides(generator, torch.zeros(2, 5)) == [7, 14, 28, 28]


@pytest.mark.parametrize(("bias", "biases"), [(False, 0), (True, 2 + 4 + 1)])
def test_biases_are_those_of_every_layer_or_of_none(bias: bool, biases: int) -> None:
    """25 * (3 * 2 + 2 * 4) weights, 16 * 4 of the last layer, normalised once: 2 * 4."""
    judge = strided.Discriminator((3, 16, 16), widths=[2, 4], bias=bias)
    assert count(judge) == 25 * (3 * 2 + 2 * 4) + 16 * 4 + 2 * 4 + biases


def test_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="cannot be halved 4 times"):
        strided.Discriminator((1, 8, 8), widths=[2] * 4)
    with pytest.raises(UserError, match="square images"):
        strided.Generator((2,), 5, widths=[2])
    with pytest.raises(UserError, match="multiple of 8"):
        sndcgan.Generator((3, 28, 28), 5, width=2)
    with pytest.raises(UserError, match=r"28x28.*image_size=28"):
        lenet.Decoder((1, 32, 32), 32)
    with pytest.raises(UserError, match="multiple of 16"):
        lenet.Decoder((1, 28, 28), 20)


def test_the_pair_without_residual_blocks_has_the_sides_of_its_table() -> None:
    generator = sndcgan.Generator((3, 32, 32), 5, width=2)
    assert sides(generator, torch.zeros(2, 5)) == [8, 16, 32, 32]
    judge = sndcgan.Discriminator((3, 32, 32), width=2)
    assert sides(judge, torch.zeros(2, 3, 32, 32)) == [32, 16, 16, 8, 8, 4, 4]
    assert {m.negative_slope for m in judge.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}


def test_the_one_class_autoencoder_goes_through_32_numbers() -> None:
    encoder = lenet.Encoder((1, 28, 28), head=lambda n, k: Codes(n, k, n_outputs=32))
    decoder = lenet.Decoder((1, 28, 28), 32)
    codes = encoder(torch.rand(2, 1, 28, 28))
    assert codes.shape == (2, 32)
    assert decoder(codes).shape == (2, 1, 28, 28)
    assert sides(decoder, codes) == [8, 14, 28]
    assert decoder(100 * codes).abs().max() <= 1
    # 25 * (8 + 8 * 4) + 196 * 32 and 25 * (2 * 4 + 4 * 8 + 8)
    assert (count(encoder), count(decoder)) == (7272, 1200)


def test_dropout_keeps_its_share_and_scales_it_up() -> None:
    judge = maxout.Discriminator((1, 2, 2), width=3, depth=2)
    assert judge.noise_width == 4 + 3 + 3
    noise = torch.tensor([[0.0, 0.79, 0.81, 0.9] + [0.4, 0.6, 0.1] + [0.9, 0.2, 0.5]])
    inputs, first, last = judge._masks(noise)
    assert inputs is not None and first is not None and last is not None
    torch.testing.assert_close(inputs, torch.tensor([[1.25, 1.25, 0, 0]]))
    torch.testing.assert_close(first, torch.tensor([[2.0, 0, 2]]))
    torch.testing.assert_close(last, torch.tensor([[0.0, 2, 0]]))
    pixels = torch.rand(1, 1, 2, 2)
    samples = 2 * pixels - 1
    features = judge.hidden[1](judge.hidden[0](pixels.flatten(1) * inputs) * first) * last
    torch.testing.assert_close(judge(samples, noise=noise), judge.output(features)[:, 0])
    assert not torch.equal(judge(samples), judge(samples, noise=noise))


def test_the_first_generator_has_latents_of_variance_one_and_a_sigmoid() -> None:
    generator = maxout.Generator(
        (1, 2, 2), 3, width=5, depth=1, activation="relu", norm="none", initialize=nn.init.ones_
    )
    made = generator(torch.tensor([[1.0, 0.5, -1.0]]))
    pixel = torch.tensor(5 * 0.5 * 3**0.5).sigmoid()  # five units of (1 + 0.5 - 1) sqrt(3)
    torch.testing.assert_close(made, (2 * pixel - 1).expand(1, 1, 2, 2))


def test_the_first_generator_begins_at_the_mean_image() -> None:
    generator = maxout.Generator(
        (1, 2, 2), 3, width=5, depth=1, activation="relu", norm="none", initialize=nn.init.zeros_
    )
    mean = torch.tensor([[[0.0, 0.25], [0.5, 1.0]]])
    generator.begin_at(mean)
    made = generator(torch.rand(1, 3))
    torch.testing.assert_close(made[0], 2 * mean - 1, atol=1e-6, rtol=0)
