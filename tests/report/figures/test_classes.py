"""The table of requested and seen classes of conditional runs."""

from pathlib import Path
from typing import Any

import pytest
from report_records import FID, PROTOCOLS, protocol, write_evaluation, write_run

from gansweep.judging.leaderboard import leaderboard
from gansweep.records.read import load
from gansweep.records.record import RunRecord
from gansweep.report.figures.classes import confusions
from gansweep.report.figures.figures import Figure
from gansweep.report.figures.palette import variants

CONFUSION = "confusion_digitsnet_20"


def asked_and_seen(**changed: Any) -> dict[str, Any]:
    stated = {"n_fake": 20, "split": None, "class_names": ["cat", "<dog>"], **changed}
    return protocol("confusion", None, **stated)


def write(directory: Path, counts: list[int], **changed: Any) -> RunRecord:
    seed = changed.pop("seed", 0)
    stated = {FID: PROTOCOLS[FID], CONFUSION: asked_and_seen(**changed)}
    record = write_run(directory, seed=seed, protocols=stated)
    record.append({"kimg": 2.0, "seconds": 4.0, "protocol": {CONFUSION: stated[CONFUSION]}})
    record.append({"kimg": 2.0, "seconds": 4.0, CONFUSION: counts})
    return record


def figures_of(directory: Path) -> list[Figure]:
    return confusions(variants(leaderboard(load([directory]))))


def test_a_cell_is_the_share_of_the_requested_class_and_the_mean_over_seeds(
    tmp_path: Path,
) -> None:
    write(tmp_path / "0", [8, 2, 0, 10])
    write(tmp_path / "1", [12, 0, 2, 6], seed=1)
    (figure,) = figures_of(tmp_path)
    (cells,) = figure.data
    assert cells["z"] == [pytest.approx([0.9, 0.1]), pytest.approx([0.125, 0.875])]
    assert [note["text"] for note in figure.layout["annotations"]] == ["90", "10", "12", "88"]
    assert cells["y"] == cells["x"] == ["cat", "&lt;dog&gt;"]
    assert figure.layout["yaxis"]["autorange"] == "reversed", "the first class stands on top"
    assert figure.note == "Most often confused: <dog> seen as cat in 12%; cat seen as <dog> in 10%."


def test_a_class_that_was_never_requested_has_an_empty_row(tmp_path: Path) -> None:
    write(tmp_path / "0", [20, 0, 0, 0])
    (figure,) = figures_of(tmp_path)
    assert figure.data[0]["z"] == [[1.0, 0.0], [None, None]]
    assert figure.note == "No class is confused with another one."


def test_the_table_with_the_most_samples_is_shown(tmp_path: Path) -> None:
    record = write(tmp_path / "0", [8, 2, 0, 10])
    more = "confusion_digitsnet_2k"
    write_evaluation(record, {more: [900, 100, 0, 1000]}, {more: asked_and_seen(n_fake=2000)})
    (figure,) = figures_of(tmp_path)
    assert figure.data[0]["z"][0] == pytest.approx([0.9, 0.1])


def test_many_classes_are_coloured_without_numbers(tmp_path: Path) -> None:
    counts = [10 * (i == j) for i in range(20) for j in range(20)]
    write(tmp_path / "0", counts, class_names=None, n_fake=200)
    (figure,) = figures_of(tmp_path)
    assert not figure.layout["annotations"] and figure.data[0]["x"][:2] == ["0", "1"]


def test_runs_without_classes_have_no_table(tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    assert figures_of(tmp_path) == []
