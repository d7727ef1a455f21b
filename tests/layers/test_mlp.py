"""Fully connected networks: what the discriminator multiplies its samples by."""

import torch

from gansweep.layers import mlp


def test_samples_are_multiplied_before_the_first_layer() -> None:
    torch.manual_seed(0)
    options = {"width": 8, "depth": 1, "activation": "relu", "norm": "none"}
    plain = mlp.Discriminator((2,), **options)  # type: ignore[arg-type]
    scaled = mlp.Discriminator((2,), input_scale=0.25, **options)  # type: ignore[arg-type]
    scaled.load_state_dict(plain.state_dict())
    points = torch.randn(5, 2)
    torch.testing.assert_close(scaled(4 * points), plain(points))
