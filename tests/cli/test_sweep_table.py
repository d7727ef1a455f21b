"""What a person sees of a sweep while it runs."""

import io
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
    live = LiveTable(watch, 2, Console(width=80))
    assert live._goal([]) == ""
    assert live._goal(watch.rows()) == ": minimize fid_digitsnet_1k_train"
    status = Status("first", "runs/first", "minimize auto", next={"gansweep ...": "go on"})
    text = text_of(status)
    assert text.startswith("sweep first\n")
