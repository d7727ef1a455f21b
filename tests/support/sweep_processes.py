"""A small sweep of fake trials: its words, its command, and runs of it that wait to be met."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sweep_fakes
from forked import WORKER, forked_workers
from processes import Processes, free_port, wait_until

from gansweep.cli.sweep_run import run_sweep
from gansweep.engine.launch import local
from gansweep.engine.worker import EXIT_FINISHED, Worker
from gansweep.errors import UserError

SWEEP = """
n_trials: 4
confirm: {top: 1, seeds: 1}
space:
  model: choice(gan, wgan)
  lr: interval(1, 2)
"""
UNCONFIRMED = "sweep.confirm.top=0"
COMMAND = (  # python's words for `gansweep sweep`
    "-c",
    "import sys, sweep_fakes; from gansweep.cli import sweep; from gansweep.cli.main import main\n"
    "from gansweep.cli.sweep_run import run_sweep\n"
    "sweep.main = lambda words: run_sweep(\n"
    "    words, compose=sweep_fakes.compose, target='sweep_fakes.trial') and 0\n"
    "sys.exit(main(['sweep', *sys.argv[1:]]))",
)
FORKED = ("-c", f"import forked; forked.nest()\n{COMMAND[1]}")  # the same for a process so made
FORKED_WORKER = ("-c", WORKER)


def words_of_a_sweep(folder: Path, *more: str, name: str = "s") -> list[str]:
    """Of four trials, two at a time, and a confirmation run, in FOLDER/runs/NAME."""
    own = folder / "own" / "sweep"
    own.mkdir(parents=True, exist_ok=True)
    (own / "mini.yaml").write_text(SWEEP)
    where = ["--config-dir", str(folder / "own"), f"runs_dir={folder / 'runs'}", f"name={name}"]
    return ["sweep=mini", "workers=2", *where, *more]


def sweep(words: list[str]) -> Path:
    """Run a sweep to its end; its directory."""
    with forked_workers():
        return run_sweep(words, compose=sweep_fakes.compose, target="sweep_fakes.trial")


@contextlib.contextmanager
def one_worker_here() -> Iterator[None]:
    """The sweeps of this machine have one worker, in this process: none waits for its start."""

    def run(launcher: local.LocalLauncher, tick: Callable[[], None]) -> bool:
        code = Worker(launcher.directory, "w0", launcher.threads).run()
        tick()
        return code == EXIT_FINISHED

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.LocalLauncher, "run", run)
        patch.setattr(signal, "signal", lambda *_: None)
        yield


def swept(words: list[str]) -> Path:
    """Run a sweep to its end by one worker in this process; its directory."""
    with one_worker_here():
        return sweep(words)


def made(words: list[str]) -> Path:
    """The directory of a sweep that no worker was started for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.LocalLauncher, "run", lambda *_: True)
        return sweep(words)


def serve(processes: Processes, storage: str) -> tuple[subprocess.Popen[str], int]:
    """Optuna's proxy before a storage, and its port."""
    while True:
        port = free_port()
        words = [
            "-m",
            "gansweep.engine.storage.serve",
            storage,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        server = processes(*words)
        assert server.stdout is not None and server.stderr is not None
        if f"storage=grpc://127.0.0.1:{port}" in server.stdout.readline():
            return server, port
        assert "Use another --port" in server.stderr.read(), "somebody was quicker"


def assert_refused(words: list[str], message: str) -> None:
    """The sweep is refused with the message, a pattern, before its runs_dir is made."""
    (runs,) = (word.partition("=")[2] for word in words if word.startswith("runs_dir="))
    with pytest.raises(UserError, match=message):
        sweep(words)
    assert not Path(runs).exists()


def held(folder: Path, *runs: str) -> Path:
    """Have runs of FOLDER/runs/NAME wait once they have saved sweep_fakes.HELD_AT steps, until the
    file that is returned is removed."""
    file = folder / "runs" / sweep_fakes.HELD
    file.parent.mkdir(exist_ok=True)
    file.write_text(" ".join(runs))
    return file


def wait_until_held(directory: Path, *runs: str) -> None:
    wait_until(lambda: all(steps(directory).get(run) == sweep_fakes.HELD_AT for run in runs))


def steps(directory: Path) -> dict[str, int]:
    """Of each run that has a checkpoint, how many steps it holds."""
    found = {path: path.read_text() for path in directory.glob("*/checkpoints/last.pt")}
    return {path.parts[-3]: int(text) for path, text in found.items()}


def steps_at_start(directory: Path, run: str) -> list[int]:
    """How many steps a run had behind it each time that it was started."""
    return [int(line.split()[1]) for line in lines(directory / run / "starts")]


def pid_of(directory: Path, run: str) -> int:
    """The process that trains the run, or did so last."""
    return int(wait_until(lambda: lines(directory / run / "starts"))[-1].split()[0])


def ends(directory: Path) -> list[list[str]]:
    """How the four trials ended, and how often."""
    return [lines(directory / f"t{i:04d}" / "ends") for i in range(4)]


def lines(path: Path) -> list[str]:
    """The whole lines of a file, that may be at work or not there yet."""
    return path.read_text().split("\n")[:-1] if path.exists() else []
