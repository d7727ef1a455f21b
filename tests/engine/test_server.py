"""The server that trials are forked from dies before they begin: it is started again, and none of
them pays for it."""

from __future__ import annotations

import os
import signal
import textwrap
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from sweep_processes import UNCONFIRMED, ends, made, words_of_a_sweep

from gansweep.engine import server
from gansweep.engine.failures import Failure
from gansweep.engine.study import SweepStudy
from gansweep.engine.worker import EXIT_FINISHED, Worker
from gansweep.errors import UserError
from gansweep.records.record import RunRecord
from gansweep.search.settings import Settings


@pytest.fixture(autouse=True)
def no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, importable_fakes: None) -> None:
    """And no server that a test before has left to this process."""
    ours: Any = forkserver._forkserver
    ours._stop()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(tmp_path)]))
    monkeypatch.setenv("GANSWEEP_EXTRA_PACKAGES", "loaded_first")
    monkeypatch.setattr(server, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def preloading(folder: Path, code: str) -> Path:
    """A sweep of two trials whose server imports a module with this code first."""
    directory = made(words_of_a_sweep(folder, "n_trials=2", "workers=1", UNCONFIRMED))
    (folder / "loaded_first.py").write_text(
        "from pathlib import Path\n"
        f"times = Path({str(folder / 'times')!r})\n"
        "count = len(times.read_text()) if times.exists() else 0\n"
        "times.write_text('x' * (count + 1))\n" + textwrap.dedent(code)
    )
    settings = Settings.load(directory)
    settings.preload = ["loaded_first"]
    settings.save(directory)
    return directory


def test_server_killed_in_its_import_costs_no_trial(tmp_path: Path) -> None:
    code = f"import os\nif count < 2: os.kill(os.getpid(), {int(signal.SIGKILL)})"
    directory = preloading(tmp_path, code)
    assert Worker(directory, "w0").run() == EXIT_FINISHED
    assert (tmp_path / "times").read_text() == "xxx"
    assert ends(directory)[:2] == [["finished"], ["finished"]]
    assert [t.user_attrs["attempt"] for t in SweepStudy(directory).trials.trials] == [1, 1]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise MemoryError('of a limit')", r"2 times .*MemoryError: of a limit .*raise the limit"),
        (
            "raise ValueError('of mine')",
            r"2 times .*ValueError: of mine .*server.log\). Correct",
        ),
        (
            "import os\nos.kill(os.getpid(), 9)",
            r"5 times .*killed by SIGKILL .*start fewer workers",
        ),
    ],
)
def test_server_that_cannot_start_ends_the_worker_with_the_reason(
    tmp_path: Path, code: str, said: str
) -> None:
    directory = preloading(tmp_path, code)
    with pytest.raises(UserError, match=said):
        Worker(directory, "w0").run()
    *_, trial = SweepStudy(directory).trials.trials
    assert trial.state.name == "WAITING"
    assert trial.user_attrs["kills"] == 0
    assert RunRecord(directory / "t0000").result() is None


def test_stack_that_did_not_fit_into_memory_is_no_bug(tmp_path: Path) -> None:
    error = ImportError("libtorch_cpu.so: failed to map segment from shared object")
    assert Failure.of(error, tmp_path).kind == "out_of_memory"
    assert Failure.of(ImportError("No module named 'mine'"), tmp_path).kind == "bug"
