"""What the server sees of runs that are written, finished and deleted meanwhile."""

import shutil
from pathlib import Path

import pytest
from report_records import write_run

from gansweep.records.record import RunRecord
from gansweep.report.live import watch
from gansweep.report.live.watch import Watch


@pytest.fixture(autouse=True)
def lists_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LIST_SECONDS", 0.0)
    monkeypatch.setattr(watch, "LIST_SHARE", 0)


def test_rows_are_told_by_run_and_other_changes_apart(tmp_path: Path) -> None:
    record = write_run(tmp_path / "group" / "a", status="running")
    write_run(tmp_path / "group" / "b")
    seen = Watch([tmp_path])
    assert seen.look().others  # all is new
    found = seen.look()
    assert not found.rows and not found.others
    record.append({"kimg": 3.0, "loss": 0.5})
    found = seen.look()
    assert [*found.rows] == [str(record.directory)]
    assert found.rows[str(record.directory)].rows == [{"kimg": 3.0, "loss": 0.5}]
    assert not found.others


def test_a_new_score_changes_more_than_curves(tmp_path: Path) -> None:
    record = write_run(tmp_path / "group" / "a", status="running")
    seen = Watch([tmp_path])
    seen.look()
    record.append({"kimg": 3.0, "protocol": {"fid": {"score": "fid"}}})
    assert seen.look().others


def test_results_samples_and_remarks_are_noticed(tmp_path: Path) -> None:
    record = write_run(tmp_path / "group" / "a", status="running")
    seen = Watch([tmp_path])
    seen.look()
    for change in (
        lambda: record.write_result({"status": "finished"}),
        lambda: (record.samples / "000001000.webp").write_bytes(b""),
        lambda: record.append_remark({"tag": "good"}),
    ):
        change()
        assert seen.look().others
        assert not seen.look().others


def test_new_and_deleted_runs_are_noticed(tmp_path: Path) -> None:
    write_run(tmp_path / "group" / "a")
    seen = Watch([tmp_path])
    seen.look()
    write_run(tmp_path / "sweep" / "t0000")
    assert seen.look().others
    assert len(seen.directories) == 2
    shutil.rmtree(tmp_path / "sweep")
    assert seen.look().others
    assert seen.directories == [str(tmp_path / "group" / "a")]


def test_a_path_without_runs_is_a_sentence_until_one_comes(tmp_path: Path) -> None:
    seen = Watch([tmp_path / "later", tmp_path])
    seen.look()
    assert len(seen.problems) == 2
    assert "does not exist" in seen.problems[0]
    write_run(tmp_path / "later" / "a")
    assert seen.look().others
    assert seen.problems == []
    assert len(seen.directories) == 1  # below both paths, listed once


def test_a_run_without_any_other_file_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.yaml").write_text("{{{")
    seen = Watch([tmp_path])
    seen.look()
    assert seen.directories == [str(tmp_path / "a")]
    RunRecord(tmp_path / "a").history_path.mkdir()  # a directory where a file should be
    assert not seen.look().rows
