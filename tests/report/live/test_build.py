"""What the process that makes the live page's data answers."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from report_records import FID, lively_run

from gansweep.report.live import build
from gansweep.report.live.build import Reader, Served, make_build


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in (0, 1, 2):
        lively_run(tmp_path / "runs" / f"gan-{seed}", "gan", seed)
    lively_run(tmp_path / "runs" / "dcgan-0", "dcgan", 0, status="running", kimg=20)
    return tmp_path / "runs"


def board_of(folder: Path, number: int) -> dict[str, Any]:
    content = gzip.decompress((folder / str(number) / "payload.json.gz").read_bytes())
    (board,) = json.loads(content)["boards"]
    return dict(board)


def test_of_many_runs_the_table_comes_first_and_is_that_of_the_whole_page(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "MANY", 4)
    rest = ([runs], "", Reader(), Served())
    first = make_build(tmp_path, {"build": 1, "seq": 0, "first": True}, *rest)
    assert first["partial"] and "4 runs are being read" in first["problems"][0]
    whole = make_build(tmp_path, {"build": 2, "seq": 0, "first": False}, *rest)
    assert not whole["partial"] and not whole["problems"]
    table, page = board_of(tmp_path, 1), board_of(tmp_path, 2)
    assert table["rows"] == page["rows"] and table["rows"][0]["last"][FID]["n"] == 3
    assert table["summary"] == page["summary"] and table["columns"] == page["columns"]
    assert set(table["sections"]) == {"protocols"}
    assert {"diagnosis", "game", "samples", "search"} <= set(page["sections"])
    assert "loss/generator" in page["curves"]["names"]


def test_of_few_runs_all_comes_at_once(runs: Path, tmp_path: Path) -> None:
    answer = make_build(
        tmp_path, {"build": 1, "seq": 0, "first": True}, [runs], "", Reader(), Served()
    )
    assert not answer["partial"] and "diagnosis" in board_of(tmp_path, 1)["sections"]
