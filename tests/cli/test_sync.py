"""`gansweep sync`: offline Weights & Biases runs that have ended are uploaded by wandb."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gansweep.records.writer import claim

Command = Callable[..., Any]


@pytest.fixture
def offline_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    folders = [tmp_path / "runs" / run / "wandb" / f"offline-run-{run}" for run in "ab"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "run-1.wandb").touch()
    return folders


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The calls of wandb, which uploads every run but those whose name ends in b."""
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    made: list[list[str]] = []

    def upload(words: list[str], check: bool) -> None:
        made.append(words)
        for word in words[4:]:
            if not word.endswith("b"):
                Path(word, "run-1.wandb.synced").touch()

    monkeypatch.setattr(subprocess, "run", upload)
    return made


def test_sync_of_nothing_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    command("sync", "runs").is_refused_with("No offline", "runs", "tracker=wandb")
    command("sync", "nowhere").is_refused_with("nowhere")
    command("sync").is_refused_with("Name a run or a sweep", "gansweep sync runs")
    command("sync", "--all").is_refused_with("no flag '--all'")


def test_sync_without_a_login_says_how_to_log_in(
    command: Command, offline_runs: list[Path]
) -> None:
    done = command("sync", "runs")
    done.is_refused_with("'wandb login'", "WANDB_API_KEY", "gansweep sync runs", "2 run(s)")


def test_sync_uploads_all_runs_by_one_call_and_names_those_that_failed(
    command: Command, offline_runs: list[Path], calls: list[list[str]]
) -> None:
    done = command("sync", "runs", "runs/a")
    assert done.code == 1 and "1 of 2 runs uploaded" in done.out
    places = [str(folder.relative_to(Path.cwd())) for folder in offline_runs]
    assert calls[0] == [sys.executable, "-m", "wandb", "sync", *places]
    assert f"not uploaded: {places[1]}" in done.out


def test_sync_leaves_out_what_was_uploaded_before(
    command: Command, offline_runs: list[Path], calls: list[list[str]]
) -> None:
    (offline_runs[0] / "run-1.wandb.synced").touch()
    assert command("sync", "runs").code == 1
    assert calls[0][4:] == [str(offline_runs[1].relative_to(Path.cwd()))]
    assert command("sync", "runs/a").out == "1 of 1 run uploaded.\n" and len(calls) == 1


def test_sync_uploads_the_others_where_wandb_refuses_all_for_one_bad_file(
    command: Command, offline_runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    third = offline_runs[0].parents[2] / "c" / "wandb" / "offline-run-c"
    third.mkdir(parents=True)
    made: list[list[str]] = []

    def upload(words: list[str], check: bool) -> None:
        made.append(words[4:])
        if not any(word.endswith("b") for word in words[4:]):
            for word in words[4:]:
                Path(word, "run-1.wandb.synced").touch()

    monkeypatch.setattr(subprocess, "run", upload)
    done = command("sync", "runs")
    assert done.code == 1 and "2 of 3 runs uploaded" in done.out
    places = [str(folder.relative_to(Path.cwd())) for folder in (*offline_runs, third)]
    assert made == [places, *([place] for place in places)]
    assert [f"not uploaded: {places[1]}"] == [x for x in done.out.splitlines() if "not upl" in x]


def test_sync_leaves_out_a_run_that_is_being_written_until_it_has_ended(
    command: Command, offline_runs: list[Path], calls: list[list[str]]
) -> None:
    place = str(offline_runs[0].relative_to(Path.cwd()))
    with claim(offline_runs[0].parents[1]):
        done = command("sync", "runs/a")
        assert done.code == 0 and not calls
    assert f"0 of 1 run uploaded.\nstill being written: {place}\n" in done.out
    assert "'gansweep sync runs/a' uploads" in done.out
    assert command("sync", "runs/a").out == "1 of 1 run uploaded.\n"


def test_sync_names_a_run_whose_directory_is_no_utf8(
    command: Command, offline_runs: list[Path], calls: list[list[str]]
) -> None:
    offline_runs[1].parents[1].rename(offline_runs[1].parents[2] / "caf\udce9")
    done = command("sync", "runs")
    assert done.code == 1 and "not uploaded: runs/caf\\udce9/wandb/offline-run-b" in done.out
