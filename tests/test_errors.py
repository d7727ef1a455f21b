"""Messages for people: commands that can be pasted, and lines that fit a terminal."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_processes import made, words_of_a_sweep

from gansweep.cli import cancel as cancelling
from gansweep.cli.main import main
from gansweep.engine.launch.deaths import EXIT_USER_ERROR
from gansweep.engine.launch.local import LocalLauncher
from gansweep.engine.lease.workers import STOPPING, WorkerFile
from gansweep.engine.status import status_of
from gansweep.errors import COLUMNS, UserError, folded, tell


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A sweep below a folder with a space in its name, whose workers have not started."""
    return made(words_of_a_sweep(tmp_path / "my runs"))


@pytest.fixture
def worker(directory: Path) -> Iterator[WorkerFile]:
    file = WorkerFile(directory, "w0")
    yield file
    file.leave()


def verbs_for(directory: Path, commands: list[str]) -> list[str]:
    """The verbs of the commands in which a shell would read the directory as one word."""
    words = [shlex.split(command) for command in commands]
    return [found[1] for found in words if found[0] == "gansweep" and found[2:] == [str(directory)]]


def test_commands_of_the_status_can_be_pasted(directory: Path) -> None:
    file = WorkerFile(directory, "w0")
    at_work = verbs_for(directory, list(status_of(directory).next))
    file.note(STOPPING)
    stopping = verbs_for(directory, list(status_of(directory).next))
    file.leave()
    idle = verbs_for(directory, list(status_of(directory).next))
    assert (at_work, stopping, idle) == (["report", "worker", "cancel"], ["status"], ["report"])


def test_command_of_a_cancelled_sweep_that_still_saves_can_be_pasted(
    directory: Path,
    worker: WorkerFile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cancelling, "_is_signalled", lambda _: False)
    capsys.readouterr()
    assert cancelling.cancel(directory, wait_seconds=0) == 1
    indented = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert verbs_for(directory, indented) == ["status"]


ERROR = (
    "The sweep /data/runs/s is at work already, with 2 workers now. To watch it: `gansweep status "
    "'/data/my runs/s'`. To add a worker: `gansweep worker '/data/my runs/s'`. Or continue it with "
    "'gansweep train resume=runs/digits/dcgan-001 budget_kimg=200', which is the workers' choice."
)


def test_error_is_folded_for_a_terminal_and_no_command_is_broken() -> None:
    lines = folded(ERROR).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert " ".join(lines) == ERROR
    for command in ("`gansweep status '/data/my runs/s'`", "budget_kimg=200'"):
        assert any(command in line for line in lines)
    assert any("'gansweep train resume=" in line and "budget_kimg=200'" in line for line in lines)


def test_traceback_within_an_error_stays_as_it_is() -> None:
    text = "It ended with\n\n    ValueError: " + 90 * "x" + " y\nCorrect that."
    assert folded(text) == text


def test_word_longer_than_a_line_is_not_broken() -> None:
    path = "/data/" + 90 * "x"
    assert folded(f"All that it said is in {path} since then.").splitlines()[1] == path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_file_has_a_message_in_one_line() -> None:
    file, terminal = io.StringIO(), Terminal()
    tell(ERROR, file)
    tell(ERROR, terminal)
    assert file.getvalue() == f"{ERROR}\n"
    assert terminal.getvalue() == f"{folded(ERROR)}\n"


def test_mistake_in_a_command_is_printed_in_the_terminals_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["status", "nothing"]) == 2
    lines = terminal.getvalue().splitlines()
    assert len(lines) > 1 and lines[0].startswith("gansweep: nothing holds no sweep")
    assert max(map(len, lines)) <= 60


def test_error_of_a_worker_is_printed_with_its_fix(directory: Path) -> None:
    launcher = LocalLauncher(directory, workers=1)
    (slot,) = launcher.slots
    slot.log.write_text(f"line\n{'why ' * 100}Use that.\n")
    with pytest.raises(UserError, match=r"cannot work: (why )*Use that\."):
        launcher._mourn(slot, EXIT_USER_ERROR)
