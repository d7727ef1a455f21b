"""Sheets of models that are judged by anomalies or by retrieval."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gansweep.callbacks.sheet import RETRIEVED, anomalies, retrieved, sheet
from gansweep.data.batch import Batch
from gansweep.data.conditions import Conditions
from gansweep.data.images import Digits


def plain(values: list[float]) -> Batch:
    """Images of 2x2 pixels, each of one grey."""
    return Batch(torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).clone())


def judge(**answers: Any) -> Any:
    """A model that is on the CPU and answers by functions of the images."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        answers=lambda batch: {name: of(batch.images) for name, of in answers.items()},
        judged_by=(),
        kinds=None,
        needs_source=False,
    )


def greys(picture: Image.Image, columns: int) -> list[list[int]]:
    """The grey in the middle of each image of a grid of 2x2 pixels, row by row."""
    pixels = np.asarray(picture)
    step = pixels.shape[1] * 3 // (3 * columns + 1)
    middle = step // 2 + step // 3
    return [[int(v) for v in row[middle::step][:columns]] for row in pixels[middle::step]]


def brightness(images: Tensor) -> Tensor:
    return images.mean(dim=(1, 2, 3))


def test_anomalies_go_from_the_most_normal_to_the_strangest() -> None:
    values = torch.linspace(-0.9, 0.9, 19)[torch.randperm(19, generator=torch.Generator())]
    model = judge(**{"anomaly/reconstruction": brightness})
    rows = greys(anomalies(model, plain(values.tolist()), 8), 3)
    shown = [grey for row in rows for grey in row]
    normal, strange = shown[:3], [grey for grey in shown[6:] if grey > 0]
    assert normal == sorted(normal) and strange == sorted(strange)
    assert max(normal) < 128 < min(strange) and shown[3:6] == [0, 0, 0]


def test_retrieved_images_stand_behind_what_was_asked_nearest_first() -> None:
    known = plain(torch.linspace(-1, 1, 21).tolist())
    model = judge(codes=lambda images: brightness(images)[:, None])
    rows = greys(retrieved(model, plain([0.52, -0.98]), known), 1 + RETRIEVED)
    for row in rows[:2]:
        distances = [abs(grey - row[0]) for grey in row[1:]]
        assert distances == sorted(distances) and max(distances) < 100


def test_what_makes_images_again_shows_them_beside_what_it_made() -> None:
    data = Digits()
    model = judge(images=lambda images: -images)
    model.judged_by = ("psnr",)
    pixels = np.asarray(sheet(model, data, Conditions(data), 8, 0))
    unit = pixels.shape[1] // 19  # a border, 8 pixels, a border, 8 pixels, a border
    shown, made = (pixels[unit : 9 * unit, k : k + 8 * unit] for k in (unit, 10 * unit))
    assert np.abs(shown.astype(int) + made.astype(int) - 255).max() <= 1
