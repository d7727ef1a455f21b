"""One writer of a run: a second one is refused, and a replaced one stops writing."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from processes import Processes

from gansweep.errors import UserError
from gansweep.records import record as records
from gansweep.records import writer
from gansweep.records.record import RunRecord
from gansweep.records.tracker_ids import tracker_id
from gansweep.records.writer import SupersededError, adding, claim, is_held, newest

HOLDS = (
    "import sys; from pathlib import Path; from gansweep.records.record import RunRecord\n"
    "with RunRecord(Path(sys.argv[1])).claimed():\n"
    "    print('held', flush=True); sys.stdin.readline()"
)

BEGINS = (
    "import sys; from gansweep.errors import UserError\n"
    "from gansweep.records.record import RunRecord, claim_new\n"
    "kept = []\n"
    "for number in range(16):\n"
    "    sys.stdin.readline()\n"
    "    try:\n"
    "        kept.append(claim_new(sys.argv[1], 'group', f'run{number}', 'gan'))\n"
    "        RunRecord.create(kept[-1][0].directory, 'a: 1')\n"
    "        print('got it', flush=True)\n"
    "    except UserError as error:\n"
    "        print('refused', error, flush=True)"
)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    record = RunRecord.create(tmp_path / "group" / "run", "seed: 0\n")
    record.append({"kimg": 0.0})
    record.write_result({"status": "running"})
    return record


@pytest.fixture
def suspended(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> RunRecord:
    """A record that another process has taken over from this one while it was suspended."""
    claim(record.directory)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_held", {})  # as another process would
        other = claim(record.directory, take=True)
        record.write_result({"status": "finished"})
        other.release()
    return record


def content(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def written(record: RunRecord, how: str) -> None:
    if how == "config":
        RunRecord.create(record.directory, "seed: 1\n")
    elif how == "history":
        record.append({"kimg": 1.0})
    elif how == "truncated history":
        record.truncate_history(-1.0)
    elif how == "result":
        record.write_result({"status": "interrupted"})
    elif how == "last checkpoint":
        record.keep_last(b"stale")
    elif how == "best checkpoint":
        record.write(record.best, b"stale")
    elif how == "samples":
        record.write(record.samples / "000001000.png", b"stale")
    elif how == "tracker":
        tracker_id(record, "wandb")


HOW = ["config", "history", "truncated history", "result", "last checkpoint", "best checkpoint"]
HOW += ["samples", "tracker"]


@pytest.mark.parametrize("how", HOW)
def test_a_replaced_writer_changes_nothing(suspended: RunRecord, how: str) -> None:
    before = content(suspended.directory)
    with pytest.raises(SupersededError, match=rf"taken over by process {os.getpid()} on "):
        written(suspended, how)
    assert content(suspended.directory) == before


@pytest.mark.parametrize("how", HOW)
def test_holder_of_the_newest_number_writes(record: RunRecord, how: str) -> None:
    before = content(record.directory)
    with record.claimed():
        written(record, how)
    assert content(record.directory) != before


def test_numbers_grow_with_every_claim(record: RunRecord) -> None:
    first = newest(record.directory)
    with record.claimed() as one:
        assert one.number == newest(record.directory) == first + 1
        with record.claimed() as again:  # the same process shares one claim
            assert again is one
        record.append({"kimg": 1.0})
    with record.claimed() as two:
        assert two.number == first + 2


def test_second_process_is_refused_with_the_holder_until_it_dies(
    record: RunRecord, processes: Processes
) -> None:
    holder = processes("-c", HOLDS, str(record.directory), stdin=-1)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    today = time.strftime("%Y-%m-%d")
    refusal = rf"by process {holder.pid} on {re.escape(os.uname().nodename)}, started at {today}"
    with pytest.raises(UserError, match=refusal):
        record.claimed()
    with pytest.raises(UserError, match=refusal):  # not the message that the run can be continued
        records.new_directory(record.directory.parents[1], "group", "run", "gan")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with record.claimed():
        record.append({"kimg": 1.0})


def test_claim_that_expects_another_number_is_refused(record: RunRecord) -> None:
    """A child that continues after its attempt was settled."""
    number = newest(record.directory)
    with record.claimed(after=number):
        pass
    with pytest.raises(SupersededError):
        record.claimed(take=True, after=number)
    assert newest(record.directory) == number + 1


def test_claim_removes_the_drafts_of_killed_writers(record: RunRecord) -> None:
    digits = "0123456789abcdef"
    drafts = [
        record.directory / f".result.json.{digits}",
        record.checkpoints / f".last.pt.{digits}",
        record.samples / f".000001000.png.{digits}",
    ]
    for draft in drafts:
        draft.write_bytes(b"half")
    before = content(record.directory).keys() - {
        str(d.relative_to(record.directory)) for d in drafts
    }
    with record.claimed():
        assert content(record.directory).keys() == before


@pytest.mark.parametrize("how", ["last checkpoint", "history"])
def test_a_write_suspended_within_the_lock_is_lost(
    record: RunRecord, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number was the newest when it checked; the next writer has stopped waiting for it."""
    monkeypatch.setattr(writer, "LOCK_SECONDS", 0.05)
    record.keep_last(b"good")
    check = writer.Claim.check

    def suspend_after(self: Any) -> None:
        check(self)
        with monkeypatch.context() as patch:
            patch.setattr(writer.Claim, "check", check)
            patch.setattr(writer, "_held", {})
            with record.claimed(take=True):
                record.truncate_history(9.0)

    with record.claimed():
        monkeypatch.setattr(writer.Claim, "check", suspend_after)
        with contextlib.suppress(FileNotFoundError):
            written(record, how)
    monkeypatch.undo()
    assert record.last.read_bytes() == b"good"
    assert record.history() == [{"kimg": 0.0}]


def test_evaluation_is_added_beside_a_writer_but_not_to_another_training(
    record: RunRecord,
) -> None:
    with record.claimed():
        number = newest(record.directory)
        record.append_evaluation({"a": 1}, number)
        record.append({"kimg": 1.0})  # the writer has not changed
    with record.claimed():
        pass
    with pytest.raises(SupersededError, match="continued or trained again"):
        record.append_evaluation({"a": 2}, number)
    with pytest.raises(SupersededError), adding(record.directory, number):
        pass
    assert record.evaluations() == [{"a": 1}]


def test_claim_of_a_directory_in_which_nothing_was_written_leaves_no_trace(tmp_path: Path) -> None:
    with claim(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_replaced_writer_cannot_discard_the_directory(
    suspended: RunRecord, tmp_path: Path
) -> None:
    claim(suspended.directory).discard()
    assert suspended.exists
    other = RunRecord.create(tmp_path / "other", "a: 1\n")
    other.claimed().discard()
    assert not other.directory.exists()


def test_a_name_is_refused_if_a_run_took_it_in_the_meantime(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    directories = iter([record.directory])
    look = records.new_directory
    monkeypatch.setattr(
        records, "new_directory", lambda *given: next(directories, None) or look(*given)
    )
    with pytest.raises(UserError, match="already contains a run"):
        records.claim_new(record.directory.parents[1], "group", "run", "gan")


def test_only_one_of_two_processes_starts_the_same_run(
    tmp_path: Path, processes: Processes
) -> None:
    """The other one removes nothing."""
    both = [processes("-c", BEGINS, str(tmp_path), stdin=-1, bufsize=1) for _ in range(2)]
    for number in range(16):
        for process in both:
            assert process.stdin is not None
            process.stdin.write("go\n")
        lines = [process.stdout.readline().split(maxsplit=1) for process in both if process.stdout]
        assert sorted(words[0] for words in lines) == ["got", "refused"], lines
        (why,) = (words[1] for words in lines if words[0] == "refused")
        assert "is being written by process" in why or "already contains a run" in why
        assert RunRecord(tmp_path / "group" / f"run{number}").exists


@pytest.mark.parametrize("name", [writer.FILE, writer.LOCK])
def test_a_pipe_in_place_of_the_lock_is_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert newest(tmp_path) == 0
    with pytest.raises(OSError, match="not a regular file"):
        claim(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[1]", b"{", b"\xff" * 600, b'{"number": "x", "host": "", "pid": 1, "started": 1}'),
        *(b'{"number": 1e999, "host": "", "pid": 1, "started": 1}',),
        *(b'{"number": 1, "host": "", "pid": 1, "started": 1e999}',),
        *(b'{"number": -1, "host": "", "pid": 1, "started": 1}',),
    ],
)
def test_garbage_in_place_of_a_number_is_ignored(tmp_path: Path, content: bytes) -> None:
    (tmp_path / writer.FILE).write_bytes(content)
    assert newest(tmp_path) == 0
    with claim(tmp_path) as ours:
        assert ours.number == 1 == newest(tmp_path)


def test_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """A directory from somebody else is data."""
    target = tmp_path / "target"
    for name in (writer.FILE, writer.LOCK):
        folder = tmp_path / name.replace(".", "run")
        folder.mkdir()
        (folder / name).symlink_to(target)
        with pytest.raises(OSError, match="symbolic links"):
            claim(folder)
    assert not target.exists()


def test_looking_whether_a_run_is_written_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with claim(tmp_path) as held:
        assert is_held(tmp_path)
        held.check()
    (tmp_path / "history.jsonl").write_text("")
    with claim(tmp_path):  # now with its files left behind
        pass
    before = (tmp_path / ".writer").read_bytes()
    assert not is_held(tmp_path) and (tmp_path / ".writer").read_bytes() == before

    monkeypatch.setattr("gansweep.records.writer.socket.gethostname", lambda: "another")
    assert is_held(tmp_path), "its lock may not reach this host, and its last row is new"
    assert not is_held(tmp_path, recent_seconds=0.0)


def test_whether_a_run_is_written_is_seen_by_its_rows_where_its_lock_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "history.jsonl").write_text("")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gansweep.records.writer.os.open", refuse)
    assert is_held(tmp_path) and not is_held(tmp_path, recent_seconds=0.0)
