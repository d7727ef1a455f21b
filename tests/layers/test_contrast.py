"""Contrast normalisation: by hand, what it does not see, and the way back."""

import pytest
import torch

from gansweep.errors import UserError
from gansweep.layers.contrast import ContrastNormalization


def test_a_mean_is_taken_away_and_the_mean_distance_from_it_made_one() -> None:
    images = torch.tensor([0.0, 0.0, 1.0, 3.0]).view(1, 1, 2, 2)  # mean 1, mean distance 1
    levels = ContrastNormalization(lowest=-1.0, highest=4.0)(images)
    torch.testing.assert_close(levels.flatten(), torch.tensor([0.0, 0.0, 0.2, 0.6]))


def test_a_factor_or_a_shift_of_an_image_changes_nothing_of_it_or_of_others() -> None:
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    faint = torch.stack([0.1 * images[0] - 0.7, images[1]])
    contrast = ContrastNormalization(lowest=-2.0, highest=3.0)
    torch.testing.assert_close(contrast(faint), contrast(images))


def test_the_way_back_is_that_of_the_image() -> None:
    images = 2 * torch.rand(3, 1, 4, 4, dtype=torch.float64) - 1
    contrast = ContrastNormalization(lowest=-0.8, highest=9.0)
    torch.testing.assert_close(contrast.undone(contrast(images), images), images)


@pytest.mark.parametrize("grey", [-1.0, 0.1, 0.3, 0.7, 230 / 127.5 - 1])
def test_an_image_of_one_grey_stays_one_and_its_gradient_finite(grey: float) -> None:
    images = torch.full((1, 1, 28, 28), grey, requires_grad=True)
    levels = ContrastNormalization(lowest=-1.0, highest=4.0)(images)
    levels.sum().backward()
    wanted = torch.full((1, 1, 28, 28), 0.2)
    torch.testing.assert_close(levels.detach(), wanted, atol=1e-3, rtol=0)
    assert images.grad is not None and images.grad.isfinite().all()


def test_bounds_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(UserError, match="lowest=2 is not below"):
        ContrastNormalization(lowest=2.0, highest=2.0)
