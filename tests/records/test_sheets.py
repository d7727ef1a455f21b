"""Sheets as files: what a WebP carries, and what is read of a damaged or hostile one."""

import io

import numpy as np
import pytest
from PIL import Image

from gansweep.records.record import RunRecord
from gansweep.records.sheets import Block, Layout, Rank, Twins, as_webp, layout_of, media_type

CLASSES = Layout("classes", 3, 2, (4, 4), count=6, classes=("0", "<b>&", "'\"é"), noise=32)
NEIGHBOURS = Layout(
    "neighbours",
    *(2, 2, (56, 56)),
    gap=4,
    scale=7,
    left=88,
    blocks=(Block("Nearest", 20, (99, 159), (0.25, None), further=((0.5, 2.0),)),),
    twins=Twins(180, 2, (0, 3), (1.5, None), further=(Rank(240, (2.5, None)),)),
    notes=("500 samples",),
)

TWIN = {"top": 1, "columns": 1, "cells": [0], "distances": [0.5]}
BLOCK = {"title": "Nearest", "top": 1, "real": [2], "distances": [0.5]}


def noise(mode: str = "RGB") -> Image.Image:
    channels = {"L": (), "RGB": (3,)}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (31, 16, *channels), dtype=np.uint8)
    return Image.fromarray(pixels)


def png() -> bytes:
    content = io.BytesIO()
    noise().save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("layout", [CLASSES, NEIGHBOURS, Layout("points", 1, 1, (512, 512), gap=0)])
def test_a_sheet_carries_its_layout(layout: Layout) -> None:
    assert layout_of(as_webp(noise(), layout)) == layout


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_sheet_is_lossless(mode: str) -> None:
    content = as_webp(noise(mode), CLASSES)
    with Image.open(io.BytesIO(content)) as read:
        assert read.format == "WEBP"
        assert (np.asarray(read.convert(mode)) == np.asarray(noise(mode))).all()


def test_a_file_that_is_cut_off_or_of_another_kind_is_no_picture() -> None:
    webp = as_webp(noise(), CLASSES)
    assert (media_type(webp), media_type(png())) == ("image/webp", "image/png")
    for content in (webp[:-1], png()[:-1], b"", b"RIFF\xff\xff\xff\xffWEBP", b"GIF89a", b"RIFF"):
        assert media_type(content) is None


def test_pictures_without_a_layout_have_none() -> None:
    plain = io.BytesIO()
    noise().save(plain, "WEBP", lossless=True)
    webp = as_webp(noise(), CLASSES)
    cut = [webp[:length] for length in (0, 4, 12, 15, 20, len(webp) // 2, len(webp) - 60)]
    for content in (plain.getvalue(), png(), *cut):
        assert layout_of(content) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"columns": 0},
        {"columns": True},
        {"columns": 3.0},
        {"columns": 65_000, "rows": 65_000},
        {"cell": [4]},
        {"cell": 4},
        {"kind": "virus"},
        {"kind": ["classes"]},
        {"classes": [["nested"]]},
        {"roles": "text"},
        {"noise": -1},
        {"gap": 10**30},
        {"blocks": [{"title": "no more"}]},
        {"blocks": 5},
        {"twins": {"top": 1, "columns": 1, "cells": [0, 1], "distances": [0.5]}},
        {"twins": []},
        {"twins": TWIN | {"further": [{"top": 1, "distances": []}]}},
        {"twins": TWIN | {"further": 5}},
        {"blocks": [BLOCK | {"further": [[{}]]}]},
    ],
)
def test_a_layout_that_no_run_writes_is_ignored(changed: dict[str, object]) -> None:
    class Hostile(Layout):
        def plain(self) -> dict[str, object]:
            return {**super().plain(), **changed}

    whole = Hostile("classes", 3, 2, (4, 4), count=6, classes=("0", "1", "2"))
    assert layout_of(as_webp(noise(), whole)) is None


def test_neighbours_of_older_runs_have_a_distance_to_the_nearest_alone() -> None:
    class Older(Layout):
        def plain(self) -> dict[str, object]:
            return {**super().plain(), "blocks": [BLOCK], "twins": TWIN}

    layout = layout_of(as_webp(noise(), Older("neighbours", 1, 2, (4, 4))))
    assert layout is not None
    assert layout.blocks == (Block("Nearest", 1, (2,), (0.5,)),)
    assert layout.twins == Twins(1, 1, (0,), (0.5,))


def test_pictures_of_older_runs_are_listed_and_a_webp_replaces_the_same_moment(
    tmp_path: object,
) -> None:
    record = RunRecord.create(f"{tmp_path}/run", "seed: 0")
    for name in ("000001000.png", "000002000.png", "000002000.webp", "000003000.webp", "x.webp"):
        (record.samples / name).write_bytes(b"")
    listed = [(kimg, path.name) for kimg, path in record.sample_grids()]
    assert listed == [(1.0, "000001000.png"), (2.0, "000002000.webp"), (3.0, "000003000.webp")]
