"""Runs that are listed one by one: the list may grow and shrink while its study lives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_studies import NO_CONFIRMATION, begin, finish_with, settings

from gansweep.engine.study import SweepStudy
from gansweep.engine.watch import Watch
from gansweep.records.record import RunRecord
from gansweep.search.space import Space

SECONDS = {"metric": "seconds", "direction": "minimize", "at": "last"}


def point(key: str, *more: str) -> dict[str, Any]:
    return {
        "key": key,
        "params": {"row": key, "seed": 0},
        "overrides": [f"model={key}", *more],
        "note": {"address": f"address of {key}"},
    }


def listed(directory: Path, *keys: str, more: tuple[str, ...] = ()) -> SweepStudy:
    chosen = settings(
        space={},
        n_trials=len(keys),
        objective=SECONDS,
        confirm=NO_CONFIRMATION,
        points=[point(key, *more) for key in keys],
    )
    return SweepStudy.create(directory, chosen, Space([]))


def test_each_point_runs_once_with_its_own_options_and_the_list_may_grow(tmp_path: Path) -> None:
    study = listed(tmp_path / "s", "gan", "wgan")
    for key in ("gan", "wgan"):
        attempt = begin(study)
        assert (attempt.key, attempt.runs[0].overrides) == (key, [f"model={key}"])
        entry = attempt.sweep_entry(study.settings, attempt.runs[0], study.directory)
        assert entry["note"] == {"address": f"address of {key}"} and entry["params"]["row"] == key
        finish_with(study, attempt, fid=1.0)
    assert study.claim("me") is None and study.finished()
    longer = listed(tmp_path / "s", "wgan", "dragan")
    assert begin(longer).key == "dragan"


def test_what_has_left_the_list_waits_and_is_not_counted(tmp_path: Path) -> None:
    study = listed(tmp_path / "s", "gan", "wgan")
    attempt = begin(study)
    RunRecord.create(study.run_dir("gan"), "a: 1\n").write_result(
        {"status": "interrupted", "reason": ""}
    )
    assert study.finish(attempt, "interrupted") == "interrupted"
    other = listed(tmp_path / "s", "wgan")
    assert begin(other).key == "wgan"
    assert other.claim("me") is None
    assert Watch(other).done_and_due(Watch(other).rows()) == (0, 1)
    again = begin(listed(tmp_path / "s", "gan", "wgan"))
    assert (again.key, again.number, again.runs[0].overrides) == ("gan", 2, ["model=gan"])


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_queued_again_takes_the_options_of_the_last_command(
    status: str, tmp_path: Path
) -> None:
    study = listed(tmp_path / "s", "gan", more=("tracker=wandb",))
    attempt = begin(study)
    RunRecord.create(study.run_dir("gan"), "a: 1\n").write_result(
        {"status": status, "reason": "wandb: not logged in"}
    )
    assert study.finish(attempt, status) == status
    again = begin(listed(tmp_path / "s", "gan", more=("tracker=none",)))
    assert again.number == 2 and again.runs[0].overrides == ["model=gan", "tracker=none"]


def test_a_lost_study_begins_again_beside_the_records(tmp_path: Path) -> None:
    study = listed(tmp_path / "s", "gan", "wgan")
    finish_with(study, begin(study), fid=1.0)
    (tmp_path / "s" / "study.journal").unlink()
    anew = listed(tmp_path / "s", "wgan")  # the record of gan is found by its address
    assert begin(anew).key == "wgan"
