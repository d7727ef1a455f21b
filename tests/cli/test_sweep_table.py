"""What a person sees of a sweep while it runs."""

import io
from dataclasses import replace
from unittest.mock import Mock

import pytest
from rich.console import Console

from gansweep.cli import sweep_table as table
from gansweep.cli.status import text_of
from gansweep.cli.sweep_table import EventLines, LiveTable
from gansweep.engine.status import Status
from gansweep.engine.watch import Row, Watch
from gansweep.judging.objective import Objective


class Ended(Watch):
    """Two runs of 400 that have ended, and the rest an hour away."""

    def __init__(self) -> None:
        self.study = Mock()

    def rows(self) -> list[Row]:
        scored = ("model.optimizer.generator.lr=0.00025", 6.0, "fid_digitsnet_1k_train", 62.2871)
        row = Row("c-t0123-s101", "finished", "w0", *scored, 100.0, 754.0, "", True)
        reason = "The generator made samples that are not finite numbers"
        lost = Row("t0124", "diverged", "w1", "", 6.0, None, None, None, 12.0, reason, False)
        return [row, lost]

    def done_and_due(self, rows: list[Row]) -> tuple[int, int]:
        return 122, 400


def test_an_event_that_is_longer_than_a_line_goes_on_in_an_indented_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "seconds_left", lambda *_: 3723.0)
    out = io.StringIO()
    EventLines(Ended(), 2, out).update()
    finished, score, lost, reason = (line[9:] for line in out.getvalue().splitlines())
    assert finished == "c-t0123-s101 finished   [122/400, 1:02:03 left] 12:34 62.29"
    assert score == "fid_digitsnet_1k_train"
    assert lost == "t0124 diverged   [122/400, 1:02:03 left] 0:12 (The generator made"
    assert reason == "samples that are not finite numbers)"
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_who_is_at_work_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = Mock(side_effect=[60.0, 50.0])
    monkeypatch.setattr(table, "seconds_left", seconds)
    live = LiveTable(Ended(), 2, Console(width=80))
    assert [live._seconds_left() for _ in range(9)] == 9 * [60.0]
    live._look_at -= table.LOOK_SECONDS
    assert live._seconds_left() == 50.0


def test_objective_is_shown_once_it_is_known() -> None:
    watch = Ended()
    watch.study.objective = Objective("auto", "minimize", "last")
    watch.study.queue.listed = None
    live = LiveTable(watch, 2, Console(width=80))
    assert live._goal([]) == ""
    assert live._goal(watch.rows()) == ": minimize fid_digitsnet_1k_train"
    status = Status("first", "runs/first", "minimize auto", next={"gansweep ...": "go on"})
    text = text_of(status)
    assert text.startswith("sweep first\n")


class Searched(Ended):
    """A trial with more parameters than a line holds."""

    PARAMS = "dcgan generator.lr=0.00025 discriminator.lr=0.0004 generator.width=32 betas=0.5"

    def rows(self) -> list[Row]:
        finished = Row(
            "t0001", "finished", "w0", self.PARAMS, 80.0, "fid", 6.2, 900.0, 9.0, "", False
        )
        return [finished, *(replace(finished, key=f"t{i:04d}", value=9.0) for i in range(2, 40))]

    def shown(self, rows: list[Row]) -> list[Row]:
        return rows

    def best(self, rows: list[Row]) -> Row | None:
        return next((row for row in rows if row.value == 6.2), None)

    def front_size(self) -> None:
        return None


def test_the_parameters_of_a_trial_are_shown_whole_and_the_table_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(table, "seconds_left", lambda *_: 60.0)
    watch = Searched()
    watch.study.objective = Objective("fid", "minimize", "last")
    watch.study.settings.name = "demo"
    watch.started = 0.0
    console = Console(width=80, height=30, file=io.StringIO(), color_system=None)
    live = LiveTable(watch, 2, console)
    console.print(live.render())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    first = shown[shown.index("t0001") : shown.index("t0", shown.index("t0001") + 1)]
    assert all(word in first for word in Searched.PARAMS.split())
    assert "…" not in shown and len(shown.splitlines()) <= 30


def test_a_worker_on_a_host_with_a_long_name_is_shown_whole() -> None:
    host = "gpu-node-with-a-long-name-0123.cluster.department.example.org"
    worker = {"name": "w12", "host": host, "job": "123456_7", "gpus": "0", "doing": "c-t0123-s101"}
    status = Status("first", "runs/first", "minimize fid", next={"gansweep ...": "go on"})
    status.workers = [{**worker, "seconds": 3723.0}]
    text = text_of(status)
    assert host in text and "c-t0123-s101" in text and "1:02:03" in text and "…" not in text
    assert max(map(len, text.splitlines())) <= 80
