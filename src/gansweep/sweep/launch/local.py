"""Workers as processes of this machine: one per GPU, or one per core with the threads divided."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from gansweep.errors import UserError
from gansweep.sweep.presence import is_cancelled, launching
from gansweep.sweep.worker import EXIT_CANCELLED, EXIT_FINISHED, EXIT_STOPPED

GIB_PER_WORKER = 1.5  # of host memory, for `workers=auto`: the training stack and a small trial
QUICK_SECONDS = 5.0  # a worker that dies sooner than this did no work
QUICK_DEATHS = 3
EXIT_USER_ERROR = 2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Slot:
    """The place of one worker: its name, its GPU, its present process."""

    name: str
    log: Path
    gpu: str | None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    quick_deaths: int = field(default=0)


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; torch is not asked,
    for importing it takes seconds and gigabytes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i, _ in enumerate(li for li in listing.splitlines() if li.startswith("GPU"))]


def cores() -> int:
    """The cores that this process may use, by its affinity and its control group's quota."""
    allowed = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        allowed = min(allowed, max(1, int(quota) // int(period)))
    return allowed


def worker_count(wanted: str | int, n_trials: int) -> int:
    """How many workers `workers=` asks for. auto: one per GPU, else one per core, as far as the
    memory and the number of trials go.

    Raises: UserError where `wanted` is neither auto nor a positive number.
    """
    if wanted == "auto":
        by_memory = int(_free_gib() // GIB_PER_WORKER)
        many = len(gpus()) or min(cores(), by_memory)
        return max(1, min(many, n_trials))
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise UserError(
            f"workers={wanted} is neither 'auto' nor a positive whole number. Use workers=2, say."
        )
    return wanted


class LocalLauncher:
    """Starts workers and keeps them running until the sweep is finished or stopped."""

    def __init__(self, directory: Path, workers: int) -> None:
        self.directory = directory
        self.threads = max(1, cores() // workers)
        self.stops = 0  # signals that asked us to stop
        self._passed_on = 0
        logs = directory / "workers"
        logs.mkdir(exist_ok=True)
        devices: list[str] = gpus()
        self.slots = [
            Slot(f"w{i}", logs / f"w{i}.log", devices[i % len(devices)] if devices else None)
            for i in range(workers)
        ]

    def run(self, tick: Callable[[], None], every_seconds: float = 0.5) -> bool:
        """Until all is done: True; or until stopped, by a signal or `gansweep cancel`: False.
        Calls `tick` meanwhile.

        The first SIGINT or SIGTERM lets the workers save their checkpoints, the second kills.
        Raises: UserError where the workers cannot work, with what they said, and where another
            `gansweep sweep` looks after this sweep.
        """
        with self._signals_counted(), launching(self.directory):
            try:
                for slot in self.slots:
                    self._start(slot)
                while self._attend():
                    tick()
                    time.sleep(every_seconds)
                tick()
            finally:
                self._kill_all()
        return not self.stops and not is_cancelled(self.directory)

    def _attend(self) -> bool:
        """Look after every worker once; whether any still runs."""
        if self.stops > self._passed_on:
            self._passed_on = self.stops
            self._signal_all(signal.SIGTERM if self.stops == 1 else signal.SIGKILL)
        running = 0
        for slot in self.slots:
            if slot.process is None:
                continue
            code = slot.process.poll()
            if code is None:
                running += 1
            else:
                slot.process = None
                if code not in (EXIT_FINISHED, EXIT_CANCELLED) and not self.stops:
                    self._mourn(slot, code)
                    running += 1
        return running > 0

    def _mourn(self, slot: Slot, code: int) -> None:
        """Start a worker that died again, unless it cannot do anything."""
        quick = time.monotonic() - slot.started < QUICK_SECONDS and code != EXIT_STOPPED
        slot.quick_deaths = slot.quick_deaths + 1 if quick else 0
        if code == EXIT_USER_ERROR or slot.quick_deaths >= QUICK_DEATHS:
            words = slot.log.read_text(errors="replace").strip().splitlines()
            said = words[-1] if words else "it said nothing"
            killed = f"killed by {signal.Signals(-code).name}; " if code < 0 else ""
            raise UserError(
                f"The sweep's worker {slot.name} cannot work: {killed}{said} "
                f"(all that it said is in {slot.log})"
            )
        self._start(slot)

    def _start(self, slot: Slot) -> None:
        environment = dict(os.environ)
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(self.threads)))
        if slot.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        command = [sys.executable, "-m", "gansweep.sweep", str(self.directory)]
        command += ["--name", slot.name, "--threads", str(self.threads), "--launched"]
        with open(slot.log, "ab") as log:
            slot.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches us alone, and we pass it on
            )
        slot.started = time.monotonic()

    def _signal_all(self, number: int) -> None:
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.send_signal(number)

    def _kill_all(self) -> None:
        self._signal_all(signal.SIGKILL)
        for slot in self.slots:
            if slot.process is not None:
                slot.process.wait()

    @contextlib.contextmanager
    def _signals_counted(self) -> Iterator[None]:
        def count(number: int, frame: FrameType | None) -> None:
            self.stops += 1

        before = {n: signal.signal(n, count) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _free_gib() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    raise AssertionError("/proc/meminfo names MemAvailable since Linux 3.14")
