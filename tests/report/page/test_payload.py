"""What the page's scripts are given: boards, rows, runs and curves, as the records have them."""

import math
from pathlib import Path

import numpy as np
import pytest
from report_records import FID, lively_run, protocol, write_run, write_sweep

from gansweep.errors import UserError
from gansweep.judging.statuses import judged_runs
from gansweep.records.read import Run
from gansweep.report.page.curve_blocks import curve_block
from gansweep.report.page.payload import payload_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    top = tmp_path_factory.mktemp("runs")
    write_sweep(top)
    lively_run(top / "plain" / "a", "gan", 0)
    return judged_runs([top])


def test_sweeps_and_plain_runs_have_boards_of_their_own(runs: list[Run]) -> None:
    sweep, plain = payload_of(runs).content["boards"]
    assert (sweep["sweep"], plain["sweep"]) == (True, False)
    assert [run["name"] for run in plain["runs"]] == ["plain/a"]
    # the torn run has lost the result that names its sweep
    assert "demo-digits/t0016" in {run["name"] for run in sweep["runs"]}


def test_every_run_belongs_to_one_row(runs: list[Run]) -> None:
    for board in payload_of(runs).content["boards"]:
        of_rows = [run for row in board["rows"] for run in row["runs"]]
        assert sorted(of_rows) == sorted(run["id"] for run in board["runs"])
        assert all(run["id"] in row["runs"] for run in board["runs"] for row in board["rows"]
                   if row["id"] == run["row"])  # fmt: skip


def test_a_curve_of_the_block_is_the_curve_of_the_record(runs: list[Run]) -> None:
    by_id = {f"x{place}": run for place, run in enumerate(runs)}
    block = curve_block(by_id)
    planes = np.frombuffer(block.content, np.uint8).reshape(4, -1)
    numbers = np.ascontiguousarray(planes.T).view("<f4").ravel()
    for key, run in by_id.items():
        place = block.entry["runs"][key]
        table = numbers[place["start"] :][: place["length"] * (2 + len(place["columns"]))]
        table = table.reshape(-1, place["length"])
        for row, index in enumerate(place["columns"], 2):
            curve = run.curves[block.entry["names"][index]]
            kept = ~np.isnan(table[row])
            known = [(k, v) for k, v in zip(curve.kimg, curve.values, strict=True) if v is not None]
            assert table[0][kept].tolist() == [k for k, _ in known]
            assert table[row][kept] == pytest.approx([v for _, v in known], rel=1e-5)


def test_gaps_and_numbers_beyond_float32_survive_the_block(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a", scores={FID: [1e300, 5.0]})
    record.append({"kimg": 2.0, "loss/generator": None})
    (run,) = judged_runs([tmp_path])
    block = curve_block({"a": run})
    numbers = np.frombuffer(block.content, np.uint8).reshape(4, -1).T.copy().view("<f4").ravel()
    assert block.entry["names"] == [FID, "loss/generator"]
    assert numbers[4:6].tolist() == [math.inf, 5.0]
    assert np.isnan(numbers[6:8]).all()


def test_a_metric_ranks_the_boards_that_have_it_and_the_others_say_so(runs: list[Run]) -> None:
    only_here = write_run_with_kid(runs)
    first, second = payload_of([*runs, only_here], "kid_1k").content["boards"][:2]
    notes = {board["metric"]: board["summary"]["note"] for board in (first, second)}
    assert set(notes) == {FID, "kid_1k"}
    assert notes["kid_1k"] == "" and notes[FID].startswith("kid_1k does not rank this board")
    with pytest.raises(UserError, match="No run has a score 'absent'"):
        payload_of(runs, "absent")


def write_run_with_kid(runs: list[Run]) -> Run:
    """A plain run that alone measures KID."""
    top = runs[0].directory.parent.parent / "kid"
    words = {"kid_1k": protocol("kid", "minimize")}
    write_run(top / "a", scores={"kid_1k": [2.0, 1.0]}, protocols=words, objective="kid_1k")
    (run,) = judged_runs([top])
    return run
