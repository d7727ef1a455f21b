"""Differentiable augmentation: each change against a slow reference, and how ADA adapts."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from gansweep.terms.augment import (
    ADA,
    Augmentation,
    DiffAugment,
    colours,
    geometry,
    mirrored,
    mixed,
    recoloured,
    resampled,
    shifted,
    shifts,
)
from gansweep.terms.term import Judged

ALL = ["color", "translation", "cutout"]


def images(n: int = 6, channels: int = 3, height: int = 8, width: int = 6) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    shape = (n, channels, height, width)
    return torch.rand(shape, generator=rng, dtype=torch.float64) * 2 - 1


def drawn(augment: Augmentation, n: int, seed: int = 1) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    kinds = {"uniform": torch.rand, "normal": torch.randn}
    return {
        name: kinds[kind](shape, generator=rng, dtype=torch.float64)
        for name, (kind, shape) in augment.noise(torch.empty(n, 3, 8, 6)).items()
    }


def ada_draws(n: int) -> dict[str, Tensor]:
    """Draws of which nothing comes of itself: no flip, no turn, no shift, no noise."""
    u = torch.zeros(n, 8, dtype=torch.float64)
    u[:, 2:6] = u[:, 7:] = 0.5
    return {"u": u, "v": torch.zeros(n, 7, dtype=torch.float64)}


def happening(n: int, count: int, *which: int) -> Tensor:
    chosen = torch.zeros(n, count, dtype=torch.bool)
    chosen[:, list(which)] = True
    return chosen


# DiffAugment


def test_shifted_images_are_those_of_numpy_with_zeros_coming_in() -> None:
    before = images(4)
    by = torch.tensor([[0, 0], [2, -1], [-3, 5], [7, 0]])
    after = shifted(before, by)
    for image, moved, (down, right) in zip(before, after, by.tolist(), strict=True):
        slow = np.zeros_like(image.numpy())
        for y in range(8):
            for x in range(6):
                if 0 <= y - down < 8 and 0 <= x - right < 6:
                    slow[:, y, x] = image.numpy()[:, y - down, x - right]
        np.testing.assert_array_equal(moved, slow)


def test_reflected_shifts_are_those_of_a_padded_image() -> None:
    before = images(3)
    by = torch.tensor([[2, -1], [-2, 2], [0, 1]])
    after = shifted(before, by, reflect=True)
    padded = np.pad(before.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    for k, (down, right) in enumerate(by.tolist()):
        rows, columns = slice(2 - down, 10 - down), slice(2 - right, 8 - right)
        np.testing.assert_array_equal(after[k], padded[k][:, rows, columns])


def test_shifts_reach_each_pixel_equally_often() -> None:
    every = (torch.arange(15, dtype=torch.float64) + 0.5) / 15
    found = shifts(torch.stack([every, every], 1), (1, 2))
    assert found[:, 0].tolist() == [k for k in range(-1, 2) for _ in range(5)]
    assert found[:, 1].tolist() == [k for k in range(-2, 3) for _ in range(3)]


def test_colours_by_hand() -> None:
    """Two pixels of two channels: (1, 0), (0, 0), and (0.5, 0.5), (0.25, 0.25)."""
    image = torch.tensor([[[1.0, 0.5]], [[0.0, 0.5]]])[None]
    brighter = recoloured(image, torch.tensor([[0.75, 0.5, 0.5]]))  # + 1/4, nothing else
    torch.testing.assert_close(brighter, image + 0.25)
    grey = recoloured(image, torch.tensor([[0.5, 0.0, 0.5]]))  # no saturation: channels' mean
    torch.testing.assert_close(grey, torch.full((1, 2, 1, 2), 0.5))
    flatter = recoloured(image, torch.tensor([[0.5, 0.5, 0.0]]))  # half the contrast around 1/2
    torch.testing.assert_close(flatter, 0.5 + (image - 0.5) / 2)


def covered(chance: float, n: int) -> tuple[int, int]:
    """First pixel and length of the square along an axis of n pixels."""
    side = int(n / 2 + 0.5)
    return math.floor(chance * (n + 1 - side % 2)) - side // 2, side


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10)])
def test_cutout_blanks_a_square_of_half_the_side_clipped_at_the_border(
    height: int, width: int
) -> None:
    before = torch.ones(40, 1, height, width)
    augment = DiffAugment(policy=["cutout"])
    draw = drawn(augment, 40)
    after = augment(before, draw)
    for image, (down, right) in zip(after, draw["cutout"].tolist(), strict=True):
        slow = np.ones((height, width), np.float32)
        rows, columns = (
            slice(max(0, start), max(0, start + side))
            for start, side in (covered(down, height), covered(right, width))
        )
        slow[rows, columns] = 0
        np.testing.assert_array_equal(image[0], slow)


def test_augmentation_is_pure_and_carries_gradients() -> None:
    before = images().requires_grad_(True)
    for augment in (DiffAugment(policy=ALL), ADA(start=0.8)):
        draw = drawn(augment, 6)
        state = torch.get_rng_state()
        first, second = augment(before, draw), augment(before, draw)
        assert torch.equal(first, second) and first.shape == before.shape
        assert torch.equal(torch.get_rng_state(), state)
        (gradient,) = torch.autograd.grad(first.square().sum(), before)
        assert gradient.isfinite().all() and (gradient.flatten(1).abs().sum(1) > 0).all()


def test_each_sample_is_changed_by_its_own_draw_alone() -> None:
    before = images()
    for augment in (DiffAugment(policy=ALL), ADA(start=0.8)):
        draw = drawn(augment, 6)
        whole = augment(before, draw)
        for k in range(6):
            alone = augment(before[k : k + 1], {n: d[k : k + 1] for n, d in draw.items()})
            torch.testing.assert_close(alone[0], whole[k])


def test_what_augmentation_cannot_change_is_refused() -> None:
    points, pairs = (SimpleNamespace(sample_shape=shape) for shape in ((2,), (2, 8, 8)))
    assert "Use model.augment=null" in DiffAugment(policy=ALL).misfit(points)  # type: ignore[arg-type]
    assert "1 or 3 channels" in ADA().misfit(pairs)  # type: ignore[arg-type]


# ADA's changes


def warped(before: Tensor, which: int, u: dict[int, float], v: dict[int, float]) -> Tensor:
    draws = ada_draws(len(before))
    for column, value in u.items():
        draws["u"][:, column] = value
    for column, value in v.items():
        draws["v"][:, column] = value
    happens = happening(len(before), 8, which)
    return resampled(before, geometry(happens, draws["u"], draws["v"], before.shape[2:]))


def test_blitting_moves_whole_pixels() -> None:
    before = images(2, height=8, width=8)
    torch.testing.assert_close(warped(before, 0, {0: 0.75}, {}), before.flip(3))
    torch.testing.assert_close(warped(before, 0, {0: 0.25}, {}), before)
    for quarters in range(4):
        turned = warped(before, 1, {1: (quarters + 0.5) / 4}, {})
        torch.testing.assert_close(turned, before.rot90(quarters, (2, 3)))
    right = warped(before, 2, {2: 1.0, 3: 0.5}, {})  # an eighth of 8 pixels, to the right
    torch.testing.assert_close(right[..., 1:], before[..., :-1])
    torch.testing.assert_close(right[..., 0], before[..., 0])  # the border reflected
    down = warped(before, 2, {2: 0.5, 3: 1.0}, {})
    torch.testing.assert_close(down[..., 1:, :], before[..., :-1, :])


def test_geometry_maps_places_as_worked_out_by_hand() -> None:
    def at(which: int, u: dict[int, float], v: dict[int, float], place: list[float]) -> list[float]:
        draws = ada_draws(1)
        for column, value in u.items():
            draws["u"][:, column] = value
        for column, value in v.items():
            draws["v"][:, column] = value
        warp = geometry(happening(1, 8, which), draws["u"], draws["v"], (16, 32))[0]
        return (warp @ torch.tensor([*place, 1.0], dtype=torch.float64))[:2].tolist()

    # twice as large: what is seen at (4, 2) was at (2, 1); 0.2 * 5 octaves
    assert at(3, {}, {0: 5.0}, [4, 2]) == pytest.approx([2, 1])
    # half as wide as high: 2^1 along x, 2^-1 along y
    assert at(6, {}, {1: 5.0}, [4, 2]) == pytest.approx([2, 4])
    # an eighth of the width 32 and of the height 16, times 1.5
    assert at(7, {}, {2: 1.5, 3: 1.5}, [0, 0]) == pytest.approx([-6, -3])
    # rotations by (2 * 0.75 - 1) pi = 90 degrees, before or after
    assert at(4, {4: 0.75}, {}, [1, 0]) == pytest.approx([0, 1])
    assert at(5, {5: 0.75}, {}, [0, 1]) == pytest.approx([-1, 0])


def coloured(before: Tensor, which: list[int], u: dict[int, float], v: dict[int, float]) -> Tensor:
    draws = ada_draws(len(before))
    for column, value in u.items():
        draws["u"][:, column] = value
    for column, value in v.items():
        draws["v"][:, column] = value
    return mixed(before, colours(happening(len(before), 5, *which), draws["u"], draws["v"]))


def test_ada_colours_by_hand() -> None:
    pixel = torch.tensor([0.6, 0.0, -0.3], dtype=torch.float64).reshape(1, 3, 1, 1)
    flat = pixel.flatten()

    def seen(which: list[int], u: dict[int, float], v: dict[int, float]) -> Tensor:
        return coloured(pixel, which, u, v).flatten()

    torch.testing.assert_close(seen([], {}, {}), flat)
    torch.testing.assert_close(seen([0], {}, {4: 1.5}), flat + 0.3)
    torch.testing.assert_close(seen([1], {}, {5: 2.0}), 2 * flat)
    torch.testing.assert_close(seen([0, 1], {}, {4: 1.5, 5: 2.0}), 2 * (flat + 0.3))
    # luma flip mirrors the mean, 0.1, and keeps the differences from it
    torch.testing.assert_close(seen([2], {6: 0.75}, {}), flat - 0.2)
    # a third of a turn of hue exchanges the channels in a circle
    torch.testing.assert_close(seen([3], {7: 0.5 + 1 / 3}, {}), flat.roll(1))
    torch.testing.assert_close(seen([4], {}, {6: 1.0}), 0.1 + 2 * (flat - 0.1))


def test_grey_images_take_the_colours_of_three_equal_channels() -> None:
    grey = images(5, channels=1)
    augment = ADA(start=1.0)
    draw = drawn(augment, 5)
    chance = torch.ones(5, 8, dtype=torch.bool), torch.ones(5, 5, dtype=torch.bool)
    matrix = colours(chance[1], draw["u"], draw["v"])
    three = mixed(grey.expand(-1, 3, -1, -1), matrix)
    for channel in range(3):
        torch.testing.assert_close(three[:, channel : channel + 1], mixed(grey, matrix))


def test_nothing_changes_at_p_0_and_all_at_p_1() -> None:
    before = images(50, height=8, width=8)
    augment = ADA()
    draw = drawn(augment, 50)
    assert torch.equal(augment(before, draw), before)
    augment.p.fill_(1.0)
    assert not (augment(before, draw) == before).flatten(1).all(1).any()


def test_places_are_exact_under_autocast() -> None:
    before = images(6, height=64, width=64).float()
    augment = ADA(start=1.0)
    draw = {name: d.float() for name, d in drawn(augment, 6).items()}
    with torch.autocast("cpu", torch.bfloat16):
        mixed_precision = augment(before, draw)
    assert torch.equal(mixed_precision, augment(before, draw))
    assert augment(before.bfloat16(), draw).dtype == torch.bfloat16


def test_the_two_rotations_together_happen_with_the_probability_p() -> None:
    n = 4000
    before = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    augment = ADA(start=0.5)
    draw = {name: d.float() for name, d in drawn(augment, n).items()}
    draw["chance"][:, [0, 1, 2, 3, *range(6, 13)]] = 1.0  # the other changes do not
    same = torch.isclose(augment(before, draw), before).flatten(1).all(1).double().mean()
    assert float(same) == pytest.approx(0.5, abs=5 * 0.5 / n**0.5)


def test_mirrored_images_are_the_chosen_ones() -> None:
    before = images(3)
    after = mirrored(before, torch.tensor([True, False, True]))
    assert torch.equal(after[1], before[1])
    assert torch.equal(after[0], before[0].flip(2)) and torch.equal(after[2], before[2].flip(2))


# How ADA adapts


def after(taken: Tensor, images: int) -> Judged:
    return Judged(torch.zeros(()), torch.zeros(()), taken, images)


def test_p_rises_by_the_images_over_500_kimg_while_the_discriminator_overfits() -> None:
    augment = ADA(every_batches=4)
    for _ in range(3):
        augment.load_state_dict(augment.learned(after(torch.tensor(0.7), 64)))
    assert augment.p == 0
    augment.load_state_dict(augment.learned(after(torch.tensor(0.7), 64)))
    assert float(augment.p) == pytest.approx(4 * 64 / 500_000)
    for _ in range(8):
        augment.load_state_dict(augment.learned(after(torch.tensor(0.9), 64)))
    assert float(augment.p) == pytest.approx(3 * 4 * 64 / 500_000)


def test_p_falls_below_the_target_but_never_below_0() -> None:
    augment = ADA(every_batches=1, kimg=1.0, start=0.15)
    moved = []
    for sign in (0.5, 0.59, 0.61, 0.0, 0.0):
        augment.load_state_dict(augment.learned(after(torch.tensor(sign), 100)))
        moved.append(float(augment.p))
    assert moved == pytest.approx([0.05, 0.0, 0.1, 0.0, 0.0], abs=1e-6)


def test_the_mean_over_the_batches_decides_and_is_then_forgotten() -> None:
    augment = ADA(every_batches=2, kimg=1.0, start=0.5)
    for sign in (1.0, 0.1):  # 0.55 on average
        augment.load_state_dict(augment.learned(after(torch.tensor(sign), 50)))
    assert float(augment.p) == pytest.approx(0.4)
    assert float(augment.signs) == 0 and float(augment.batches) == 0
    for sign in (0.1, 1.0, 1.0):
        augment.load_state_dict(augment.learned(after(torch.tensor(sign), 50)))
    assert float(augment.p) == pytest.approx(0.3)
    assert float(augment.signs) == 1 and float(augment.batches) == 1
