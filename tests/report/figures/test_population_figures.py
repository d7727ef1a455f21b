"""Populations: their schedules, and the origin of the best member's weights."""

from pathlib import Path
from typing import Any

import pytest
from report_sweeps import write_trial

from gansweep.judging.leaderboard import leaderboard
from gansweep.judging.trials import trials_of
from gansweep.records.read import load
from gansweep.report.figures.palette import variants
from gansweep.report.figures.population import lineage, takeovers
from gansweep.report.page.section import Section
from gansweep.report.page.sections import sections


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


def section(directory: Path, anchor: str) -> Section | None:
    board = leaderboard(load([directory]))
    return next((s for s in sections(board, variants(board)) if s.anchor == anchor), None)


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


def test_the_schedule_of_the_best_member_is_drawn_in_steps_with_a_ring_at_each_takeover(
    tmp_path: Path,
) -> None:
    write_population(tmp_path)
    found = section(tmp_path, "schedules")
    assert found
    (figure,) = found.figures
    *pale, best, rings = figure.data
    pytest.importorskip("plotly.graph_objects").Figure(figure.json)
    assert len(pale) == 3 and all(trace["opacity"] < 1 for trace in pale)
    assert best["x"] == [0, 20, 20, 40, 40, 80]
    assert best["y"] == [0.1, 0.1, 0.3, 0.3, 0.6, 0.6]
    assert (rings["x"], rings["y"]) == ([20, 40], [0.3, 0.6])
    assert rings["text"] == ["t1 took over t0", "t2 took over t1"]
    assert figure.layout["yaxis"]["type"] == "log"
    assert "0.1 from 0 kimg, 0.3 from 20 kimg, 0.6 from 40 kimg" in figure.alt
    assert "of the best member, t2, were those of t0 until 20 kimg" in found.note
    assert "t0 took over t2 at 60 kimg" in found.note


def test_a_population_is_one_search_and_has_no_expected_best(tmp_path: Path) -> None:
    write_population(tmp_path)
    assert section(tmp_path, "budget") is None


def test_a_categorical_setting_has_levels_and_a_constant_one_has_no_figure(tmp_path: Path) -> None:
    for key, kind in (("t0", "hinge"), ("t1", "wasserstein")):
        schedule = [step(0, 0.1, loss=kind), step(10, 0.1, None, loss="hinge")]
        write_trial(tmp_path, key, 9.0, schedule=schedule, kimg=20.0)
    found = section(tmp_path, "schedules")
    assert found and [figure.title for figure in found.figures] == ["loss"]
    assert found.figures[0].layout["yaxis"]["type"] == "category"
    assert found.note.endswith("were its own throughout.")


def test_a_member_without_its_source_starts_at_its_takeover(tmp_path: Path) -> None:
    write_trial(tmp_path, "t0", 5.0, schedule=[step(0, 0.1), step(10, 0.2, "t9")], kimg=20.0)
    (trial,) = trials_of(load([tmp_path]))
    assert [(s.member, s.start) for s in lineage(trial, {"t0": trial})] == [("t0", 10)]


def test_sweeps_without_a_population_have_no_schedules(tmp_path: Path) -> None:
    write_trial(tmp_path, "t0", 5.0)
    assert section(tmp_path, "schedules") is None
