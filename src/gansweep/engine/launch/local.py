"""Workers as processes of this machine. They share its cores; each takes its own GPUs."""

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from gansweep.config.ranges import Range, Workers
from gansweep.engine.launch.kept import KeptWorkers, Slot
from gansweep.engine.lease import mps
from gansweep.engine.lease.gpus import GpuShare
from gansweep.errors import tell

GIB_PER_WORKER = 1.5  # of host memory, for `workers=auto`: the training stack and a small trial
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Process = subprocess.Popen[bytes]


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

    Raises: UserError if the GPUs are too few for one trial, or cannot be shared by MPS.
    """
    usable = share.usable_gpus() if uses_gpus else []
    if share.mps:
        mps.refuse([gpu.name for gpu in usable])
    gpus = len(usable)
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
    slots_per_gpu: Annotated[int, Range(1, 1_024)] | Literal["auto"]
    mps: bool
    gpus_per_trial: Annotated[int, Range(1, 1_024)]


class LocalLauncher(KeptWorkers[Process]):
    """Keeps workers as processes of this machine."""

    def __init__(self, directory: Path, workers: int) -> None:
        super().__init__(directory, [f"w{i}" for i in range(workers)])
        self.threads = max(1, cores() // workers)

    def _reached(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def _started(self, slot: Slot[Process]) -> Process:
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(self.threads))}
        command = [sys.executable, "-m", "gansweep.engine", str(self.shown)]
        command += ["--name", slot.name, "--threads", str(self.threads), "--launched"]
        with open(slot.log, "ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # a Ctrl-C reaches only us, and we pass it on
            )

    def _look_at(self, slot: Slot[Process], work: Process) -> bool:
        code = work.poll()
        if code is not None:
            self._mourn(slot, code)
        return code is None

    def _ask(self, kill: bool) -> None:
        for process in self._processes():
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)

    def _await(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for process in self._processes():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))

    def _end(self) -> None:
        self._ask(kill=True)
        self._await(math.inf)

    def _processes(self) -> Iterator[Process]:
        return (slot.work for slot in self.slots if slot.work is not None)


def _free_gib() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    raise AssertionError("/proc/meminfo names MemAvailable since Linux 3.14")
