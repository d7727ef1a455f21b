"""Rows that are added to a history, as another process writes them."""

import json
import os
from pathlib import Path

import pytest

from gansweep.records.record import RunRecord
from gansweep.report.live import tail
from gansweep.report.live.tail import Added, Tail


def line(kimg: float, **values: float) -> bytes:
    return json.dumps({"kimg": kimg, **values}).encode() + b"\n"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def append(path: Path, content: bytes) -> None:
    with open(path, "ab") as file:
        file.write(content)


def clocks(added: Added) -> list[float]:
    return [row["kimg"] for row in added.rows]


def test_each_row_is_read_once(history: Path) -> None:
    followed = Tail(history)
    assert followed.read() == Added()
    append(history, line(1, loss=0.5) + line(2))
    assert followed.read() == Added([{"kimg": 1, "loss": 0.5}, {"kimg": 2}])
    assert followed.read() == Added()
    append(history, line(3))
    assert clocks(followed.read()) == [3]


def test_rows_from_before_are_left_out(history: Path) -> None:
    append(history, line(1) + line(2))
    followed = Tail(history)
    followed.skip()
    append(history, line(3))
    assert followed.read() == Added([{"kimg": 3}])


def test_a_torn_last_line_is_read_once_it_is_whole(history: Path) -> None:
    append(history, line(1) + line(2)[:7])
    followed = Tail(history)
    assert clocks(followed.read()) == [1]
    assert followed.read() == Added()
    append(history, line(2)[7:])
    assert clocks(followed.read()) == [2]


def test_skipping_leaves_a_torn_last_line_to_be_read(history: Path) -> None:
    append(history, line(1) + line(2)[:7])
    followed = Tail(history)
    followed.skip()
    append(history, line(2)[7:])
    assert clocks(followed.read()) == [2]


def test_a_damaged_line_is_left_out(history: Path) -> None:
    followed = Tail(history)
    append(history, line(1) + b'{"kimg": 2, "los\n' + b"[3]\n" + b'{"loss": 1}\n' + line(4))
    assert clocks(followed.read()) == [1, 4]


def test_a_resumed_run_sends_its_shorter_history_again(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path / "run", "seed: 0\n")
    for kimg in range(1, 6):
        record.append({"kimg": kimg, "loss": 1.0})
    followed = Tail(record.history_path)
    followed.skip()
    record.truncate_history(2.0)
    record.append({"kimg": 3, "loss": 9.0})
    added = followed.read()
    assert added.restarted
    assert clocks(added) == [1, 2, 3]
    record.append({"kimg": 4, "loss": 9.0})
    assert followed.read() == Added([{"kimg": 4, "loss": 9.0}])


def test_a_history_that_is_emptied_in_place_starts_again(history: Path) -> None:
    append(history, line(1) + line(2))
    followed = Tail(history)
    followed.read()
    os.truncate(history, 0)
    append(history, line(1))
    assert followed.read() == Added([{"kimg": 1}], restarted=True)


def test_a_long_history_comes_in_parts(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST_BYTES", 100)
    append(history, b"".join(map(line, range(50))))
    followed = Tail(history)
    parts = [followed.read() for _ in range(20)]
    assert [clock for part in parts for clock in clocks(part)] == [*range(50)]
    assert all(len(part.rows) < 10 for part in parts)


def test_an_endless_line_is_left_out(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "LONGEST_LINE", 100)
    monkeypatch.setattr(tail, "MOST_BYTES", 200)
    append(history, b"x" * 1000)
    followed = Tail(history)
    for _ in range(10):
        assert followed.read() == Added()
    append(history, b"\n" + line(1))
    assert clocks(followed.read()) == [1]


def test_a_pipe_in_its_place_is_not_waited_for(history: Path) -> None:
    os.mkfifo(history)
    followed = Tail(history)
    followed.skip()
    assert followed.read() == Added()
