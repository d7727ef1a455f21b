"""What the server pushes, and the memory that it takes."""

import json
import tracemalloc
from pathlib import Path

import pytest
from report_records import write_run

from gansweep.report.live import server
from gansweep.report.live.server import Live
from gansweep.report.live.tail import Added
from gansweep.report.live.watch import Changes

TICKS, RUNS, ROWS = 100, 10, 10
FLAT_BYTES = 100_000


def pushed(live: Live) -> list[dict[str, dict[str, object]]]:
    return [json.loads(text.split("data: ")[1]) for _, text in live.feed._kept]


def test_rows_of_one_look_are_one_event(tmp_path: Path) -> None:
    live = Live([tmp_path], None, tmp_path)
    rows = [{"kimg": 1.0, "loss": 0.5, "mode_counts": [1, 2], "finding": {"rule": "x"}}]
    live._push(Changes({"a": Added(rows), "b": Added([{"kimg": 2.0}], restarted=True)}))
    assert pushed(live) == [
        {
            "a": {"rows": [{"kimg": 1.0, "loss": 0.5}], "restarted": False},
            "b": {"rows": [{"kimg": 2.0}], "restarted": True},
        }
    ]


def test_a_run_that_lost_all_its_rows_is_told(tmp_path: Path) -> None:
    live = Live([tmp_path], None, tmp_path)
    live._push(Changes({"a": Added([], restarted=True)}))
    assert pushed(live) == [{"a": {"rows": [], "restarted": True}}]


def test_many_rows_are_several_events_and_only_the_first_starts_again(tmp_path: Path) -> None:
    live = Live([tmp_path], None, tmp_path)
    rows = [{"kimg": float(kimg)} for kimg in range(3 * server.ROWS_IN_EVENT)]
    live._push(Changes({"a": Added(rows, restarted=True)}))
    events = [event["a"] for event in pushed(live)]
    assert [row for event in events for row in event["rows"]] == rows  # type: ignore[attr-defined]
    assert [event["restarted"] for event in events] == [True, False, False]


@pytest.mark.slow
def test_ten_thousand_rows_leave_memory_flat(tmp_path: Path) -> None:
    records = [write_run(tmp_path / "g" / f"r{k}", status="running") for k in range(RUNS)]
    live = Live([tmp_path], None, tmp_path)
    live.feed._most = 50_000
    live.watch.look()
    seen, sizes = 0, []
    tracemalloc.start()
    try:
        for tick in range(TICKS):
            line = json.dumps({"kimg": 10.0 + tick, "seconds": 1.0, "loss": 0.1 * tick}) + "\n"
            for record in records:
                with open(record.history_path, "a") as file:
                    file.write(ROWS * line)
            changes = live.watch.look()
            seen += sum(len(added.rows) for added in changes.rows.values())
            live._push(changes)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert seen == TICKS * RUNS * ROWS == 10_000
    assert sizes[-1] - sizes[TICKS // 4] < FLAT_BYTES
