"""Layers with weight normalisation."""

import pytest
import torch
from torch import Tensor, nn

from gansweep.layers import noisy


def test_normalised_weights_are_those_of_pytorch_and_learn_by_the_same_gradient() -> None:
    layer = noisy.NormalizedLinear(5, 4, learn_scale=True).double()
    features, toward = torch.randn(7, 5).double(), torch.randn(7, 4).double()
    with torch.no_grad():
        layer.scale.uniform_(0.5, 2)
        layer.bias.normal_()
    theirs = nn.utils.parametrizations.weight_norm(nn.Linear(5, 4).double())
    magnitude = theirs.parametrizations.weight.original0
    rows = theirs.parametrizations.weight.original1
    with torch.no_grad():
        magnitude.copy_(layer.scale)
        rows.copy_(layer.weight)
        theirs.bias.copy_(layer.bias)
    for network in (layer, theirs):
        (network(features) * toward).sum().backward()
    torch.testing.assert_close(layer(features), theirs(features))
    pairs = [(layer.scale, magnitude), (layer.weight, rows), (layer.bias, theirs.bias)]
    for ours, other in pairs:
        torch.testing.assert_close(ours.grad, other.grad)


def test_a_row_of_zeros_gives_its_bias() -> None:
    layer = noisy.NormalizedLinear(2, 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.constant_(layer.bias, 3.0)
    said = layer(torch.ones(1, 2))
    said.sum().backward()
    assert said.item() == 3 and layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()


def test_an_output_that_is_constant_gets_the_scale_1() -> None:
    layer = noisy.NormalizedLinear(2, 1)
    torch.nn.init.constant_(layer.scale, 3.0)
    layer.begin_on(torch.ones(5, 2))
    assert layer.scale.item() == 1
    torch.testing.assert_close(layer(torch.ones(1, 2)), torch.zeros(1, 1), atol=1e-6, rtol=0)


def test_gradients_of_gradients_are_those_of_the_formula() -> None:
    """An unrolled game asks for them, and a penalty."""
    layer = noisy.NormalizedLinear(3, 4, learn_scale=True).double()
    features = torch.randn(5, 3).double().requires_grad_()
    given = tuple(layer.parameters())
    names = [name for name, _ in layer.named_parameters()]

    def said(x: Tensor, *values: Tensor) -> Tensor:
        weights = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, weights, (x,)).tanh()  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(said, (features, *given))
    assert torch.autograd.gradgradcheck(said, (features, *given))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_the_layer_compiles_as_one_graph(backend: str) -> None:
    layer, features = noisy.NormalizedLinear(3, 4), torch.ones(2, 3)
    torch.testing.assert_close(
        torch.compile(layer, backend=backend, fullgraph=True)(features), layer(features)
    )


def test_the_layer_is_mapped_over_members() -> None:
    layer, members = noisy.NormalizedLinear(3, 4), torch.randn(6, 2, 3)
    weights = dict(layer.named_parameters())

    def said(x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (x,))  # type: ignore[no-any-return]

    expected = torch.stack([layer(x) for x in members])
    torch.testing.assert_close(torch.func.vmap(said)(members), expected)
