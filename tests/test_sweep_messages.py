"""What the sweep engine tells a person: commands that can be pasted, lines that fit a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_processes import made, words_of_a_sweep

from gansweep.sweep import cancel as cancelling
from gansweep.sweep.presence import STOPPING, Presence
from gansweep.sweep.status import status_of


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A sweep below a folder with a space in its name, whose workers have not begun."""
    return made(words_of_a_sweep(tmp_path / "my runs"))


@pytest.fixture
def worker(directory: Path) -> Iterator[Presence]:
    present = Presence(directory, "w0")
    yield present
    present.leave()


def verbs_for(directory: Path, commands: list[str]) -> list[str]:
    """The verbs of those commands that a shell would call with the directory as one word."""
    words = [shlex.split(command) for command in commands]
    return [found[1] for found in words if found[0] == "gansweep" and found[2:] == [str(directory)]]


def test_commands_of_the_status_can_be_pasted(directory: Path) -> None:
    present = Presence(directory, "w0")
    at_work = verbs_for(directory, list(status_of(directory).next))
    present.note(STOPPING)
    stopping = verbs_for(directory, list(status_of(directory).next))
    present.leave()
    idle = verbs_for(directory, list(status_of(directory).next))
    assert (at_work, stopping, idle) == (["report", "worker", "cancel"], ["status"], ["report"])


def test_command_of_a_cancelled_sweep_that_still_saves_can_be_pasted(
    directory: Path,
    worker: Presence,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cancelling, "_told_by_signal", lambda _: False)
    capsys.readouterr()
    assert cancelling.cancel(directory, wait_seconds=0) == 1
    indented = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert verbs_for(directory, indented) == ["status"]
