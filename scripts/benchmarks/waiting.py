"""What a person waits for: words on a terminal, the first training step, refusals.

Every time is processor time of the command and its children, from its start to the moment that
counts, so that other processes of the machine do not enter. The peer is a process that imports
torch and pytorch_lightning and ends at once. Command and peer run in turn, ratios are taken within
a round, and the median of the rounds is printed with the least and the most. The files must be in
the page cache: the first round, which is not counted, puts them there.
"""

from __future__ import annotations

import argparse
import os
import pty
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pytorch_lightning as pl

MARK = "GANSWEEP_WAITING"  # in the environment of a command and of what it starts
PLACE = "GANSWEEP_WAITING_PLACE"  # the file that the first step writes to
TICKS = os.sysconf("SC_CLK_TCK")
PEER = [sys.executable, "-c", "import torch, pytorch_lightning, os; os._exit(0)"]
GANSWEEP = [sys.executable, "-m", "gansweep"]
SMALL = ["budget_kimg=0.128", "trainer=cpu", "runs_dir=runs"]
PROBE = ["extra_packages=[waiting]", "+callbacks.probe._target_=waiting.FirstStep"]


class FirstStep(pl.Callback):
    """Writes the processor time of the whole command when its first training step is done."""

    def on_train_batch_end(self, *_: object) -> None:
        place = Path(os.environ[PLACE])
        if not place.exists():
            place.write_text(str(seconds_of(os.environ[MARK])))


def seconds_of(mark: str) -> float:
    """Processor seconds of all processes that carry a mark, and of their children that ended."""
    found = 0.0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                found += sum(map(int, fields[11:15])) / TICKS
        except OSError:
            pass  # it has ended, or is another user's
    return found


def marked(place: Path) -> dict[str, str]:
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, MARK: uuid.uuid4().hex, PLACE: str(place), "PYTHONPATH": paths}


def whole(command: Sequence[str], folder: Path) -> float:
    """Processor seconds of a command and its children, to its end."""
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    used = os.wait4(process.pid, 0)[2]
    return used.ru_utime + used.ru_stime


def to_first_step(command: Sequence[str], folder: Path) -> float:
    """Processor seconds of a command to the end of its first training step."""
    place = folder / uuid.uuid4().hex
    subprocess.run(command, cwd=folder, env=marked(place), capture_output=True, check=True)
    return float(place.read_text())


def to_first_word(command: Sequence[str], folder: Path) -> float:
    """Processor seconds of a command to its first character on a terminal."""
    environment = marked(folder / "unused")
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execvpe(command[0], list(command), environment)
    select.select([terminal], [], [])
    found = seconds_of(environment[MARK])
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while os.waitpid(process, os.WNOHANG)[0] == 0:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:  # the terminal is closed
                time.sleep(0.05)
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
    os.close(terminal)
    return found


Way = Callable[[Sequence[str], Path], float]


def commands(folder: Path) -> dict[str, tuple[Way, list[str]]]:
    """What is waited for -> how it is measured, and the command, in a folder with a run `done`."""
    sweep = ["sweep", "model=dcgan", "data=digits", "model.latent_dim=choice(64,100)", "n_trials=1"]
    sweep += ["workers=1", "tracker=none", *SMALL, *PROBE]
    train = ["train", *SMALL, *PROBE]
    return {
        "first word: train": (to_first_word, ["train", *SMALL]),
        "first word: sweep": (to_first_word, ["sweep", "sweep=demo", "data=digits"]),
        "first word: ui": (to_first_word, ["ui", "runs"]),
        "first step: train, no tracker": (to_first_step, [*train, "tracker=none"]),
        "first step: train, W&B offline": (to_first_step, [*train, "tracker=wandb"]),
        "first step: sweep, no tracker": (to_first_step, sweep),
        "end: train of 128 images, no tracker": (whole, ["train", *SMALL, "tracker=none"]),
        "a taken name refused": (whole, ["train", *SMALL, "name=done"]),
        "a typo refused": (whole, ["train", "modell=gan"]),
        "a value refused": (whole, ["train", "model.optimizer.generator.lr=abc"]),
        "a finished run resumed": (whole, ["train", "resume=runs/digits/done"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--only", default="", help="only what has this word in its name")
    options = parser.parse_args()
    os.environ["WANDB_MODE"] = "offline"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        done = [*GANSWEEP, "train", *SMALL, "tracker=none", "name=done"]
        subprocess.run(done, cwd=folder, capture_output=True, check=True)
        whole(PEER, folder)
        ways = {k: way for k, way in commands(folder).items() if options.only in k}
        found: dict[str, list[float]] = {name: [] for name in ways}
        peers: list[float] = []
        for number in range(options.rounds):
            peers.append(whole(PEER, folder))
            for name, (way, words) in ways.items():
                taken = [f"name=s{number}"] if words[0] == "sweep" and way is to_first_step else []
                found[name].append(way([*GANSWEEP, *words, *taken], folder))
    print(f"import torch, pytorch_lightning: {spread(peers)} s of processor time")
    for name, seconds in found.items():
        ratios = [ours / theirs for ours, theirs in zip(seconds, peers, strict=True)]
        print(f"  {name:38} {spread(seconds)} s   {spread(ratios)} of the imports")


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}, {max(values):.2f})"


if __name__ == "__main__":
    main()
