"""What the page is told of a search: its trials, and when and where they ran."""

from pathlib import Path
from typing import Any

from report_records import FID, lively_run, part_of_sweep, rewrite, write_run

from gansweep.judging.statuses import judged_runs
from gansweep.report.page.payload import boards_of
from gansweep.report.page.search_part import search_part


def search(directory: Path) -> dict[str, Any]:
    (shown,) = boards_of(judged_runs([directory]))
    return search_part(shown.board, shown.rows, shown.runs)


def test_a_trial_has_its_settings_and_the_value_that_ranks_it(tmp_path: Path) -> None:
    for number, (value, status) in enumerate([(30.0, "finished"), (5.0, "diverged")]):
        part = part_of_sweep(f"t{number}", {"model": "dcgan", "a.lr": number + 1.0})
        write_run(tmp_path / f"t{number}", scores={FID: [value]}, status=status, sweep=part)
    found = search(tmp_path)
    assert (found["metric"], found["parameters"]) == (FID, [{"id": "a.lr", "label": "lr"}])
    shown = [(one["name"], one["params"], one["value"], one["end"]) for one in found["trials"]]
    # the score of a trial that diverged is no outcome
    assert shown == [
        ("t0", {"a.lr": 1.0}, 30.0, "finished"),
        ("t1", {"a.lr": 2.0}, None, "diverged"),
    ]
    assert "too few" in found["importance"]["reason"]


def test_the_timeline_counts_from_the_first_run_and_names_the_workers(tmp_path: Path) -> None:
    times = [("10:00:00", "10:00:30", "w0"), ("10:00:10", "10:01:00", "w1"), (None, None, "w0")]
    for number, (start, end, worker) in enumerate(times):
        record = lively_run(tmp_path / f"t{number}", "gan", number, {"lr": number}, kimg=5)
        day = "2026-01-01T"
        stamps = {"started": f"{day}{start}+00:00", "ended": f"{day}{end}+00:00"} if start else {}
        part = {**part_of_sweep(f"t{number}", {"lr": number}), "worker": worker}
        rewrite(record, **{"started": "", **stamps}, sweep=part)
    (timeline,) = search(tmp_path)["timeline"]
    spans = [(one["worker"], one["start"], one["end"]) for one in timeline["spans"]]
    assert spans == [("w0", 0.0, 30.0), ("w1", 10.0, 60.0)]
    assert timeline["unknown"] == 1


def test_a_date_at_the_edge_of_the_calendar_is_unknown(tmp_path: Path) -> None:
    for number, year in enumerate(("0001", "9999")):
        record = lively_run(tmp_path / f"t{number}", "gan", number, {"lr": number}, kimg=5)
        part = part_of_sweep(f"t{number}", {"lr": number})
        stamps = {key: f"{year}-01-01T00:00:00" for key in ("started", "ended")}
        rewrite(record, **stamps, sweep=part)
    (timeline,) = search(tmp_path)["timeline"]
    assert timeline["unknown"] >= 1
