"""When the rows of a journal reach the record."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gansweep.callbacks.journal import WRITE_SECONDS, Journal
from gansweep.diagnosis.findings import Finding
from gansweep.errors import UserError
from gansweep.records.record import RunRecord


def test_rows_of_quick_steps_are_written_together_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    record = RunRecord.create(tmp_path / "run", "seed: 0")
    journal = Journal(record, None)

    def clocks() -> list[float]:
        return [row["kimg"] for row in record.history()]

    def step(kimg: int) -> None:
        journal.log(1000 * kimg, {"loss/generator": float(kimg)})
        journal.log(1000 * kimg, {"balance/real_mean": 0.5})
        journal.end_step()

    step(1)
    assert clocks() == [1]
    now += WRITE_SECONDS / 2
    step(2)
    step(3)
    assert clocks() == [1]
    now += WRITE_SECONDS
    journal.end_step()  # a step without a row
    assert clocks() == [1, 2, 3]
    assert [row["seconds"] for row in record.history()] == [0, 0.125, 0.125]
    step(4)
    journal.find(5000, Finding("rule", "warning", "A text", (), (4.0, 5.0)))
    assert clocks() == [1, 2, 3, 4, 5] and "finding" in record.history()[-1]
    step(6)
    journal.flush()
    assert clocks() == [1, 2, 3, 4, 5, 6]
    assert record.history()[-1] == {
        "kimg": 6, "seconds": 0.375, "loss/generator": 6, "balance/real_mean": 0.5
    }  # fmt: skip


def test_time_outside_training_counts_once_where_one_pause_is_inside_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("gansweep.callbacks.journal.time.perf_counter", lambda: clock[0])
    journal = Journal(None, None)
    clock[0] = 1.0
    with journal.outside_training():
        clock[0] = 2.0
        with journal.outside_training():
            clock[0] = 5.0
        clock[0] = 6.0
    assert journal.paused_seconds == 5.0 and journal.training_seconds == 1.0


@pytest.mark.parametrize("value", [torch.tensor(1.0), torch.ones(2), np.float32(1), np.ones(2)])
def test_a_curve_of_tensors_is_refused_by_its_name(value: object, tmp_path: Path) -> None:
    journal = Journal(RunRecord(tmp_path), None)
    with pytest.raises(UserError, match=r"curve 'own/norm'.*value\.item\(\)"):
        journal.log(64, {"own/norm": value})
    journal.flush()
    assert not RunRecord(tmp_path).history()
