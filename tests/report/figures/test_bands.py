from pathlib import Path

import pytest
from report_records import write_run

from gansweep.records.read import load
from gansweep.report.figures.bands import band


def test_a_band_interpolates_seeds_at_common_times(tmp_path: Path) -> None:
    for seed, rows in enumerate([{0: 0.0, 2: 4.0}, {0: 2.0, 1: 2.0, 3: 8.0}]):
        record = write_run(tmp_path / str(seed), seed=seed, scores={})
        for kimg, value in rows.items():
            record.append({"kimg": float(kimg), "seconds": 0.0, "loss/g": value})
    found = band(load([tmp_path]), "loss/g")
    # at 2 kimg the second seed is halfway between 2 and 8; the band ends at 2 kimg
    assert found and found.kimg == [0.0, 1.0, 2.0]
    assert found.mean == [1.0, 2.0, 4.5]
    assert (found.low, found.high) == ([0.0, 2.0, 4.0], [2.0, 2.0, 5.0])
    assert band(load([tmp_path]), "loss/absent") is None


def test_a_long_curve_is_thinned_by_averaging(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a", scores={})
    for kimg in range(100):
        record.append({"kimg": float(kimg), "seconds": 0.0, "loss/g": float(kimg % 2)})
    found = band(load([tmp_path]), "loss/g", points=10)
    assert found and len(found.kimg) == 10
    assert found.mean == pytest.approx([0.5] * 10)
