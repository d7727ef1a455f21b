"""Continuous pixels for the discriminator, of real images alone."""

import torch

from gansweep.terms.clock import Clock
from gansweep.terms.dequantise import Dequantise
from gansweep.terms.joined import Joined


def pixels() -> torch.Tensor:
    return (torch.tensor([0.0, 1.0, 128.0, 255.0]) / 127.5 - 1).reshape(4, 1, 1, 1)


def test_a_pixel_is_shown_anywhere_in_its_own_step_of_the_scale() -> None:
    """0, 1, 128 and 255 of 256 values, at the start, the middle and near the end of their steps."""
    for u, shift in ((0.0, 0.0), (0.5, 0.5), (0.999, 0.999)):
        shown = Dequantise().shown(pixels(), {"u": torch.full((4, 1, 1, 1), u)}, Clock())
        expected = (torch.tensor([0.0, 1.0, 128.0, 255.0]) + shift) / 128 - 1
        torch.testing.assert_close(shown.flatten(), expected, rtol=0, atol=1e-6)


def test_generated_images_are_shown_as_they_are_and_draw_nothing() -> None:
    terms = Joined({}, {"dequantise": Dequantise()}, {}, 1)
    wanted = terms.noise(pixels(), pixels())
    assert wanted == {"dequantise.real": {"u": ("uniform", (4, 1, 1, 1))}}
    drawn = {"dequantise.real.u": torch.full((4, 1, 1, 1), 0.5)}
    for view in ("fake", "generator"):
        assert torch.equal(terms.shown(pixels(), drawn, view, Clock()), pixels())
    assert not torch.equal(terms.shown(pixels(), drawn, "real", Clock()), pixels())
