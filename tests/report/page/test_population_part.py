"""Populations: their schedules, and the origin of the best member's weights."""

from pathlib import Path
from typing import Any

from report_sweeps import write_trial

from gansweep.judging.trials import trials_of
from gansweep.records.read import load
from gansweep.report.page.payload import boards_of
from gansweep.report.page.population_part import lineage, takeovers
from gansweep.report.page.search_part import search_part


def step(kimg: float, lr: float, source: str | None = None, **more: Any) -> dict[str, Any]:
    return {"kimg": kimg, "params": {"model.lr": lr, **more}, "from": source}


def write_population(directory: Path) -> None:
    """t2 took over t1 at 40 kimg, which had taken over t0 at 20; t0 took over t2 at 60."""
    schedules = {
        "t0": [step(0, 0.1), step(60, 0.7, "t2")],
        "t1": [step(0, 0.2), step(20, 0.3, "t0")],
        "t2": [step(0, 0.4), step(20, 0.5), step(40, 0.6, "t1")],
    }
    for (key, schedule), fid in zip(schedules.items(), (9.0, 8.0, 7.0), strict=True):
        params = schedule[-1]["params"]
        write_trial(directory, key, fid, params=params, schedule=schedule, kimg=80.0)


def search(directory: Path) -> dict[str, Any]:
    (shown,) = boards_of(load([directory]))
    return search_part(shown.board, shown.rows, shown.runs)


def test_the_lineage_of_weights_goes_through_every_takeover(tmp_path: Path) -> None:
    write_population(tmp_path)
    members = {trial.name: trial for trial in trials_of(load([tmp_path]))}
    found = lineage(members["t2"], members)
    assert [(s.member, s.start, s.end, s.params["model.lr"]) for s in found] == [
        ("t0", 0, 20, 0.1),
        ("t1", 20, 40, 0.3),
        ("t2", 40, 80, 0.6),
    ]
    assert [s.member for s in lineage(members["t0"], members)] == ["t0", "t1", "t2", "t0"]


def test_takeovers_are_listed_in_their_order(tmp_path: Path) -> None:
    write_population(tmp_path)
    assert takeovers(trials_of(load([tmp_path]))) == [
        "t1 took over t0 at 20 kimg",
        "t2 took over t1 at 40 kimg",
        "t0 took over t2 at 60 kimg",
    ]


def test_the_page_is_told_each_members_phases_and_the_way_of_the_best_weights(
    tmp_path: Path,
) -> None:
    write_population(tmp_path)
    found = search(tmp_path)
    (population,) = found["populations"]
    assert found["budget"] == [], "its members are no independent trials"
    assert (population["best"], population["parameters"][0]["id"]) == ("t2", "model.lr")
    last = population["members"][1]["phases"][-1]
    assert (last["start"], last["end"], last["source"]) == (20, 80, "t0")
    assert [phase["member"] for phase in population["lineage"]] == ["t0", "t1", "t2"]
    assert "of the best member, t2, were those of t0 until 20 kimg" in population["note"]
    assert "t0 took over t2 at 60 kimg" in population["note"]


def test_a_setting_that_no_member_changed_is_no_part_of_the_schedule(tmp_path: Path) -> None:
    for key, kind in (("t0", "hinge"), ("t1", "wasserstein")):
        schedule = [step(0, 0.1, loss=kind), step(10, 0.1, None, loss="hinge")]
        write_trial(tmp_path, key, 9.0, schedule=schedule, kimg=20.0)
    (population,) = search(tmp_path)["populations"]
    assert [one["id"] for one in population["parameters"]] == ["loss"]
    assert population["note"].endswith("were its own throughout.")


def test_a_member_without_its_source_starts_at_its_takeover(tmp_path: Path) -> None:
    write_trial(tmp_path, "t0", 5.0, schedule=[step(0, 0.1), step(10, 0.2, "t9")], kimg=20.0)
    (trial,) = trials_of(load([tmp_path]))
    assert [(s.member, s.start) for s in lineage(trial, {"t0": trial})] == [("t0", 10)]


def test_sweeps_without_a_population_have_no_schedules(tmp_path: Path) -> None:
    write_trial(tmp_path, "t0", 5.0)
    assert search(tmp_path)["populations"] == []
