"""Workers as processes of this machine. They share its cores; each takes its own GPUs."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from gansweep.config.ranges import Range, Workers
from gansweep.engine.failures import SweepHalt
from gansweep.engine.launch.deaths import ENDED, Deaths, ended_trials, obituary
from gansweep.engine.lease.gpus import GpuShare
from gansweep.engine.lease.workers import is_cancelled
from gansweep.engine.worker import EXIT_STOPPED
from gansweep.errors import UserError, tell
from gansweep.signals import StopRequests

GIB_PER_WORKER = 1.5  # of host memory, for `workers=auto`: the training stack and a small trial
SAVE_SECONDS = 30.0  # for the other workers, if one cannot work
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Slot:
    """The place of one worker: its name, its present process, and how those before it died."""

    name: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: Deaths = field(default_factory=Deaths)
    start_at: float | None = None  # when a dead worker is started again


def cores() -> int:
    """The cores that this process may use, by its affinity and its control group's quota."""
    allowed = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = min(allowed, max(1, int(quota) // int(period)))
    return allowed


def worker_count(
    wanted: str | int, n_trials: int, share: GpuShare, *, uses_gpus: bool = True
) -> int:
    """How many workers `workers=` asks for. auto: as many as fit on the GPUs; without a GPU, one
    per core, if the memory is enough; no more than trials.

    Raises: UserError if the GPUs are too few for one trial.
    """
    gpus = len(share.usable_gpus()) if uses_gpus else 0
    if wanted == "auto":
        by_memory = int(_free_gib() // GIB_PER_WORKER)
        return max(1, min(share.fits(gpus) or min(cores(), by_memory), n_trials))
    assert isinstance(wanted, int)
    if gpus and wanted > share.fits(gpus):
        tell(
            f"{share.fits(gpus)} of the {wanted} workers fit on the GPUs at a time; the others "
            f"wait.\nlauncher.slots_per_gpu=N lets N small trials share a GPU."
        )
    return wanted


class LocalOptions(TypedDict):
    """conf/launcher/local.yaml."""

    name: Literal["local"]
    workers: Workers
    slots_per_gpu: Annotated[int, Range(1, 1_024)]
    gpus_per_trial: Annotated[int, Range(1, 1_024)]


class LocalLauncher:
    """Starts workers and keeps them running until the sweep is finished or stopped."""

    def __init__(self, directory: Path, workers: int) -> None:
        self.directory = directory
        self.threads = max(1, cores() // workers)
        self.stops = StopRequests()
        logs = directory / "workers"
        logs.mkdir(exist_ok=True)
        self.slots = [Slot(f"w{i}", logs / f"w{i}.log") for i in range(workers)]

    def run(self, tick: Callable[[], None], every_seconds: float = 0.5) -> bool:
        """Wait until all is done (True) or stopped by a signal or `gansweep cancel` (False). Calls
        `tick` meanwhile.

        The first SIGINT or SIGTERM lets the workers save their checkpoints, the second kills.
        Raises: UserError, with the reason, if the workers cannot work or the first trials failed
            alike.
        """
        with self.stops:
            try:
                for slot in self.slots:
                    self._start(slot)
                while self._attend():
                    tick()
                    time.sleep(every_seconds)
                tick()
            except (UserError, OSError):  # of a worker, a disk or the view: the others save
                self._signal_all(signal.SIGTERM)
                self._await_all(SAVE_SECONDS)
                raise
            finally:
                self._signal_all(signal.SIGKILL)
                self._await_all(math.inf)
        stop = SweepHalt.of(self.directory)
        if stop is not None:
            raise UserError(stop.message(self.directory))
        return not self.stops and not is_cancelled(self.directory)

    def _attend(self) -> bool:
        """Look after every worker once; whether any still runs."""
        if stops := self.stops.new():
            self._signal_all(signal.SIGTERM if stops == 1 else signal.SIGKILL)
        running = 0
        for slot in self.slots:
            if slot.process is not None and (code := slot.process.poll()) is not None:
                slot.process = None
                if code not in ENDED and not self.stops:
                    self._mourn(slot, code)
            if self.stops:
                slot.start_at = None
            if slot.start_at is not None and time.monotonic() >= slot.start_at:
                self._start(slot)
            running += slot.process is not None or slot.start_at is not None
        return running > 0

    def _mourn(self, slot: Slot, code: int) -> None:
        """Schedule another start of a worker that died.

        Raises: UserError, with its last words, if it cannot work.
        """
        if code == EXIT_STOPPED:
            slot.start_at = time.monotonic()
            return
        lived = time.monotonic() - slot.started
        pause = slot.deaths.pause(code, lived, ended_trials(self.directory))
        if pause is None:
            raise obituary(slot.name, slot.log, code)
        slot.start_at = time.monotonic() + pause

    def _start(self, slot: Slot) -> None:
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(self.threads))}
        command = [sys.executable, "-m", "gansweep.engine", str(self.directory)]
        command += ["--name", slot.name, "--threads", str(self.threads), "--launched"]
        with open(slot.log, "ab") as log:
            slot.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # a Ctrl-C reaches only us, and we pass it on
            )
        slot.started, slot.start_at = time.monotonic(), None

    def _signal_all(self, number: int) -> None:
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.send_signal(number)

    def _await_all(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for slot in self.slots:
            if slot.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    slot.process.wait(max(0.0, deadline - time.monotonic()))


def _free_gib() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    raise AssertionError("/proc/meminfo names MemAvailable since Linux 3.14")
