"""The mathematics of codes against values worked out by hand, or slow references."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import lsqr

from gansweep.data.images import Digits
from gansweep.data.resident import whole
from gansweep.data.tinted import Tinted
from gansweep.errors import UserError
from gansweep.inference.editing import damage
from gansweep.inference.editing.arithmetic import Pool
from gansweep.inference.editing.codes import Codes, linear, spherical
from gansweep.inference.editing.directions import components, eigenvectors
from gansweep.inference.editing.expressions import Concept, read_expression


def test_spherical_way_is_an_arc_and_linear_a_chord() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    steps = torch.tensor([0.0, 1 / 3, 0.5, 1.0])
    third = math.pi / 6
    expected = [[1, 0], [math.cos(third), math.sin(third)], [0.5**0.5, 0.5**0.5], [0, 1]]
    torch.testing.assert_close(spherical(a, b, steps), torch.tensor(expected))
    torch.testing.assert_close(linear(a, b, steps)[2], torch.tensor([0.5, 0.5]))


def test_spherical_way_keeps_a_common_length_and_ends_where_it_must() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 16, generator=rng)
    b = b / b.norm() * a.norm()
    way = spherical(a, b, torch.linspace(0, 1, 5))
    torch.testing.assert_close(way.norm(dim=1), a.norm().expand(5))
    torch.testing.assert_close(way[[0, -1]], torch.stack([a, b]))
    same = spherical(a, 2 * a, torch.tensor([0.5]))[0]
    torch.testing.assert_close(same, 1.5 * a)  # parallel: a straight line
    assert spherical(a, -a, torch.linspace(0, 1, 3)).isfinite().all()


def test_directions_are_the_eigenvectors_of_the_first_layer() -> None:
    """A^T A = diag(9, 1, 4) in a turned basis: by hand the strengths are 3, 2, 1."""
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    weights = torch.diag(torch.tensor([3.0, 1.0, 2.0])) @ turn.T
    found, strengths = eigenvectors(weights, 3)
    torch.testing.assert_close(strengths, torch.tensor([3.0, 2.0, 1.0]))
    for direction, column in zip(found, (0, 2, 1), strict=True):
        assert abs(float(direction @ turn[:, column])) == pytest.approx(1, abs=1e-5)
        moved = float((weights @ direction).norm())
        assert moved == pytest.approx(float(strengths[list((0, 2, 1)).index(column)]), abs=1e-5)


def test_components_are_those_of_the_covariance() -> None:
    rng = torch.Generator().manual_seed(2)
    codes = torch.randn(500, 4, generator=rng) * torch.tensor([3.0, 1.0, 0.5, 2.0]) + 7
    found, deviations = components(codes, 2)
    values, vectors = np.linalg.eigh(np.cov(codes.numpy().T))
    assert deviations.tolist() == pytest.approx(np.sqrt(values[::-1][:2]).tolist(), rel=1e-4)
    for row, column in zip(found.numpy(), vectors.T[::-1], strict=False):
        assert abs(row @ column) == pytest.approx(1, abs=1e-4)


def test_importance_is_the_share_of_unseen_neighbours() -> None:
    mask = torch.ones(1, 12, 12)
    mask[0, 5, 5] = 0
    weights = damage.importance(mask)[0]
    assert weights[5, 5] == 0  # unseen itself
    assert float(weights[5, 6]) == pytest.approx(1 / 49)  # one of a whole window of 7 x 7
    assert weights[5, 9] == 0  # out of reach
    assert float(weights[2, 2]) == pytest.approx(1 / 36)  # of the 6 x 6 inside the picture


def test_contextual_loss_counts_seen_pixels_by_their_weight() -> None:
    weights = torch.tensor([[[0.0, 1.0], [3.0, 0.0]]])
    made, seen = torch.zeros(1, 1, 2, 2), torch.tensor([[[[9.0, 0.5], [1.0, 9.0]]]])
    # (1 * 0.5 + 3 * 1) / mean weight 1 / 4 pixels
    assert float(damage.contextual_loss(made, seen, weights)) == pytest.approx(3.5 / 4)


def test_blending_takes_the_border_of_the_picture_and_the_gradients_of_the_sample() -> None:
    rng = torch.Generator().manual_seed(3)
    seen, made = torch.rand(2, 1, 8, 8, generator=rng)
    mask = damage.hole_mask((1, 8, 8))
    assert int(64 - mask.sum()) == 16
    torch.testing.assert_close(damage.blended(seen, seen, mask), seen)
    shifted = damage.blended(seen, seen - 0.3, mask)  # another brightness: gradients are the same
    torch.testing.assert_close(shifted, seen)
    found = damage.blended(seen, made, mask)
    assert torch.equal(found * mask, seen * mask)
    torch.testing.assert_close(found, _slowly_blended(seen, made, mask), rtol=0, atol=1e-5)


def _slowly_blended(seen: torch.Tensor, made: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Least squares over every pair of neighbours of which one is unseen, written out."""
    hole = [(i, j) for i in range(8) for j in range(8) if mask[0, i, j] == 0]
    rows, right = [], []
    for i in range(8):
        for j in range(8):
            for a, b in ((i + 1, j), (i, j + 1)):
                if a < 8 and b < 8 and ((i, j) in hole or (a, b) in hole):
                    row, wanted = np.zeros(len(hole)), float(made[0, i, j] - made[0, a, b])
                    for sign, place in ((1, (i, j)), (-1, (a, b))):
                        if place in hole:
                            row[hole.index(place)] = sign
                        else:
                            wanted -= sign * float(seen[0, place[0], place[1]])
                    rows.append(row), right.append(wanted)
    solved = lsqr(np.array(rows), np.array(right), atol=1e-12, btol=1e-12)[0]
    found = seen.clone()
    for (i, j), value in zip(hole, solved, strict=True):
        found[0, i, j] = float(value)
    return found.clamp(-1, 1)


def test_grey_has_the_weights_of_the_standard() -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    assert float(damage.as_grey(red)) == pytest.approx(0.299)


def said(text: str) -> list[tuple[int, str]]:
    return [(one.sign, str(one)) for one in read_expression(text)]


def test_expressions_are_read() -> None:
    assert said("7 - 1 + 3") == [(1, "7"), (-1, "1"), (1, "3")]
    assert said("bold 7-7 +bold") == [(1, "bold 7"), (-1, "7"), (1, "bold")]
    assert said('"T-shirt" - [3,8] + [1]') == [(1, "T-shirt"), (-1, "[3, 8]"), (1, "[1]")]
    assert said("-7 + 3") == [(-1, "7"), (1, "3")]
    assert said("7 Tinted - plain 7") == [(1, "tinted 7"), (-1, "plain 7")]


@pytest.mark.parametrize(
    "text", ["", "7 +", "7 - - 3", "+ 7", "[] + 1", "7 8", "7 [1]", "[1", "7 bold thin"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no arithmetic of concepts"):
        read_expression(text)


def test_tint_is_seen_in_every_image_of_a_tinted_set() -> None:
    data = Tinted(Digits())
    images, labels = whole(data, "test")
    pool = Pool(Codes(torch.zeros(len(images), 1), None), images / 127.5 - 1, labels)
    tinted = data.chosen(whole(data.base, "test")[0])
    assert labels is not None
    for attribute, has in (("tinted", tinted), ("plain", ~tinted)):
        found = pool.rows(Concept(1, attribute, "7"), 7)
        assert torch.equal(found, (has & (labels == 7)).nonzero().flatten())
