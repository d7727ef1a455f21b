"""The run record survives damaged lines, full disks and readers at any time."""

import errno
import json
import os
import shlex
from pathlib import Path

import pytest

from gansweep.errors import UserError
from gansweep.records.find import find_records
from gansweep.records.record import RunRecord, disk_error, new_directory, replace_atomically


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return RunRecord.create(tmp_path / "group" / "run", "seed: 0\n")


def test_rows_come_back_in_order(record: RunRecord) -> None:
    rows = [{"kimg": float(k), "loss/generator": k / 3} for k in range(5)]
    for row in rows:
        record.append(row)
    assert record.history() == rows


def test_a_torn_last_line_is_skipped_with_a_warning(record: RunRecord) -> None:
    record.append({"kimg": 1.0})
    with open(record.history_path, "ab") as file:
        file.write(b'{"kimg": 2.0, "loss')
    with pytest.warns(UserWarning, match="skipped the damaged line 2"):
        assert record.history() == [{"kimg": 1.0}]


def test_writing_after_a_torn_line_damages_no_other_line(record: RunRecord) -> None:
    with open(record.history_path, "wb") as file:
        file.write(b'{"kimg": 1.0}\n{"kimg": 2.0, "lo')
    record.append({"kimg": 3.0})
    with pytest.warns(UserWarning, match="skipped the damaged line 2"):
        assert [row["kimg"] for row in record.history()] == [1.0, 3.0]


def test_not_a_number_is_stored_as_null(record: RunRecord) -> None:
    record.append({"kimg": 1.0, "loss/generator": float("nan"), "modes": [1.0, float("inf")]})
    text = record.history_path.read_text()
    assert json.loads(text) == {"kimg": 1.0, "loss/generator": None, "modes": [1.0, None]}
    assert "NaN" not in text


def test_result_is_replaced_completely_or_not_at_all(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    record.write_result({"status": "running", "kimg": 0.0})

    def full_disk(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        record.write_result({"status": "finished", "kimg": 9.0})
    result = record.result()
    assert result is not None and result["status"] == "running"
    assert not list(record.directory.glob(".result.json*"))


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_atomically(path, b"old")
    with open(path, "rb") as reader:
        replace_atomically(path, b"new content")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new content"


def test_an_unknown_status_is_our_own_mistake(record: RunRecord) -> None:
    with pytest.raises(AssertionError):
        record.write_result({"status": "done"})


def test_truncated_history_ends_at_the_checkpoint(record: RunRecord) -> None:
    for k in range(5):
        record.append({"kimg": k * 1.28})
    record.truncate_history(2 * 1.28)
    record.append({"kimg": 99.0})
    assert [row["kimg"] for row in record.history()] == [0, 1.28, 2.56, 99.0]


def test_runs_are_found_below_any_of_the_paths_once(tmp_path: Path) -> None:
    for name in ("a/one", "a/two", "b/three"):
        RunRecord.create(tmp_path / name, "seed: 0\n")
    tracker = tmp_path / "a/one/wandb/files/config.yaml"
    tracker.parent.mkdir(parents=True)
    tracker.touch()
    found = find_records([tmp_path, tmp_path / "a"])
    assert [r.directory.name for r in found] == ["one", "two", "three"]


def test_commands_in_errors_can_be_pasted(tmp_path: Path) -> None:
    directory = RunRecord.create(tmp_path / "my runs" / "a", "seed: 0\n").directory
    with pytest.raises(UserError) as refused:
        new_directory(tmp_path, "my runs", "a", "gan")
    (directory / "checkpoints" / "last.pt").touch()
    full = disk_error(OSError(errno.ENOSPC, "No space left on device"), directory)
    for error in (refused.value, full):
        command = str(error).split("`")[1]
        assert shlex.split(command) == ["gansweep", "train", f"resume={directory}"]


@pytest.mark.parametrize(
    ("path", "explained"),
    [("runs/a/history.jsonl", True), ("runs", True), ("pictures/1.png", False), (None, False)],
)
def test_only_an_error_of_the_runs_own_place_is_one_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None, explained: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    error = OSError(errno.EACCES, "Permission denied", path)
    for directory in (Path("runs/a"), tmp_path / "runs" / "a"):
        assert (disk_error(error, directory) is not None) == explained
