"""Sheets of the samples farthest from and nearest to real images, beside their neighbours."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gansweep import compose
from gansweep.callbacks.journal import Journal
from gansweep.callbacks.neighbours import GAP, LABELS, LINE, Neighbours
from gansweep.callbacks.sheet import grid
from gansweep.data.batch import Batch
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.metrics.features.backbone import Backbone
from gansweep.records.record import RunRecord
from gansweep.records.sheets import layout_of
from gansweep.run.build import build_data

SIDE = 56  # of a digit on a sheet: 8 pixels, 7 times


class Pixels(Backbone):
    """The pixels themselves as features."""

    name, weights_hash, resizer, batch_size = "pixels", "0", "none", 100
    extras: dict[str, Any] = {}

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.passes = 0

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.passes += len(images)
        return images.float().flatten(1) / 255, images.new_zeros(len(images), 0)


class Generator:
    """Noise, except that the first sample of each batch is the training image `copied`."""

    device = torch.device("cpu")

    def __init__(self, copied: Tensor, images_seen: int = 1000) -> None:
        self.copied, self.images_seen = copied, images_seen

    def fakes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        made = torch.rand(len(batch), 1, 8, 8, generator=rng) * 2 - 1
        made[0] = self.copied.float() / 127.5 - 1
        return made


@pytest.fixture(scope="module")
def digits() -> DataSource:
    return build_data(compose(["data=digits"]))


@pytest.fixture
def callback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: DataSource) -> Neighbours:
    monkeypatch.setenv("GANSWEEP_CACHE", str(tmp_path / "cache"))
    made = Neighbours(every_kimg=1, count=4, k=2, n_fake=50)
    made.journal = Journal(RunRecord.create(tmp_path / "run", "seed: 0"), None)
    made.data, made.conditions = digits, Conditions(digits)
    backbone = Pixels()
    made.panel = SimpleNamespace(  # type: ignore[assignment]
        backbone=backbone,
        device=torch.device("cpu"),
        prepare=lambda device: None,
        split="train",
        n_real=None,
        measures=[SimpleNamespace(needs_features=True)],
    )
    return made


def training_image(digits: DataSource, row: int) -> Tensor:
    return next(iter(digits.arrays("train")))[0][row]


def tile(sheet: Image.Image, left: int, top: int) -> np.ndarray:
    return np.asarray(sheet.convert("L").crop((left, top, left + SIDE, top + SIDE)))[::7, ::7]


def test_a_copied_image_stands_first_among_the_nearest_above_its_original(
    callback: Neighbours, digits: DataSource
) -> None:
    copied = training_image(digits, 17)
    callback.work(Generator(copied))  # type: ignore[arg-type]
    ((kimg, path),) = RunRecord(callback.journal.record.directory).sheet_files()
    sheet = Image.open(path)
    assert (kimg, sheet.mode) == (1.0, "RGB")
    block = LINE + (SIDE + GAP) + LINE + 2 * (SIDE + GAP)
    left, top = GAP + LABELS, GAP + block + 10 + LINE
    assert (tile(sheet, left, top) == copied[0].numpy()).all()
    original = top + SIDE + GAP + LINE
    assert (tile(sheet, left, original) == copied[0].numpy()).all()
    layout = layout_of(path.read_bytes())
    assert layout is not None and layout.kind == "neighbours"
    far_block, near_block = layout.blocks
    assert (layout.left, near_block.top, near_block.real[0]) == (left, top, original)
    assert (layout.cell, layout.gap, layout.scale, layout.columns) == ((SIDE, SIDE), GAP, 7, 4)
    assert len(near_block.further) == 1 and near_block.further[0][0] > 0
    assert near_block.distances[0] == 0 and list(far_block.distances) == sorted(
        far_block.distances, reverse=True
    )
    # among the farthest, no sample looks like its neighbour
    far = GAP + LINE
    assert (tile(sheet, left, far) != tile(sheet, left, far + SIDE + GAP + LINE)).mean() > 0.5


def test_the_real_images_are_measured_once_for_the_run_and_once_for_their_content(
    callback: Neighbours, digits: DataSource
) -> None:
    backbone = callback.panel.backbone
    for images_seen in (1000, 2000):
        callback.work(Generator(training_image(digits, 0), images_seen))  # type: ignore[arg-type]
    assert backbone.passes == digits.n_train + 2 * 50
    callback._real = None  # as in the next run
    callback.work(Generator(training_image(digits, 0), 3000))  # type: ignore[arg-type]
    assert backbone.passes == digits.n_train + 3 * 50
    assert len(callback.journal.record.sheet_files()) == 3


def test_no_more_real_images_are_measured_than_are_searched_where_no_score_needs_them(
    callback: Neighbours, digits: DataSource
) -> None:
    callback.n_real = 200
    callback.panel.measures = ()
    callback.work(Generator(training_image(digits, 0)))  # type: ignore[arg-type]
    assert callback.panel.backbone.passes == 200 + 50


def test_each_real_image_keeps_its_own_features(callback: Neighbours) -> None:
    callback.n_real = 300
    real = callback._measure_real()
    assert real.images.shape == (300, 1, 8, 8)
    assert torch.equal(callback.panel.backbone.extract(real.images)[0], real.features)


def test_a_sheet_says_how_many_real_images_it_searched(
    callback: Neighbours, digits: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    text: list[str] = []
    monkeypatch.setattr(
        "gansweep.callbacks.neighbours._stacked",
        lambda parts, lines: (text.extend(lines) or parts[0], [0, 0]),
    )
    callback.n_real = 200
    callback.work(Generator(training_image(digits, 0)))  # type: ignore[arg-type]
    assert (
        text[0] == "50 samples against 200 of 1,294 real training images, distances under pixels."
    )
    assert "own nearest neighbour is" in text[1]


def test_samples_that_are_not_finite_make_no_sheet(
    callback: Neighbours, digits: DataSource
) -> None:
    broken = torch.full((1, 8, 8), float("nan"))
    callback.work(Generator(broken))  # type: ignore[arg-type]
    assert callback.journal.record.sheet_files() == []


def test_points_and_runs_without_scores_in_a_feature_space_make_no_sheet(
    callback: Neighbours, digits: DataSource
) -> None:
    callback.panel.backbone = None
    callback.work(Generator(training_image(digits, 0)))  # type: ignore[arg-type]
    callback.data = build_data(compose(["data=ring"]))
    callback.work(Generator(training_image(digits, 0)))  # type: ignore[arg-type]
    assert not callback.journal.record.sheets.exists()


def test_sheets_leave_the_global_random_state_alone(
    callback: Neighbours, digits: DataSource
) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    callback.work(Generator(training_image(digits, 0)))  # type: ignore[arg-type]
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_colour_images_larger_than_a_tile_are_shown_at_their_own_size() -> None:
    from gansweep.callbacks.neighbours import _block

    images = torch.zeros(3, 3, 64, 64, dtype=torch.uint8)
    images[:, 0] = 200
    picture, _ = _block("title", images, images[:, None], torch.zeros(3, 1))
    assert picture.size == (LABELS + 3 * (64 + GAP), LINE + (64 + GAP) + LINE + (64 + GAP))
    assert picture.getpixel((LABELS + 10, LINE + 10)) == (200, 0, 0)


def test_each_image_of_the_sample_sheet_has_its_nearest_real_images(
    callback: Neighbours, digits: DataSource
) -> None:
    """The images on the sheet are training images, so each is its own nearest."""
    real = next(iter(digits.arrays("train")))[0]
    images = real[:6]
    made = grid(
        images.float() / 127.5 - 1, 3, kind="translations", roles=("source", "made", "true")
    )
    record = callback.journal.record
    (record.samples / "000001000.webp").write_bytes(made.as_webp())
    callback.work(Generator(images[0]))  # type: ignore[arg-type]
    ((_, path),) = record.sheet_files()
    layout = layout_of(path.read_bytes())
    assert layout is not None and layout.twins is not None
    twins = layout.twins
    assert (twins.cells, twins.columns, twins.distances) == ((1, 4), 1, (0.0, 0.0))
    for place, cell in enumerate(twins.cells):
        top = twins.top + place * (SIDE + GAP)
        assert (tile(Image.open(path), layout.left, top) == images[cell][0].numpy()).all()
    (second,) = twins.further  # k=2
    for place, cell in enumerate(twins.cells):
        apart = ((real - images[cell].int()).float() / 255).flatten(1).norm(dim=1)
        expected, row = apart.sort()[0][1], apart.sort()[1][1]
        assert second.distances[place] == pytest.approx(float(expected), rel=1e-3)
        top = second.top + place * (SIDE + GAP)
        assert (tile(Image.open(path), layout.left, top) == real[row][0].numpy()).all()


def test_without_a_sample_sheet_of_the_moment_there_are_no_such_images(
    callback: Neighbours, digits: DataSource
) -> None:
    record = callback.journal.record
    (record.samples / "000002000.webp").write_bytes(grid(torch.zeros(4, 1, 8, 8)).as_webp())
    (record.samples / "000001000.webp").write_bytes(grid(torch.zeros(4, 1, 9, 9)).as_webp())
    callback.work(Generator(training_image(digits, 0)))  # type: ignore[arg-type]
    ((_, path),) = record.sheet_files()
    layout = layout_of(path.read_bytes())
    assert layout is not None and layout.twins is None
