"""Tags and notes in a run's record."""

import errno
import os
from pathlib import Path

import pytest
from report_records import write_run

from gansweep.errors import UserError
from gansweep.records import writer
from gansweep.records.read import read_run
from gansweep.records.record import RunRecord
from gansweep.records.remarks import checked_note, checked_tag, tag, write_note


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    return write_run(tmp_path / "digits" / "gan-001")


def test_the_last_remark_counts(record: RunRecord) -> None:
    assert tag(record, "baseline") and tag(record, "slow")
    assert not tag(record, "slow") and not tag(record, "never", remove=True)
    assert tag(record, "baseline", remove=True)
    write_note(record, "first")
    write_note(record, "second")
    run = read_run(record)
    assert (run.tags, run.note) == (["slow"], "second")
    write_note(record, "")
    assert read_run(record).note == ""


def test_a_live_writer_goes_on(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    with record.claimed() as claim:
        with monkeypatch.context() as other_process:
            other_process.setattr(writer, "_held", {})
            tag(record, "baseline")
        claim.check()
        record.append({"kimg": 9.0})
        assert writer.newest(record.directory) == claim.number
    assert read_run(record).tags == ["baseline"]


def test_torn_and_foreign_lines_are_skipped(record: RunRecord) -> None:
    record.remarks_path.write_text('{"tag": 3}\n{"tag": "good", "note": null}\nnot json\n{"ta')
    tag(record, "after")
    run = read_run(record)
    assert run.tags == ["good", "after"]
    assert "remarks.jsonl: skipped 2 damaged lines" in run.notes[0]


def test_nothing_outside_the_record_is_written(record: RunRecord, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_text("unchanged")
    record.remarks_path.symlink_to(theirs)
    with pytest.raises(OSError):
        tag(record, "baseline")
    record.remarks_path.unlink()
    os.mkfifo(record.remarks_path)
    with pytest.raises(OSError):
        write_note(record, "waits for nobody")
    assert theirs.read_text() == "unchanged"


def test_a_full_disk_leaves_the_remarks_as_they_were(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag(record, "baseline")
    before = record.remarks_path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gansweep.records.writer._opened", full)
    with pytest.raises(OSError):
        tag(record, "more")
    assert record.remarks_path.read_bytes() == before


@pytest.mark.parametrize("word", ["two words", "a,b", "runs/digits", "it's", "\x1b[31m", "a" * 61])
def test_what_is_no_tag_is_refused(word: str) -> None:
    with pytest.raises(UserError):
        checked_tag(word)
    assert checked_tag("größer-2") == "größer-2"


def test_a_note_is_printable_and_not_too_long() -> None:
    assert checked_note(" red \x1b[31m ") == "red \\x1b[31m"
    with pytest.raises(UserError, match="2001 characters"):
        checked_note("a" * 2001)
