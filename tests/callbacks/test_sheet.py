"""Sheets of models that are judged by anomalies or by retrieval."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansweep.callbacks.sheet import RETRIEVED, Sheet, anomalies, grid, retrieved, sheet
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


def greys(made: Sheet, columns: int) -> list[list[int]]:
    """The grey in the middle of each image of a grid of 2x2 pixels, row by row."""
    pixels = np.asarray(made.picture)
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
    drawn = sheet(model, data, Conditions(data), 8, 0)
    assert (drawn.layout.kind, drawn.layout.roles) == ("reconstructions", ("source", "made"))
    pixels = np.asarray(drawn.picture)
    shown, made = (pixels[1:9, k : k + 8] for k in (1, 10))  # a border, 8 pixels, a border
    assert np.abs(shown.astype(int) + made.astype(int) - 255).max() <= 1


def test_a_sheet_is_enlarged_by_a_whole_factor_for_people() -> None:
    made = grid(torch.linspace(-1, 1, 4)[:, None, None, None].expand(-1, 1, 2, 2))
    assert made.picture.size == (7, 7) and made.enlarged().size == (511, 511)
    assert (np.asarray(made.enlarged())[::73, ::73] == np.asarray(made.picture)).all()


def test_columns_of_a_conditional_model_are_named_by_its_classes() -> None:
    data = Digits()
    model = judge()
    model.kinds, model.conditional, model.latent_dim = 10, True, 32
    model.fakes_of = lambda kind, batch, rng: torch.full((len(batch), 1, 2, 2), kind / 4.5 - 1)
    layout = sheet(model, data, Conditions(data), 20, 0).layout
    assert (layout.kind, layout.columns, layout.rows, layout.cell) == ("classes", 10, 2, (2, 2))
    assert (list(layout.classes), layout.noise) == (data.class_names, 32)
    model.conditional = False
    layout = sheet(model, data, Conditions(data), 20, 0).layout
    assert layout.classes[:2] == ("code 0", "code 1")
